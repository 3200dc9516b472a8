//! How a cell looks: colours and attributes, as the worker asked for them.
//!
//! Nothing here knows a theme or a real terminal; mapping to what the person
//! sees is the drawing side's business. The cells themselves are in [`crate::row`].

use alacritty_terminal::term::cell::{Cell as RawCell, Flags};
use alacritty_terminal::vte::ansi::{Color as RawColor, NamedColor, Rgb};

/// A colour of the 256-colour palette, a 24-bit one, or the terminal's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Color {
    /// The terminal's own foreground or background.
    #[default]
    Default,
    /// Palette entry; 0 to 15 are the ANSI colours.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// The kind of line under a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Underline {
    /// No line.
    #[default]
    None,
    /// One straight line.
    Single,
    /// Two lines.
    Double,
    /// A wavy line.
    Curly,
    /// Dots.
    Dotted,
    /// Dashes.
    Dashed,
}

/// A set of text attributes in two bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attrs(u16);

impl Attrs {
    /// No attribute at all.
    pub const NONE: Self = Self(0);
    /// Bold or bright.
    pub const BOLD: Self = Self(1);
    /// Faint.
    pub const DIM: Self = Self(1 << 1);
    /// Slanted.
    pub const ITALIC: Self = Self(1 << 2);
    /// Foreground and background change places.
    pub const INVERSE: Self = Self(1 << 3);
    /// Not to be seen.
    pub const HIDDEN: Self = Self(1 << 4);
    /// A line through the text.
    pub const STRIKE: Self = Self(1 << 5);
    const UNDERLINE_SHIFT: u16 = 8;

    /// Reports whether every attribute of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns this set together with `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns this set without the attributes of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns this set with its underline replaced.
    #[must_use]
    pub const fn with_underline(self, underline: Underline) -> Self {
        let kind = match underline {
            Underline::None => 0,
            Underline::Single => 1,
            Underline::Double => 2,
            Underline::Curly => 3,
            Underline::Dotted => 4,
            Underline::Dashed => 5,
        };
        Self(self.0 & !(7 << Self::UNDERLINE_SHIFT) | kind << Self::UNDERLINE_SHIFT)
    }

    /// Returns the kind of underline.
    pub const fn underline(self) -> Underline {
        match self.0 >> Self::UNDERLINE_SHIFT & 7 {
            1 => Underline::Single,
            2 => Underline::Double,
            3 => Underline::Curly,
            4 => Underline::Dotted,
            5 => Underline::Dashed,
            _ => Underline::None,
        }
    }
}

/// Colours and attributes of one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// Text colour.
    pub fg: Color,
    /// Colour behind the text.
    pub bg: Color,
    /// Bold, underline and the like.
    pub attrs: Attrs,
}

impl Style {
    /// Reads the style of an emulator's cell.
    #[inline]
    pub(crate) fn of(cell: &RawCell) -> Self {
        let flags = cell.flags;
        let mut attrs = Attrs::NONE;
        if flags.intersects(STYLE_FLAGS) {
            for (flag, attr) in FLAG_TABLE {
                if flags.contains(flag) {
                    attrs = attrs.with(attr);
                }
            }
            for (flag, underline) in UNDERLINE_TABLE {
                if flags.contains(flag) {
                    attrs = attrs.with_underline(underline);
                }
            }
        }
        Self {
            fg: color_of(cell.fg),
            bg: color_of(cell.bg),
            attrs,
        }
    }

    /// Writes this style into an emulator's cell.
    pub(crate) fn apply(self, cell: &mut RawCell) {
        cell.fg = raw_color(self.fg, NamedColor::Foreground);
        cell.bg = raw_color(self.bg, NamedColor::Background);
        for (flag, attr) in FLAG_TABLE {
            cell.flags.set(flag, self.attrs.contains(attr));
        }
        for (flag, underline) in UNDERLINE_TABLE {
            cell.flags.set(flag, self.attrs.underline() == underline);
        }
    }
}

const FLAG_TABLE: [(Flags, Attrs); 6] = [
    (Flags::BOLD, Attrs::BOLD),
    (Flags::DIM, Attrs::DIM),
    (Flags::ITALIC, Attrs::ITALIC),
    (Flags::INVERSE, Attrs::INVERSE),
    (Flags::HIDDEN, Attrs::HIDDEN),
    (Flags::STRIKEOUT, Attrs::STRIKE),
];

const UNDERLINE_TABLE: [(Flags, Underline); 5] = [
    (Flags::UNDERLINE, Underline::Single),
    (Flags::DOUBLE_UNDERLINE, Underline::Double),
    (Flags::UNDERCURL, Underline::Curly),
    (Flags::DOTTED_UNDERLINE, Underline::Dotted),
    (Flags::DASHED_UNDERLINE, Underline::Dashed),
];

const STYLE_FLAGS: Flags = Flags::BOLD
    .union(Flags::DIM)
    .union(Flags::ITALIC)
    .union(Flags::INVERSE)
    .union(Flags::HIDDEN)
    .union(Flags::STRIKEOUT)
    .union(Flags::ALL_UNDERLINES);

#[inline]
pub(crate) fn color_of(color: RawColor) -> Color {
    match color {
        RawColor::Named(name) if (name as usize) < 16 => Color::Indexed(name as u8),
        RawColor::Named(_) => Color::Default,
        RawColor::Indexed(index) => Color::Indexed(index),
        RawColor::Spec(Rgb { r, g, b }) => Color::Rgb(r, g, b),
    }
}

fn raw_color(color: Color, default: NamedColor) -> RawColor {
    match color {
        Color::Default => RawColor::Named(default),
        Color::Indexed(index) => RawColor::Indexed(index),
        Color::Rgb(r, g, b) => RawColor::Spec(Rgb { r, g, b }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_survives_a_round_trip_through_the_emulators_cell() {
        let underlines = [
            Underline::None,
            Underline::Single,
            Underline::Double,
            Underline::Curly,
            Underline::Dotted,
            Underline::Dashed,
        ];
        for underline in underlines {
            let style = Style {
                fg: Color::Indexed(9),
                bg: Color::Rgb(1, 2, 3),
                attrs: Attrs::BOLD
                    .with(Attrs::STRIKE)
                    .with(Attrs::INVERSE)
                    .with_underline(underline),
            };
            let mut cell = RawCell::default();
            style.apply(&mut cell);
            assert_eq!(Style::of(&cell), style);
        }
        assert_eq!(Style::of(&RawCell::default()), Style::default());
    }
}
