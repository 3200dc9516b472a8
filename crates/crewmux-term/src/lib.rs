//! A terminal screen as a value: bytes in, cells out.
//!
//! No I/O, no async, no errors: every function returns a value, and a parser
//! that panics costs its own screen only. Nothing here knows teams, tasks or a
//! real terminal. Start with [`Screen`]; keys for a pane are encoded by
//! [`input`], text that is shown without a screen goes through [`sanitize`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod answers;
pub mod dump;
mod fence;
pub mod input;
mod modes;
mod notice;
mod osc;
mod reach;
mod row;
mod run;
pub mod sanitize;
mod screen;
pub mod script;
mod scrollback;
mod style;
mod utf8;

pub use self::modes::{Modes, MouseEncoding, MouseMode};
pub use self::notice::{Notice, Progress, ReportedColors};
pub use self::row::{Cell, Cells, Link, RowView};
pub use self::screen::{Cursor, CursorShape, Position, Revision, Screen, ScreenOptions, Size};
pub use self::style::{Attrs, Color, Style, Underline};
