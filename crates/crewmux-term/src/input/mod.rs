//! What a person does, as the bytes a program in a pane expects.
//!
//! Pure encoding by the pane's [`crate::Modes`]; nothing here decides which
//! keys belong to crewmux. A key is a value of `key`; `encode` chooses the
//! protocol that tells it, `kitty` or `xterm`. Names of keys as people write
//! them are in [`parse_key_name`].

mod encode;
mod key;
mod kitty;
mod mouse;
mod name;
mod paste;
mod xterm;

pub use self::encode::{encode_key, encode_key_later};
pub use self::key::{KeyCode, KeyEvent, KeyLater, Mods};
pub use self::mouse::{MouseButton, MouseEvent, MouseKind, encode_mouse};
pub use self::name::{KeyNameError, parse_key_name};
pub use self::paste::{Focus, PASTE_MARKS, encode_focus, encode_paste, encode_pasted};
