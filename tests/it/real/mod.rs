//! Real Kubernetes clusters for tests: etcd, kube-apiserver with RBAC, and kube-controller-manager, as processes.
//!
//! ```ignore
//! #[tokio::test]
//! async fn it_works_for_real() {
//!     let Some([home, other]) = real::clusters().await else { return };
//!     let namespace = real::namespace("mine", &[home, other]).await; // of one name in both, nobody else's
//!     let client = home.admin(); // a new client in each test: it belongs to the test's runtime
//!     let user = home.new_user(); // without any right; grant it some, then:
//!     let limited = home.client_for_token(&user.token);
//!     assert!(home.audit(&user.name).is_empty()); // what that user asked for
//! }
//! ```
//!
//! * `clusters()` are shared by all tests of a run, and the pattern says how many: two are usual, a third is started only
//!   for those that name it. Each test works in namespaces of its own, uses labels and names of cluster-wide objects that
//!   hold such a name, and disturbs nobody. They have our CRDs.
//! * `own_clusters(&[])` are for tests that stop, freeze, compact or replace one, or that need certain flags. They have no
//!   CRDs until `install_crds()`, take some seconds to start, and end when they are dropped. Three at most exist at once, so
//!   a test takes all that it needs in one call.
//! * All of them are `None` where there are no programs, and a line says so; under `CI=true` that is a failure.
//! * There is no scheduler and no kubelet, and nothing looks after nodes: a pod stays Pending until a test, `kubelet` or
//!   `landfall local node` does something with it.
//! * `admin()` isn't in the audit log. Other users are, and so are service accounts: `account_token(namespace, name)`.
//!
//! Everything ends and all files go when the test process ends, even if it is killed. Benchmarks take this module with
//! `#[path]`.

use tokio::sync::{OnceCell, Semaphore};

use crate::real::{
    cluster::{RealCluster, unique},
    programs::Programs,
};

pub mod access;
pub mod audit;
pub mod cluster;
pub mod kubelet;
pub mod processes;
pub mod programs;

/// How many clusters of tests' own may exist at once: each takes half a gigabyte.
const OWN_MAX: u32 = 3;

static PROGRAMS: OnceCell<Option<Programs>> = OnceCell::const_new();
static SHARED: [OnceCell<RealCluster>; 3] = [const { OnceCell::const_new() }; 3];
static OWN: Semaphore = Semaphore::const_new(OWN_MAX as usize);

/// Clusters of this run, of which there are up to three.
pub async fn clusters<const COUNT: usize>() -> Option<[&'static RealCluster; COUNT]> {
    let programs = programs().await?;
    let clusters = futures::future::join_all(SHARED[..COUNT].iter().map(|cell| shared(cell, programs))).await;
    clusters.try_into().ok()
}

/// Clusters that nobody else uses, up to three, with these flags for their API servers.
pub async fn own_clusters<const COUNT: usize>(apiserver_flags: &[&str]) -> Option<[RealCluster; COUNT]> {
    let programs = programs().await?;
    let count = u32::try_from(COUNT).expect("it is small");
    assert!(count <= OWN_MAX, "at most {OWN_MAX} clusters of a test's own");
    let mut permit = OWN.acquire_many(count).await.expect("it is never closed");
    let start = (0..COUNT).map(|_| RealCluster::start_new(programs.clone(), apiserver_flags));
    let mut clusters = futures::future::join_all(start).await;
    for cluster in &mut clusters {
        cluster.permit = permit.split(1);
    }
    clusters.try_into().ok()
}

/// Makes a namespace in these clusters, with one name that nobody else has, and waits until pods can be created there.
pub async fn namespace(prefix: &str, clusters: &[&RealCluster]) -> String {
    let name = unique(prefix);
    futures::future::join_all(clusters.iter().map(|cluster| cluster.make_namespace(&name))).await;
    name
}

async fn shared(cell: &'static OnceCell<RealCluster>, programs: &Programs) -> &'static RealCluster {
    let start = async || {
        let cluster = RealCluster::start_new(programs.clone(), &[]).await;
        cluster.install_crds().await;
        cluster
    };
    cell.get_or_init(start).await
}

/// The programs, looked for once.
async fn programs() -> Option<&'static Programs> {
    let find = async || {
        let found = tokio::task::spawn_blocking(programs::find).await.expect("there are API servers under CI=true");
        found.inspect_err(|why| println!("skipped: no Kubernetes API server: {why}")).ok()
    };
    let found = PROGRAMS.get_or_init(find).await.as_ref();
    if found.is_none() {
        println!("skipped: this needs a Kubernetes API server, see the README");
    }
    found
}
