//! Runs the pods of one API server as processes of this machine.
