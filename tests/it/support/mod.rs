//! What several test modules share.

pub mod hostile;
pub mod modules;
pub mod world;
