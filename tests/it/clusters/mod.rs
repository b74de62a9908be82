//! What is known of other clusters before anything is asked: what they must allow, and what of a kubeconfig can be stored.

mod grants;
mod kubeconfig;
