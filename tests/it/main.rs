//! The one integration binary: one module a boundary.

mod tidy;
