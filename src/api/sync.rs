//! Locks: what a workflow or template asks for, and who holds and waits.

use k8s_openapi::api::core::v1::ConfigMapKeySelector;

use crate::api::object::object;

object! {
    /// The locks that are held for the time of a workflow or node.
    pub struct Synchronization {
        /// Locks that several may hold.
        pub semaphores: Vec<SemaphoreRef>,
        /// Locks that one may hold.
        pub mutexes: Vec<Mutex>,
    }

    /// A lock that several may hold.
    pub struct SemaphoreRef {
        /// The key of a ConfigMap that says how many.
        pub config_map_key_ref: Option<ConfigMapKeySelector>,
        /// The namespace of the lock; the workflow's if not given.
        pub namespace: Option<String>,
        /// The entry of a database that says how many.
        pub database: Option<SyncDatabaseRef>,
    }

    /// An entry of the database for locks.
    pub struct SyncDatabaseRef {
        /// Its key.
        pub key: String,
    }

    /// A lock that one may hold.
    pub struct Mutex {
        /// Its name.
        pub name: Option<String>,
        /// The namespace of the lock; the workflow's if not given.
        pub namespace: Option<String>,
        /// Whether the database keeps it.
        pub database: Option<bool>,
    }

    /// Who holds and waits for the locks of a workflow.
    pub struct SynchronizationStatus {
        /// Semaphores.
        pub semaphore: Option<SemaphoreStatus>,
        /// Mutexes.
        pub mutex: Option<MutexStatus>,
    }

    /// Semaphores held and waited for.
    pub struct SemaphoreStatus {
        /// Those held.
        pub holding: Vec<SemaphoreHolding>,
        /// Those waited for.
        pub waiting: Vec<SemaphoreHolding>,
    }

    /// One semaphore and who holds it.
    pub struct SemaphoreHolding {
        /// Its key: `NAMESPACE/ConfigMap/NAME/KEY`.
        pub semaphore: Option<String>,
        /// The holders: `NAMESPACE/WORKFLOW` or `NAMESPACE/WORKFLOW/NODE-ID`.
        pub holders: Vec<String>,
    }

    /// Mutexes held and waited for.
    pub struct MutexStatus {
        /// Those held.
        pub holding: Vec<MutexHolding>,
        /// Those waited for.
        pub waiting: Vec<MutexHolding>,
    }

    /// One mutex and who holds it.
    pub struct MutexHolding {
        /// Its key: `NAMESPACE/Mutex/NAME`.
        pub mutex: Option<String>,
        /// The holder: `NAMESPACE/WORKFLOW` or `NAMESPACE/WORKFLOW/NODE-ID`.
        pub holder: Option<String>,
    }

    /// The lock that a node waits for.
    pub struct NodeSynchronizationStatus {
        /// Its key.
        pub waiting: Option<String>,
    }
}
