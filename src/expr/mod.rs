//! Text with {{…}} and variables in, text out.
