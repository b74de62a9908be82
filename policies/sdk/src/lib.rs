//! What a Landfall policy module in Rust needs. A module is a struct for its settings and one function:
//!
//! ```
//! use landfall_policy_sdk::{Allow, Decision, Policy, Request, deny};
//! use serde::Deserialize;
//!
//! /// `{"registries": ["ghcr.io/acme/"]}`
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields, rename_all = "camelCase")]
//! struct Registries {
//!     registries: Vec<String>,
//! }
//!
//! impl Policy for Registries {
//!     const NEEDS_POD: bool = true;
//!
//!     fn authorize(&self, request: &Request) -> Decision {
//!         for container in request.pod()?.containers() {
//!             let image = container.image.as_deref().unwrap_or_default();
//!             if !self.registries.iter().any(|registry| image.starts_with(registry)) {
//!                 return deny!("registry", "image {image:?} is of no registry that is allowed");
//!             }
//!         }
//!         Ok(Allow)
//!     }
//! }
//!
//! landfall_policy_sdk::export!(Registries);
//!
//! // The same code is tested without WebAssembly.
//! let policy = landfall_policy_sdk::configured::<Registries>(r#"{"registries": ["ghcr.io/acme/"]}"#).unwrap();
//! let request = Request::new("argo", "other/argo");
//! let pod = |image: &str| serde_json::json!({"spec": {"containers": [{"name": "main", "image": image}]}});
//! assert_eq!(policy.authorize(&request.clone().with_pod(&pod("ghcr.io/acme/tool"))), Ok(Allow));
//! assert_eq!(policy.authorize(&request.with_pod(&pod("evil"))).unwrap_err().code, "registry");
//! ```
//!
//! What is decided on: [`Request`] and, where the module asks for it, [`pod::Pod`]. Rules that are for some places only
//! name them as [`target::Targets`]. [`trace!`] notes what `landfall policy explain` shows. The interface itself is
//! `wit/policy.wit`, which also tells what happens to a module and which limits it has.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
mod decision;
#[cfg(target_arch = "wasm32")]
mod last_words;
pub mod pod;
mod policy;
mod request;
pub mod target;
pub mod trace;

pub use crate::{
    decision::{Allow, CODE_UNREADABLE_POD, Decision, Denial},
    policy::{Policy, configured},
    request::{Creates, Request, Target, Workflow},
};

/// A denial with a code and a reason, to be returned: `return deny!("no-rule", "no rule allows {target}")`.
///
/// The code is for programs: lower-case words joined by `-`, from a handful, never one for each name. The reason is for
/// people: one sentence that says what was asked, which rule is missing, and what would be allowed.
#[macro_export]
macro_rules! deny {
    ($code:expr, $($reason:tt)+) => {
        ::core::result::Result::Err($crate::Denial::new($code, ::std::format!($($reason)+)))
    };
}

/// Notes what the module looked at: `trace!("rule {name} is for this target")`. It costs nothing unless
/// `landfall policy explain` asked for notes: the arguments are not even evaluated.
#[macro_export]
macro_rules! trace {
    ($($note:tt)+) => {
        if $crate::trace::is_on() {
            $crate::trace::note(::std::format!($($note)+));
        }
    };
}

/// Makes a component of the crate: exports the type, which implements [`Policy`], as the module. Once a crate.
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        const _: () = {
            /// Set by `configure`, and part of the snapshot that every decision starts from.
            static POLICY: ::std::sync::OnceLock<$policy> = ::std::sync::OnceLock::new();

            struct Component;

            impl $crate::component::policy::Guest for Component {
                fn configure(
                    settings: ::std::string::String,
                ) -> ::core::result::Result<$crate::component::policy::Needs, ::std::string::String> {
                    $crate::component::configure(&POLICY, &settings)
                }

                fn authorize(request: $crate::component::policy::Request) -> $crate::component::policy::Decision {
                    $crate::component::authorize(&POLICY, request)
                }
            }

            impl $crate::component::trace::Guest for Component {
                fn start() {
                    $crate::trace::start();
                }

                fn take() -> ::std::vec::Vec<::std::string::String> {
                    $crate::trace::take()
                }
            }

    $crate::component::export_component!(Component with_types_in $crate::component);
        };
    };
}

/// Makes a component of the crate: exports the type, which implements [`Policy`], as the module. Once a crate.
/// Natively there is nothing to export; that the type fits is checked all the same.
#[cfg(not(target_arch = "wasm32"))]
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        const _: () = {
            const fn fits<P: $crate::Policy + ::core::marker::Send + ::core::marker::Sync + 'static>() {}
            fits::<$policy>();
        };
    };
}
