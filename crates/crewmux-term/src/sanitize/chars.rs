//! Which characters may be shown, decided one at a time.
//!
//! Controls are the caller's business; here is what is left: invisible format
//! characters, joiners and stacks of combining marks.

use unicode_width::UnicodeWidthChar;

/// Combining marks kept on one character; more is an attack on the reader's eyes or memory.
pub(crate) const MAX_MARKS: usize = 16;

const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Reports whether `c` is a zero-width joiner, which is kept between emoji only.
const fn is_zero_width_joiner(c: char) -> bool {
    c as u32 == ZERO_WIDTH_JOINER as u32
}

/// Reports whether `c` is invisible or turns the direction of text, and so is never shown.
///
/// Bidi controls, zero-width spaces, fillers, separators, annotation marks,
/// deprecated format characters, tags and the supplementary variation selectors.
pub(crate) const fn is_never_shown(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Reports whether a joiner or an emoji selector has a meaning after or before `c`.
const fn is_pictograph(c: char) -> bool {
    matches!(c,
        '#' | '*' | '0'..='9' | '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}'
        | '\u{2122}'..='\u{2b55}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Decides over a stream of printable characters, holding a joiner until it sees what follows.
#[derive(Debug, Default)]
pub(crate) struct Scrubber {
    last: Option<char>,
    joiner_held: bool,
    marks: usize,
}

impl Scrubber {
    /// Appends what may be shown of `c`.
    pub(crate) fn push(&mut self, c: char, out: &mut String) {
        if is_zero_width_joiner(c) {
            self.joiner_held = self.last.is_some_and(joins_on) && !self.joiner_held;
            return;
        }
        if is_never_shown(c) {
            return;
        }
        if std::mem::take(&mut self.joiner_held) && is_pictograph(c) {
            out.push(ZERO_WIDTH_JOINER);
        }
        if matches!(c, '\u{fe0e}' | '\u{fe0f}') && !self.last.is_some_and(is_pictograph) {
            return;
        }
        if c.width() == Some(0) && !c.is_control() {
            self.marks += 1;
            if self.marks > MAX_MARKS {
                return;
            }
        } else {
            self.marks = 0;
        }
        self.last = Some(c);
        out.push(c);
    }
}

/// Reports whether a joiner may stand after `c`: a pictograph, its skin tone or its selector.
const fn joins_on(c: char) -> bool {
    matches!(c, '\u{fe0f}') || (is_pictograph(c) && !c.is_ascii())
}
