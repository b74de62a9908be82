//! From what breaks a law to the smallest that does: one thing after the other is left out or made plain, as long as the
//! law is still broken.

use serde_json::Value as Json;

use crate::{
    author::{
        asking::Asker,
        generate::pods,
        laws::{Breach, Law, Trial, Twist},
        removal::{self, Path, Step},
        smaller,
    },
    policy::request::PodJson,
};

/// So many trials at most: each takes a few decisions, and a module that is slow takes its time for each.
const TRIALS_MAX: usize = 4000;

/// The smallest trial that was found, how it breaks the law, and how many were tried.
pub fn shrink(law: Law, asker: &mut Asker<'_>, trial: Trial, breach: Breach) -> (Trial, Breach, usize) {
    let mut found = (trial, breach, 0);
    loop {
        let before = found.0.clone();
        let mut place = 0;
        while let Some(smaller) = candidates(&found.0).into_iter().nth(place) {
            if found.2 >= TRIALS_MAX {
                return found;
            }
            found.2 += 1;
            match law.check(asker, &smaller) {
                // What stands at this place now is another one.
                Some(breach) => found = (smaller, breach, found.2),
                None => place += 1,
            }
        }
        if found.0 == before {
            return found;
        }
    }
}

/// All trials that are a step smaller; the large steps first.
fn candidates(trial: &Trial) -> Vec<Trial> {
    let mut all = Vec::new();
    for gone in removal::elements(&trial.settings) {
        if let Some(twist) = without(&trial.twist, &gone) {
            all.push(Trial { settings: removal::without(&trial.settings, &gone), twist, ..trial.clone() });
        }
    }
    let shorter = smaller::shorter(&trial.settings).into_iter();
    all.extend(shorter.map(|settings| Trial { settings, ..trial.clone() }));
    all.extend(smaller::requests(&trial.request).into_iter().map(|request| Trial { request, ..trial.clone() }));
    all.extend(twists(&trial.twist).into_iter().map(|twist| Trial { twist, ..trial.clone() }));
    all
}

/// The twist when `gone` is taken out of the settings; nothing where it was about that.
fn without(twist: &Twist, gone: &Path) -> Option<Twist> {
    match twist {
        Twist::Without(path) => after(path, gone).map(Twist::Without),
        Twist::Beside(path, names) => after(path, gone).map(|path| Twist::Beside(path, names.clone())),
        Twist::None | Twist::After(_) | Twist::Pod(_) | Twist::Unknown(_) | Twist::Instead(_) => Some(twist.clone()),
    }
}

/// Where `path` leads once `gone` is taken out; nothing if it led into that.
fn after(path: &Path, gone: &Path) -> Option<Path> {
    if path.0.starts_with(&gone.0) {
        return None;
    }
    let mut path = path.clone();
    if let Some((Step::Item(gone_at), way)) = gone.0.split_last()
        && path.0.starts_with(way)
        && let Some(Step::Item(at)) = path.0.get_mut(way.len())
        && *gone_at < *at
    {
        *at -= 1;
    }
    Some(path)
}

fn twists(twist: &Twist) -> Vec<Twist> {
    match twist {
        Twist::After(request) => {
            smaller::requests(request).into_iter().map(|request| Twist::After(Box::new(request))).collect()
        }
        Twist::Pod(Some(pod)) => match serde_json::from_str::<Json>(pod.as_str()) {
            Ok(json) => smaller::values(&json)
                .into_iter()
                .filter(pods::is_garbage)
                .map(|json| Twist::Pod(Some(PodJson::from(json.to_string()))))
                .collect(),
            Err(_) => vec![Twist::Pod(Some(PodJson::from(String::new())))],
        },
        Twist::Instead(json) => smaller::values(json)
            .into_iter()
            .filter(|json| !json.is_object() && !json.is_null())
            .map(Twist::Instead)
            .collect(),
        Twist::None | Twist::Without(_) | Twist::Beside(..) | Twist::Pod(None) | Twist::Unknown(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::after;
    use crate::author::removal::{Path, Step};

    #[test]
    fn a_path_moves_when_what_stands_before_it_goes() {
        let path = |items: &[usize]| Path(items.iter().copied().map(Step::Item).collect());
        let check = |at: &[usize], gone: &[usize], expected: Option<&[usize]>| {
            assert_eq!(after(&path(at), &path(gone)), expected.map(path));
        };
        check(&[2, 1], &[0], Some(&[1, 1]));
        check(&[2, 1], &[2, 0], Some(&[2, 0]));
        check(&[2, 1], &[3], Some(&[2, 1]));
        check(&[2, 1], &[2], None);
        check(&[2], &[2, 0], Some(&[2]));
    }
}
