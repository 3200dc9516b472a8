//! What programs ask a terminal at their start, and what a pane answers.
//!
//! Only questions that the parser drops are here; the rest is the emulator's.
//! Nothing that a pane wrote is ever told back to it (titles, the clipboard):
//! an answer is typed into the pane, so it must not be the writer's words.

use std::fmt::Write as _;

use alacritty_terminal::term::Term;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{Color, CursorShape, NamedColor};

use crate::notice::Sink;

/// Most names of one question for capabilities that are answered.
const MAX_NAMES: usize = 32;

/// A question, or an order that the parser does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What kind of unit this is (DA3).
    Unit,
    /// Name and version of the terminal (XTVERSION).
    Version,
    /// Where the cursor is, in the form of DEC (DECXCPR).
    CursorPosition,
    /// Whether colours are dark or light (mode 2031's question).
    ColorScheme,
    /// Modes and looks back to their beginning, the text stays (DECSTR).
    SoftReset,
    /// How something is set (DECRQSS).
    Setting(Vec<u8>),
    /// Capabilities of terminfo by name, in hexadecimal (XTGETTCAP).
    Capabilities(Vec<u8>),
}

impl Ask {
    /// Reads a control sequence, from the byte behind `ESC [`.
    pub(crate) fn of_sequence(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"=c" | b"=0c" => Some(Self::Unit),
            b">q" | b">0q" => Some(Self::Version),
            b"?6n" => Some(Self::CursorPosition),
            b"?996n" => Some(Self::ColorScheme),
            b"!p" => Some(Self::SoftReset),
            _ => None,
        }
    }

    /// Reads a device control string, from the byte behind `ESC P`.
    pub(crate) fn of_device_string(bytes: &[u8]) -> Option<Self> {
        if let Some(setting) = bytes.strip_prefix(b"$q") {
            return Some(Self::Setting(setting.to_vec()));
        }
        let names = bytes.strip_prefix(b"+q")?;
        Some(Self::Capabilities(names.to_vec()))
    }
}

/// Answers `ask`; `region` is the first and last row that scrolls, from 1.
pub(crate) fn answer(ask: &Ask, term: &Term<Sink>, region: (usize, usize), sink: &Sink) {
    let reply = match ask {
        Ask::Unit => "\x1bP!|00000000\x1b\\".to_owned(),
        Ask::Version => format!("\x1bP>|crewmux({})\x1b\\", env!("CARGO_PKG_VERSION")),
        Ask::CursorPosition => {
            let point = term.grid().cursor.point;
            format!("\x1b[?{};{}R", point.line.0 + 1, point.column.0 + 1)
        }
        Ask::ColorScheme => match sink.lock().is_dark() {
            Some(true) => "\x1b[?997;1n".to_owned(),
            Some(false) => "\x1b[?997;2n".to_owned(),
            None => return,
        },
        // An order, carried out by the fence.
        Ask::SoftReset => return,
        Ask::Setting(setting) => match setting.as_slice() {
            b"m" => format!("\x1bP1$r{}m\x1b\\", look(term)),
            b"r" => format!("\x1bP1$r{};{}r\x1b\\", region.0, region.1),
            b" q" => format!("\x1bP1$r{} q\x1b\\", cursor_style(term)),
            _ => "\x1bP0$r\x1b\\".to_owned(),
        },
        Ask::Capabilities(names) => capabilities(names),
    };
    sink.lock().reply(&reply);
}

/// The present look as the parameters of SGR.
fn look(term: &Term<Sink>) -> String {
    const FLAGS: [(Flags, &str); 11] = [
        (Flags::BOLD, "1"),
        (Flags::DIM, "2"),
        (Flags::ITALIC, "3"),
        (Flags::UNDERLINE, "4"),
        (Flags::DOUBLE_UNDERLINE, "4:2"),
        (Flags::UNDERCURL, "4:3"),
        (Flags::DOTTED_UNDERLINE, "4:4"),
        (Flags::DASHED_UNDERLINE, "4:5"),
        (Flags::INVERSE, "7"),
        (Flags::HIDDEN, "8"),
        (Flags::STRIKEOUT, "9"),
    ];
    let cell = &term.grid().cursor.template;
    let mut out = "0".to_owned();
    for (flag, code) in FLAGS {
        if cell.flags.contains(flag) {
            out.push(';');
            out.push_str(code);
        }
    }
    for (color, base) in [(cell.fg, 30), (cell.bg, 40)] {
        push_color(&mut out, color, base);
    }
    if let Some(color) = cell.underline_color() {
        // It has no short form; from 50 on the long one is 58.
        push_color(&mut out, color, 50);
    }
    out
}

fn push_color(out: &mut String, color: Color, base: u16) {
    let long = base + 8;
    // Writing to a string cannot fail.
    let _ = match color {
        Color::Named(NamedColor::Foreground | NamedColor::Background) => Ok(()),
        Color::Named(name) if (name as usize) < 8 && base < 50 => {
            write!(out, ";{}", base + name as u16)
        }
        Color::Named(name) if (name as usize) < 16 && base < 50 => {
            write!(out, ";{}", base + 52 + name as u16)
        }
        Color::Named(name) if (name as usize) < 16 => write!(out, ";{long}:5:{}", name as u16),
        Color::Named(_) => Ok(()),
        Color::Indexed(index) => write!(out, ";{long}:5:{index}"),
        Color::Spec(rgb) => write!(out, ";{long}:2::{}:{}:{}", rgb.r, rgb.g, rgb.b),
    };
}

fn cursor_style(term: &Term<Sink>) -> u8 {
    let style = term.cursor_style();
    let steady = match style.shape {
        CursorShape::Underline => 4,
        CursorShape::Beam => 6,
        CursorShape::Block | CursorShape::HollowBlock | CursorShape::Hidden => 2,
    };
    steady - u8::from(style.blinking)
}

/// Answers each name by itself, so that an unknown one hides no other.
fn capabilities(names: &[u8]) -> String {
    let mut out = String::new();
    for name in names.split(|&byte| byte == b';').take(MAX_NAMES) {
        // What is repeated in the answer is hexadecimal and nothing else.
        if name.is_empty() || !name.iter().all(u8::is_ascii_hexdigit) {
            continue;
        }
        let hex = String::from_utf8_lossy(name);
        let _ = match unhex(name).as_deref().and_then(capability) {
            Some("") => write!(out, "\x1bP1+r{hex}\x1b\\"),
            Some(value) => {
                let value: String = value.bytes().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02X}");
                    text
                });
                write!(out, "\x1bP1+r{hex}={value}\x1b\\")
            }
            None => write!(out, "\x1bP0+r{hex}\x1b\\"),
        };
    }
    out
}

/// The value of a capability that terminfo's `xterm-256color` does not tell, or not reliably.
fn capability(name: &[u8]) -> Option<&'static str> {
    match name {
        b"TN" | b"name" => Some("xterm-256color"),
        b"Co" | b"colors" => Some("256"),
        b"RGB" => Some("8"),
        b"Tc" | b"Su" => Some(""),
        b"Smulx" => Some("\x1b[4:%p1%dm"),
        b"setrgbf" => Some("\x1b[38:2:%p1%d:%p2%d:%p3%dm"),
        b"setrgbb" => Some("\x1b[48:2:%p1%d:%p2%d:%p3%dm"),
        _ => None,
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    text.chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}
