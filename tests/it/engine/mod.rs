//! The engine: traces of whole workflows as goldens, and any order of events by seed.

mod lost;
mod shutdown;
mod simulation;
mod traces;
