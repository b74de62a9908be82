//! Policy: what the rules mean, what modules may do, and how a new set comes into force.

mod roles;
mod support;
