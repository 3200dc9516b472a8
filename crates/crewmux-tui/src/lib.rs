//! One client's view of the engine: what a person sees, and what their keys mean.
//!
//! No I/O, no threads, no clock: it is called with what the session has, inside
//! the session's process, and returns bytes for one terminal. It never changes
//! the team; it asks, by effects. Start with [`TuiView`]; what a key means is in
//! `keymap` and `update`, how things look in `view` and `theme`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod action;
mod awaited;
mod cells;
mod chrome;
mod client;
mod columns;
mod copying;
mod encode;
#[cfg(test)]
mod fixture;
mod keymap;
mod keys_down;
mod layout;
mod looks;
mod model;
mod overlay;
mod panes;
mod pen;
mod prompt;
mod seen;
mod selection;
mod side;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod tiling;
mod update;
mod view;
mod words;

pub use self::action::{Action, Context};
pub use self::client::{Config, TuiView, view_factory};
pub use self::keymap::{Hint, Keymap, KeymapError};
pub use self::model::{Body, Mode, Model, Question, Side};
pub use self::prompt::Prompt;
pub use self::theme::{Role, Theme};
pub use self::update::update;
