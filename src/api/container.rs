//! Templates made of containers: script, container set, and the containers that users put beside.

use k8s_openapi::{
    api::core::v1::{Container, VolumeMount},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::api::object::object;

object! {
    /// A container with a script, which is put into a file and given as the last argument.
    pub struct ScriptTemplate {
        as_is {
            /// The container.
            #[serde(flatten)]
            pub container: Container,
        }
        /// The script.
        pub source: String,
    }

    /// Several containers in one pod.
    pub struct ContainerSetTemplate {
        /// The containers.
        pub containers: Vec<ContainerNode>,
        /// Mounts that all of them get.
        pub volume_mounts: Vec<VolumeMount>,
        /// How a container is tried again.
        pub retry_strategy: Option<ContainerSetRetryStrategy>,
    }

    /// One container of a set.
    pub struct ContainerNode {
        as_is {
            /// The container.
            #[serde(flatten)]
            pub container: Container,
        }
        /// Names of containers that end first.
        pub dependencies: Vec<String>,
    }

    /// How a container of a set is tried again.
    pub struct ContainerSetRetryStrategy {
        /// The time between two tries: `5s`.
        pub duration: Option<String>,
        /// Most tries after the first.
        pub retries: Option<IntOrString>,
    }

    /// An init container or a sidecar.
    pub struct UserContainer {
        as_is {
            /// The container.
            #[serde(flatten)]
            pub container: Container,
        }
        /// Whether it gets the mounts of the main container too.
        pub mirror_volume_mounts: Option<bool>,
    }
}
