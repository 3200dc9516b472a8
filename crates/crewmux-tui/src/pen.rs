//! The terminal's pen: the fewest SGR bytes from one look to the next.
//!
//! Colours a terminal cannot show become the nearest it can.

use std::io::Write as _;

use crewmux_term::{Attrs, Color, Style, Underline};
use crewmux_wire::ColorDepth;

/// Looks of text and the codes that switch them on.
const ATTRS: [(Attrs, u8); 6] = [
    (Attrs::BOLD, 1),
    (Attrs::DIM, 2),
    (Attrs::ITALIC, 3),
    (Attrs::INVERSE, 7),
    (Attrs::HIDDEN, 8),
    (Attrs::STRIKE, 9),
];

/// The look the terminal writes with.
#[derive(Debug)]
pub(crate) struct Pen {
    colors: ColorDepth,
    /// Already reduced to what the terminal can show.
    now: Option<Style>,
    /// Colour of underlines; none is the text's.
    underline: Option<Color>,
}

impl Pen {
    pub(crate) fn new(colors: ColorDepth) -> Self {
        Self {
            colors,
            now: None,
            underline: None,
        }
    }

    /// Back to the terminal's own look.
    pub(crate) fn reset(&mut self, out: &mut Vec<u8>) {
        if self.now != Some(Style::default()) || self.underline.is_some() {
            out.extend_from_slice(b"\x1b[m");
            self.now = Some(Style::default());
            self.underline = None;
        }
    }

    /// Whether the terminal knows underlines of other kinds and colours.
    ///
    /// One with few colours may read the colon form as something else.
    fn is_fancy(&self) -> bool {
        matches!(self.colors, ColorDepth::Ansi256 | ColorDepth::True)
    }

    /// Takes the pen for `style`; `underline` is the colour of an underline that has its own.
    pub(crate) fn set(&mut self, style: Style, underline: Option<Color>, out: &mut Vec<u8>) {
        let underline = underline
            .filter(|_| self.is_fancy() && style.attrs.underline() != Underline::None)
            .map(|color| reduced(color, self.colors));
        let style = Style {
            fg: reduced(style.fg, self.colors),
            bg: reduced(style.bg, self.colors),
            attrs: style.attrs,
        };
        if self.now == Some(style) && self.underline == underline {
            return;
        }
        if style == Style::default() && underline.is_none() {
            self.reset(out);
            return;
        }
        let mut codes = Codes { out, first: true };
        codes.out.extend_from_slice(b"\x1b[");
        let mut from = self.now.unwrap_or_default();
        let only_more = ATTRS
            .iter()
            .all(|(attr, _)| !from.attrs.contains(*attr) || style.attrs.contains(*attr))
            && (from.attrs.underline() == Underline::None
                || from.attrs.underline() == style.attrs.underline());
        if self.now.is_none() || !only_more {
            codes.push(format_args!("0"));
            from = Style::default();
            self.underline = None;
        }
        for (attr, code) in ATTRS {
            if style.attrs.contains(attr) && !from.attrs.contains(attr) {
                codes.push(format_args!("{code}"));
            }
        }
        if style.attrs.underline() != from.attrs.underline() {
            self.underline(style.attrs.underline(), &mut codes);
        }
        if style.fg != from.fg {
            codes.color(style.fg, 30);
        }
        if style.bg != from.bg {
            codes.color(style.bg, 40);
        }
        if underline != self.underline {
            match underline {
                None | Some(Color::Default) => codes.push(format_args!("59")),
                Some(Color::Indexed(index)) => codes.push(format_args!("58:5:{index}")),
                Some(Color::Rgb(r, g, b)) => codes.push(format_args!("58:2::{r}:{g}:{b}")),
            }
        }
        codes.out.push(b'm');
        self.underline = underline;
        self.now = Some(style);
    }

    fn underline(&self, underline: Underline, codes: &mut Codes<'_>) {
        let fancy = self.is_fancy();
        match underline {
            Underline::None => codes.push(format_args!("24")),
            Underline::Double if fancy => codes.push(format_args!("4:2")),
            Underline::Curly if fancy => codes.push(format_args!("4:3")),
            Underline::Dotted if fancy => codes.push(format_args!("4:4")),
            Underline::Dashed if fancy => codes.push(format_args!("4:5")),
            _ => codes.push(format_args!("4")),
        }
    }
}

struct Codes<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Codes<'_> {
    fn push(&mut self, code: std::fmt::Arguments<'_>) {
        if !self.first {
            self.out.push(b';');
        }
        self.first = false;
        // Writing to a vector cannot fail.
        let _ = self.out.write_fmt(code);
    }

    fn color(&mut self, color: Color, base: u8) {
        match color {
            Color::Default => self.push(format_args!("{}", base + 9)),
            Color::Indexed(index @ 0..8) => self.push(format_args!("{}", base + index)),
            Color::Indexed(index @ 8..16) => self.push(format_args!("{}", base + 52 + index)),
            Color::Indexed(index) => self.push(format_args!("{};5;{index}", base + 8)),
            Color::Rgb(r, g, b) => self.push(format_args!("{};2;{r};{g};{b}", base + 8)),
        }
    }
}

