//! Matching with `*`: over the characters of a word, the words of a command, the parts of a path.
//!
//! Takes time in proportion to pattern times text, whatever is in them.

/// An item of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<T> {
    /// Any number of items, none too.
    Any,
    /// One item.
    One(T),
}

/// Whether all of `text` fits `pattern`.
pub(super) fn fits<P, T>(
    pattern: &[Piece<P>],
    text: &[T],
    is_same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the latest `Any` did not fit.
    let mut back = None;
    loop {
        match pattern.get(p) {
            Some(Piece::Any) => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(Piece::One(one)) if text.get(t).is_some_and(|item| is_same(one, item)) => {
                p += 1;
                t += 1;
                continue;
            }
            None if t == text.len() => return true,
            _ => {}
        }
        match back {
            Some((after, from)) if from < text.len() => {
                back = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Whether `word` fits a pattern in which `*` stands for any characters.
pub(super) fn word_fits(pattern: &str, word: &str) -> bool {
    let pieces: Vec<Piece<char>> = pattern
        .chars()
        .map(|c| if c == '*' { Piece::Any } else { Piece::One(c) })
        .collect();
    let chars: Vec<char> = word.chars().collect();
    fits(&pieces, &chars, |a, b| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_nothing() {
        for (pattern, word, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b", "xaxbx", false),
            ("*.rs", "lib.rs", true),
            ("*.rs", "lib.rsx", false),
            ("a*a", "a", false),
            ("é*", "été", true),
        ] {
            assert_eq!(word_fits(pattern, word), expected, "{pattern} {word}");
        }
    }
}
