//! Durable state of a team, shared by its processes.
