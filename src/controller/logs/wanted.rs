//! What a request asks for: `/logs/NAMESPACE/WORKFLOW?follow&tail=10&since=300&node=NAME&container=NAME`, and
//! `since-time=TIME` instead of `since`. Pure.

use std::fmt;

use jiff::Timestamp;

use crate::api::ids::Namespace;

/// Longest name of a workflow: a DNS subdomain.
const NAME_LENGTH_MAX: usize = 253;

/// Whose logs, and which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The workflow's namespace.
    pub namespace: Namespace,
    /// The workflow's name.
    pub workflow: String,
    /// Go on until the workflow has ended.
    pub follow: bool,
    /// Of each container, so many of the lines that are there.
    pub tail: Option<i64>,
    /// Only what was printed in so many seconds before now.
    pub since_seconds: Option<i64>,
    /// Only what was printed from then on, to the second.
    pub since_time: Option<Timestamp>,
    /// Only of the node of this name, display name or ID, or of the pod of this name.
    pub node: Option<String>,
    /// Only of containers of this name.
    pub container: Option<String>,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit(String);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wanted {
    /// Reads the path's parts and the query.
    ///
    /// # Errors
    /// If anything in it is unknown or can't be.
    pub fn parse(namespace: &str, workflow: &str, query: &str) -> Result<Wanted, Misfit> {
        let namespace = namespace.parse().map_err(|error| Misfit(format!("{error}")))?;
        if !is_subdomain(workflow) {
            return Err(Misfit(format!("{workflow:?} is not the name of a workflow")));
        }
        let mut wanted = Wanted {
            namespace,
            workflow: workflow.to_owned(),
            follow: false,
            tail: None,
            since_seconds: None,
            since_time: None,
            node: None,
            container: None,
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (key.as_ref(), value.as_ref()) {
                ("follow", "" | "true") => wanted.follow = true,
                ("follow", "false") => wanted.follow = false,
                ("follow", _) => return Err(Misfit("follow: expected true or false".to_owned())),
                ("tail", number) => wanted.tail = Some(count("tail", number)?),
                ("since", number) => wanted.since_seconds = Some(count("since", number)?),
                ("since-time", time) => match time.parse() {
                    Ok(time) => wanted.since_time = Some(time),
                    Err(error) => return Err(Misfit(format!("since-time: {error}"))),
                },
                ("node", name) => wanted.node = Some(name.to_owned()),
                ("container", name) => wanted.container = Some(name.to_owned()),
                (key, _) => return Err(Misfit(format!("{key:?} is nothing that can be asked for"))),
            }
        }
        if wanted.since_seconds == Some(0) {
            return Err(Misfit("since: expected more than 0".to_owned()));
        }
        if wanted.since_seconds.is_some() && wanted.since_time.is_some() {
            return Err(Misfit("since and since-time: only one of them can be asked for".to_owned()));
        }
        Ok(wanted)
    }

    /// The path and query that [`Wanted::parse`] reads.
    pub fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.follow {
            query.append_pair("follow", "true");
        }
        let numbers = [("tail", self.tail), ("since", self.since_seconds)];
        for (key, number) in numbers.into_iter().filter_map(|(key, number)| Some((key, number?))) {
            query.append_pair(key, &number.to_string());
        }
        query.extend_pairs(self.since_time.iter().map(|time| ("since-time", time.to_string())));
        for (key, name) in [("node", &self.node), ("container", &self.container)] {
            query.extend_pairs(name.iter().map(|name| (key, name)));
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/logs/{}/{}{mark}{query}", self.namespace, self.workflow)
    }
}

fn count(key: &str, number: &str) -> Result<i64, Misfit> {
    let number = number.parse().ok().filter(|number| 0 <= *number);
    number.ok_or_else(|| Misfit(format!("{key}: expected a whole number, not below 0")))
}

fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| label.parse::<Namespace>().is_ok();
    name.len() <= NAME_LENGTH_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn what_is_asked_for_is_written_as_it_is_read() {
        let check = |workflow: &str, query: &str, expected: Result<&str, &str>| {
            let read = Wanted::parse("argo", workflow, query).map(|wanted| wanted.path());
            let read = read.map_err(|misfit| misfit.to_string());
            assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned), "{query}");
        };
        check("w", "", Ok("/logs/argo/w"));
        check("w.v-1", "follow", Ok("/logs/argo/w.v-1?follow=true"));
        let all = "follow=true&tail=0&since=300&node=w%280%29.a+b&container=main";
        check("w", all, Ok(&format!("/logs/argo/w?{all}")));
        check("w", "follow=maybe", Err("follow: expected true or false"));
        check("w", "tail=-1", Err("tail: expected a whole number, not below 0"));
        check("w", "since=5m", Err("since: expected a whole number, not below 0"));
        check("w", "since=0", Err("since: expected more than 0"));
        let time = "since-time=2026-11-24T08%3A30%3A00Z";
        check("w", time, Ok(&format!("/logs/argo/w?{time}")));
        let both = format!("since=1&{time}");
        check("w", &both, Err("since and since-time: only one of them can be asked for"));
        assert!(Wanted::parse("argo", "w", "since-time=yesterday").is_err());
        check("w", "token=x", Err("\"token\" is nothing that can be asked for"));
        for name in ["", "../x", "a/b", "W", "a..b", &"x".repeat(254)] {
            check(name, "", Err(&format!("{name:?} is not the name of a workflow")));
        }
        assert!(Wanted::parse("Argo", "w", "").is_err());
    }
}
