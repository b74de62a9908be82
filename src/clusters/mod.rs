//! Connections to clusters: the Secret of rest.Config JSON, clients, health.
