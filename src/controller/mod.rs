//! The loop: watch, queue, gather, decide, authorize, write status, apply.
