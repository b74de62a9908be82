//! A small Kubernetes API as a `tower` service.
