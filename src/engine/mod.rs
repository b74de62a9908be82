//! What happens next: workflow, what was observed, and the time in; status and actions out.
