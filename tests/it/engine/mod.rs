//! The engine: traces of whole workflows as goldens, and any order of events by seed.

mod simulation;
mod traces;
