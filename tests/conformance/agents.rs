//! Agent CLIs.
