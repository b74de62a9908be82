//! May this pod land there? Roles, modules, their host and their reload.
