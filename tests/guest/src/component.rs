//! The exports.

use std::{
    hint::black_box,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

wit_bindgen::generate!({ path: "../../wit", world: "module" });

use exports::landfall::policy::policy;

static SETTINGS: Mutex<String> = Mutex::new(String::new());
static CALLS: AtomicU32 = AtomicU32::new(0);

struct Guest;

export!(Guest);

impl policy::Guest for Guest {
    fn configure(settings: String) -> Result<policy::Needs, String> {
        let told = |word: &str| settings.contains(&format!("\"{word}\""));
        for word in ["trap", "loop", "memory", "recurse"] {
            if told(word) {
                misbehave(word);
            }
        }
        if told("refuse") {
            return Err("setting \"refuse\": told to".to_owned());
        }
        let needs = if told("pod") { policy::Needs::POD } else { policy::Needs::empty() };
        *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(needs)
    }

    fn authorize(request: policy::Request) -> policy::Decision {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        match request.template.as_str() {
            "long" => return deny("x".repeat(1 << 20), "long"),
            "bad-code" => return deny("a code that is none".to_owned(), "Not A Code"),
            "throw" => return deny(format!("threw at {:?}", request.pod), "module-error"),
            "pod" => return deny(format!("pod: {:?}", request.pod), "pod"),
            "count" => return deny(format!("call {calls} of this instance"), "count"),
            word => misbehave(word),
        }
        let settings = SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
        if settings.contains("\"allow\"") {
            return policy::Decision::Allow;
        }
        lawless(&settings, &request, calls)
            .unwrap_or_else(|| deny("this module denies everything".to_owned(), "deny-all"))
    }
}

/// What a module should not do, one thing for each law.
fn lawless(settings: &str, request: &policy::Request, calls: u32) -> Option<policy::Decision> {
    let told = |word: &str| settings.contains(&format!("\"{word}\""));
    let allow_if = |allowed: bool| allowed.then_some(policy::Decision::Allow);
    if told("remember") {
        return (calls > 1).then(|| deny(format!("call {calls}"), "remembers"));
    }
    if told("empty-is-all") {
        return allow_if(settings.contains("\"rules\":[]"));
    }
    if told("tells-attributes") {
        let of_target = request.attributes.iter().filter(|(name, _)| name.starts_with("target-"));
        let facts: Vec<String> = of_target.map(|(name, value)| format!("{name}={value}")).collect();
        return Some(deny(facts.join(" "), "attributes"));
    }
    if told("counts-tenants") {
        return allow_if(settings.matches("\"tenant\"").count() > 1);
    }
    if told("tells-tenants") {
        let own = format!("\"tenant\":\"{}\"", request.workflow.namespace);
        let allowed = settings.contains(&own).then_some(policy::Decision::Allow);
        return allowed.or_else(|| Some(deny(format!("not in {settings}"), "not-listed")));
    }
    if told("throws") {
        return Some(deny("threw".to_owned(), "module-error"));
    }
    if told("throws-on-garbage") {
        let readable = request.pod.as_ref().is_some_and(|pod| pod.contains("\"containers\":[{"));
        return (!readable).then(|| deny("threw".to_owned(), "module-error"));
    }
    if told("looks-for-privileged") {
        return allow_if(!request.pod.as_ref().is_some_and(|pod| pod.contains("\"privileged\":true")));
    }
    None
}

fn misbehave(word: &str) {
    match word {
        "trap" => panic!("told to"),
        "loop" => loop {
            black_box(word);
        },
        "memory" => loop {
            black_box(vec![1_u8; 1 << 20]).leak();
        },
        "recurse" => {
            black_box(deeper(1));
        }
        _ => {}
    }
}

fn deeper(level: u64) -> u64 {
    if level == u64::MAX {
        return 0;
    }
    let place = black_box([level; 16]);
    black_box(deeper(place[3] + 1)) + place[7]
}

fn deny(reason: String, code: &str) -> policy::Decision {
    policy::Decision::Deny(policy::Denial { reason, code: code.to_owned() })
}
