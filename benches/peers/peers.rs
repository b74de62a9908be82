//! The built-in module beside a native call and the crates `cel` and `regorus`: the same thousand rules, the same questions,
//! one process. `cargo bench --manifest-path benches/peers/Cargo.toml`.
//!
//! All is compiled and loaded before, and all that a decision takes of a request is counted. The module is asked in a fresh
//! instance, and writes the reason of a denial; cel and regorus say yes or no, with what they keep from one decision to the
//! next. Both get the rules in two layouts (`rules.rs`): most policies are written as a search of a list, and the look-ups
//! are the best that they can do. Ratios are of the quietest rounds' medians. Before, all have to give the same answers, also
//! by rules for any cluster or namespace, which the thousand don't have.

use std::{hint::black_box, time::Duration};

use landfall::policy::{Options, Policies, config::Config, host::Host, request::Request, store::BUILTIN};
use landfall_policy_builtin as native;
use serde_json::{Value, json};

use crate::{
    rules::Rules,
    thousand::{ALLOWED, CLUSTER, DENIED, TENANT},
};

#[path = "../policy/builtin.rs"]
mod builtin;
mod expression;
mod rego;
mod rules;
#[path = "../policy/thousand.rs"]
mod thousand;
#[path = "../policy/times.rs"]
#[expect(dead_code, reason = "reloads are not measured here")]
mod times;

/// Something that decides by the rules it was made with.
struct Peer {
    name: &'static str,
    /// So many calls are timed together, where one is too short for the clock.
    batch: u32,
    allows: Box<dyn FnMut(&Request) -> bool>,
}

fn main() {
    let mut measured = peers(&thousand::settings(0));
    agree("a thousand rules", &mut measured);
    agree("rules for any as well", &mut peers(&with_rules_for_any()));
    for (verdict, namespace) in [("allow", ALLOWED), ("deny", DENIED)] {
        println!();
        times::head(verdict);
        measure(&mut measured, &thousand::request(namespace));
    }
}

/// The built-in module is the first.
fn peers(settings: &Value) -> Vec<Peer> {
    let host = Host::new().expect("the engine starts");
    let module = builtin::module(&host, BUILTIN, settings);
    let config = Config::parse(Some(&settings["roles"].to_string()), None).expect("a configuration").0;
    let policies = Policies::start(Options { config, ..Options::default() }).expect("the policy starts");
    let own = native::configure(&settings.to_string()).expect("the settings are right");
    let rules = Rules::new(settings);
    let peer = |name, allows| Peer { name, batch: 1, allows };
    vec![
        peer("built-in", Box::new(move |request| module.ask(&host, request).expect("an answer").is_none())),
        peer("chain with its record", Box::new(move |request| policies.decide_blocking(request).is_allowed())),
        Peer {
            name: "native",
            batch: builtin::NATIVE_BATCH,
            allows: Box::new(move |request| {
                native::authorize(&own, &builtin::question(request)) == native::Decision::Allow
            }),
        },
        peer("cel, list", expression::peer(expression::LIST, &rules)),
        peer("cel, look-ups", expression::peer(expression::LOOK_UPS, &rules)),
        peer("regorus eval_rule, list", rego::interpreted("list", &rules)),
        peer("regorus eval_rule, look-ups", rego::interpreted("look_ups", &rules)),
        peer("regorus RVM, list", rego::compiled("list", &rules)),
        peer("regorus RVM, look-ups", rego::compiled("look_ups", &rules)),
    ]
}

/// Asks all peers the same questions, which they have to answer alike.
fn agree(name: &str, peers: &mut [Peer]) {
    let mut answers = [0, 0];
    for workflow in [TENANT, "team-0", "admin", "nobody"] {
        for cluster in [CLUSTER, "cluster-0", "cluster-19", "default", "lab"] {
            for namespace in [ALLOWED, TENANT, "team-42-3", "team-0", "variant-0", "ops", "public", DENIED] {
                let mut request = thousand::request(namespace);
                request.workflow.namespace = workflow.parse().expect("a label");
                request.target.cluster = cluster.parse().expect("a label");
                let own = (peers[0].allows)(&request);
                for peer in &mut *peers {
                    let answer = (peer.allows)(&request);
                    assert_eq!(answer, own, "{}: {workflow} to {cluster}, {namespace}", peer.name);
                }
                answers[usize::from(own)] += 1;
            }
        }
    }
    let [no, yes] = answers;
    assert!(no > 0 && yes > 0, "{name}: {no} times no, {yes} times yes");
    println!("{name}: {} peers answer {} questions alike, {yes} with yes", peers.len(), no + yes);
}

/// The thousand, and every kind of rule for any.
fn with_rules_for_any() -> Value {
    let mut settings = thousand::settings(0);
    let entries = settings["roles"].as_array_mut().expect("a list of entries");
    entries.push(json!({"namespace": "", "rules": [{"clusterNames": ["cluster-19"], "namespaces": ["public"]}]}));
    entries.push(json!({"namespace": "admin", "rules": [
        {"clusterNames": [""], "namespaces": ["ops"]},
        {"clusterNames": ["lab"], "namespaces": [""]},
    ]}));
    entries.push(json!({"namespace": "team-0", "rules": [{"clusterNames": [""], "namespaces": [""]}]}));
    settings
}

fn measure(peers: &mut [Peer], request: &Request) {
    let mut own = None;
    for peer in peers {
        let figure = times::measure(peer.batch, || {
            for _ in 0..peer.batch {
                black_box((peer.allows)(black_box(request)));
            }
        });
        let own: &Duration = own.get_or_insert(figure.quiet_p50);
        let ratio = figure.quiet_p50.as_secs_f64() / own.as_secs_f64();
        println!("{} {ratio:>7.2} × built-in", figure.line(peer.name));
    }
}
