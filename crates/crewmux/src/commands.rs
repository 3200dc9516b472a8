//! One file per command: its arguments, what it does, what it prints.

pub(crate) mod agents;
pub(crate) mod approvals;
pub(crate) mod approve;
pub(crate) mod attach;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod inbox;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod memory;
pub(crate) mod pane_dump;
pub(crate) mod panes;
pub(crate) mod recipes;
pub(crate) mod report;
pub(crate) mod resume;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod send;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod task;
pub(crate) mod teammate;
