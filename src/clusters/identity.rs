//! Which cluster it is that answers: names and addresses can come to mean another one, the UID of its namespace
//! `kube-system` can't.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, core::Status};

/// Every cluster has it, and nobody makes it anew.
pub const NAMESPACE: &str = "kube-system";

/// Asks for the UID. It takes the right to get this one namespace.
pub async fn read(client: kube::Client) -> kube::Result<String> {
    let namespace = Api::<Namespace>::all(client).get(NAMESPACE).await?;
    let missing = || {
        let message = format!("namespace {NAMESPACE:?} has no uid");
        kube::Error::Api(Box::new(Status::failure(&message, "NotFound").with_code(404)))
    };
    namespace.metadata.uid.filter(|uid| !uid.is_empty()).ok_or_else(missing)
}

/// What is wrong if it may not be asked, in words that say what to do about it; `None`: something that passes.
pub fn missing_right(status: &Status) -> Option<String> {
    matches!(status.code, 403 | 404).then(|| {
        format!(
            "it can't be told which cluster it is: that takes the right to get the namespace {NAMESPACE:?}, whose uid says so: {}",
            status.message
        )
    })
}

/// Which cluster is meant, and which answers.
#[derive(Debug, Default)]
pub struct Identity {
    /// As the settings say.
    remembered: Option<String>,
    /// The one that was taken for the right one.
    met: Option<String>,
    /// Whether it was another one that answered last.
    is_strange: bool,
}

impl Identity {
    /// Takes over what the settings say. To take away what they said while another cluster answers is to accept that one;
    /// otherwise the cluster that was met goes on to be meant.
    pub fn remember(&mut self, uid: Option<String>) {
        if uid.is_none() && self.remembered.is_some() && self.is_strange {
            self.met = None;
        }
        self.remembered = uid;
    }

    /// A cluster answers with this UID. The first one is the right one, if nothing else is remembered.
    ///
    /// # Errors
    /// The UID that it should have.
    pub fn meet(&mut self, uid: &str) -> Result<(), String> {
        match self.remembered.as_ref().or(self.met.as_ref()) {
            Some(expected) if expected != uid => {
                self.is_strange = true;
                Err(expected.clone())
            }
            Some(_) | None => {
                self.is_strange = false;
                self.met = Some(uid.to_owned());
                Ok(())
            }
        }
    }

    /// What ought to be remembered and isn't.
    pub fn to_remember(&self) -> Option<&str> {
        let met = self.met.as_deref().filter(|_| !self.is_strange);
        met.filter(|_| self.remembered.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn the_first_is_the_right_one_until_the_settings_say_otherwise() {
        let mut identity = Identity::default();
        assert_eq!(identity.to_remember(), None);
        assert_eq!(identity.meet("a"), Ok(()));
        assert_eq!(identity.to_remember(), Some("a"));
        assert_eq!(identity.meet("b"), Err("a".to_owned()));
        assert_eq!(identity.to_remember(), None);
        assert_eq!(identity.meet("a"), Ok(()));

        identity.remember(Some("a".to_owned()));
        assert_eq!(identity.to_remember(), None);
        identity.remember(None);
        assert_eq!(identity.meet("b"), Err("a".to_owned()), "what was there goes on to be meant");
        identity.remember(Some("b".to_owned()));
        assert_eq!(identity.meet("b"), Ok(()), "confirmed by name");
        assert_eq!(identity.meet("c"), Err("b".to_owned()));
        identity.remember(None);
        assert_eq!(identity.meet("c"), Ok(()), "confirmed by forgetting");
    }
}