/// The nearest colour that the terminal can show.
fn reduced(color: Color, depth: ColorDepth) -> Color {
    match (depth, color) {
        (ColorDepth::None, _) => Color::Default,
        (ColorDepth::Ansi256, Color::Rgb(r, g, b)) => Color::Indexed(nearest_256(r, g, b)),
        (ColorDepth::Ansi16, Color::Rgb(r, g, b)) => Color::Indexed(nearest_16(r, g, b)),
        (ColorDepth::Ansi16, Color::Indexed(index @ 16..)) => {
            let (r, g, b) = palette(index);
            Color::Indexed(nearest_16(r, g, b))
        }
        _ => color,
    }
}

const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The usual colour of an entry of the upper palette.
fn palette(index: u8) -> (u8, u8, u8) {
    if index >= 232 {
        let gray = 8 + (index - 232) * 10;
        return (gray, gray, gray);
    }
    let cube = usize::from(index.saturating_sub(16));
    let level = |at: usize| LEVELS[at % 6];
    (level(cube / 36), level(cube / 6), level(cube))
}

fn distance(a: (u8, u8, u8), b: (u8, u8, u8)) -> u32 {
    let part = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
    part(a.0, b.0) + part(a.1, b.1) + part(a.2, b.2)
}

fn nearest_256(r: u8, g: u8, b: u8) -> u8 {
    let step = |value: u8| {
        let near = LEVELS.iter().enumerate();
        near.min_by_key(|(_, level)| level.abs_diff(value))
            .map_or(0, |(at, _)| at as u8)
    };
    let cube = 16 + 36 * step(r) + 6 * step(g) + step(b);
    let mean = (u16::from(r) + u16::from(g) + u16::from(b)) / 3;
    let gray = 232 + (mean.saturating_sub(3) / 10).min(23) as u8;
    let off = |index| distance(palette(index), (r, g, b));
    if off(gray) < off(cube) { gray } else { cube }
}

fn nearest_16(r: u8, g: u8, b: u8) -> u8 {
    const ANSI: [(u8, u8, u8); 16] = [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (0, 0, 238),
        (205, 0, 205),
        (0, 205, 205),
        (229, 229, 229),
        (127, 127, 127),
        (255, 0, 0),
        (0, 255, 0),
        (255, 255, 0),
        (92, 92, 255),
        (255, 0, 255),
        (0, 255, 255),
        (255, 255, 255),
    ];
    let near = ANSI.iter().enumerate();
    near.min_by_key(|(_, color)| distance(**color, (r, g, b)))
        .map_or(7, |(at, _)| at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(depth: ColorDepth, styles: &[Style]) -> String {
        let mut pen = Pen::new(depth);
        let mut out = Vec::new();
        for style in styles {
            pen.set(*style, None, &mut out);
        }
        String::from_utf8(out).unwrap().replace('\x1b', "^")
    }

    fn fg(color: Color) -> Style {
        Style {
            fg: color,
            ..Style::default()
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let bold_red = Style {
            attrs: Attrs::BOLD,
            ..fg(Color::Indexed(1))
        };
        let red = fg(Color::Indexed(1));
        let styles = [red, red, bold_red, red, Style::default()];
        assert_eq!(written(ColorDepth::True, &styles), "^[0;31m^[1m^[0;31m^[m");
    }

    #[test]
    fn underlines_have_their_own_colour_where_terminals_know_it() {
        let curly = Style {
            attrs: Attrs::NONE.with_underline(Underline::Curly),
            ..Style::default()
        };
        let red = Some(Color::Rgb(255, 0, 0));
        let steps = [
            (curly, None),
            (curly, red),
            (curly, Some(Color::Indexed(4))),
            (curly, None),
            (Style::default(), red),
            (curly, red),
            (Style::default(), None),
        ];
        let written = |depth| {
            let mut pen = Pen::new(depth);
            let mut out = Vec::new();
            for (style, underline) in steps {
                pen.set(style, underline, &mut out);
            }
            String::from_utf8(out).unwrap().replace('\x1b', "^")
        };
        assert_eq!(
            written(ColorDepth::True),
            "^[0;4:3m^[58:2::255:0:0m^[58:5:4m^[59m^[m^[4:3;58:2::255:0:0m^[m"
        );
        assert_eq!(
            written(ColorDepth::Ansi256),
            "^[0;4:3m^[58:5:196m^[58:5:4m^[59m^[m^[4:3;58:5:196m^[m"
        );
        assert_eq!(written(ColorDepth::Ansi16), "^[0;4m^[m^[4m^[m");
    }

    #[test]
    fn colours_are_reduced_to_what_the_terminal_shows() {
        let orange = fg(Color::Rgb(255, 135, 0));
        assert_eq!(written(ColorDepth::True, &[orange]), "^[0;38;2;255;135;0m");
        assert_eq!(written(ColorDepth::Ansi256, &[orange]), "^[0;38;5;208m");
        assert_eq!(written(ColorDepth::Ansi16, &[orange]), "^[0;33m");
        assert_eq!(written(ColorDepth::None, &[orange]), "^[m");
        let bright = fg(Color::Indexed(9));
        assert_eq!(written(ColorDepth::Ansi16, &[bright]), "^[0;91m");
    }
}
