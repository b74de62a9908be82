//! What several test modules share.

pub mod modules;
pub mod world;
