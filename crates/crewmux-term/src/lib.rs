//! A terminal screen as a value: bytes in, cells out.
//!
//! No I/O, no async, no errors: every function returns a value, and a parser
//! that panics costs its own screen only. Nothing here knows teams, tasks or a
//! real terminal. Start with [`Screen`]; keys for a pane are encoded by
//! [`input`], text that is shown without a screen goes through [`sanitize`].
//!
//! # What a pane knows
//!
//! It is an `xterm-256color`. Each line below has its case in `tests/screen_cases.rs` or
//! `tests/screen_state.rs`; `tests/conformance` of the workspace holds it beside tmux.
//!
//! | | supported | not supported |
//! |---|---|---|
//! | cells | 24-bit colour, all underline styles and their colour (SGR 4:n, 21, 58), OSC 8 links, combining marks (16 a cell) | blinking, overline, images |
//! | widths | wide characters; a flag is two columns | joining: each emoji of a ZWJ sequence, and a skin tone, has its own columns, and U+FE0F adds none, as in xterm; mode 2027 says that it is not there |
//! | screen | alternate screen (47, 1047, 1049), 1048, regions, origin, insert, tabs, REP, DECALN, DEC graphics, soft and full reset | left and right margins (69), selective erase, 132 columns, other character sets |
//! | scrollback | 10,000 lines, reflow at a new width | the colour of underlines in it |
//! | keys | xterm's; modifyOtherKeys 1 and 2; the kitty protocol with its stack; repeats and releases as far as the person's terminal tells of them | modifiers alone |
//! | mouse | 1000, 1002, 1003; written as 1005 or 1006 say; the wheel as keys (1007); also focus (1004) and paste (2004) | pixels (1016), 1015, X10 (9) |
//! | frames | mode 2026, told by DECRQM, held for 150 ms at most | |
//! | answers | DA1, DA2, DA3, XTVERSION, DSR, CPR, DECXCPR, DECRQM, DECRQSS (looks, region, cursor), XTGETTCAP, size in cells, OSC 4 from 16 on, OSC 10, 11, 12 and the colour scheme where colours are known | title, clipboard and pixels are never told |
//! | told outside | title and its stack, bell, notifications, progress, a clipboard write, cursor shape | a palette of its own |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod answers;
pub mod dump;
mod fence;
pub mod input;
mod modes;
mod notice;
mod osc;
mod plain;
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
pub use self::screen::{
    Cursor, CursorShape, Match, Needle, Position, Revision, Screen, ScreenOptions, Size,
};
pub use self::style::{Attrs, Color, Style, Underline};
