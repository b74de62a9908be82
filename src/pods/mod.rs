//! Template in, final pod out.
