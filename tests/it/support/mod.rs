//! What several test modules share.

pub mod controller;
pub mod hostile;
pub mod modules;
pub mod world;
