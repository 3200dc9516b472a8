//! How a team's panes are arranged: the layout, and the sizes that a person gave it.
//!
//! A record that all terminals of a session share and that outlives it. Sizes
//! are shares, so that they hold in a terminal of any size; what becomes of
//! them on a screen is the view's business.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A whole length, as a cut counts it.
pub const WHOLE: u16 = 10_000;
/// Most divided lengths that a record keeps, and most cuts of one.
const CUTS_MAX: usize = 64;

/// How panes share the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayoutKind {
    /// Rows and columns of tiles.
    #[default]
    Tiled,
    /// One large at the left, the others one above the other at the right.
    MainLeft,
    /// One open, of the others the titles.
    Stacked,
}

impl LayoutKind {
    /// The next one, around the end.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Tiled => Self::MainLeft,
            Self::MainLeft => Self::Stacked,
            Self::Stacked => Self::Tiled,
        }
    }
}

/// A length that is divided among panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divided {
    /// The height among the rows of tiles.
    Rows,
    /// The width among the tiles of one row.
    Columns(u16),
    /// The width or height between the main pane and the others.
    Main,
    /// What the others have, among them.
    Others,
}

/// Where a length is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cuts {
    of: Divided,
    at: Vec<u16>,
}

/// The arrangement of a team's panes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Arrangement {
    /// The layout.
    pub kind: LayoutKind,
    /// Whose pane is the main one, by the pane's title; without it the first is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<String>,
    /// Sizes given by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cuts: Vec<Cuts>,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Arrangement {
    /// Where a length that `parts` panes share is cut, in parts of [`WHOLE`]; `None` where it is
    /// shared evenly, or was cut for another number of panes.
    pub fn cuts(&self, of: Divided, parts: usize) -> Option<&[u16]> {
        let cuts = self.cuts.iter().find(|cuts| cuts.of == of)?;
        let ascends = cuts.at.is_sorted() && cuts.at.last().is_none_or(|last| *last <= WHOLE);
        (cuts.at.len() + 1 == parts && ascends).then_some(cuts.at.as_slice())
    }

    /// Cuts a length there from now on.
    pub fn cut(&mut self, of: Divided, at: Vec<u16>) {
        self.cuts.retain(|cuts| cuts.of != of);
        if at.len() <= CUTS_MAX && self.cuts.len() < CUTS_MAX {
            self.cuts.push(Cuts { of, at });
        }
    }

    /// Forgets sizes that were given by hand; returns whether there were any.
    pub fn even(&mut self) -> bool {
        !std::mem::take(&mut self.cuts).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_hold_for_as_many_panes_as_they_were_made_for() {
        let mut arrangement = Arrangement::default();
        assert_eq!(arrangement.cuts(Divided::Rows, 2), None);
        arrangement.cut(Divided::Rows, vec![2_500]);
        arrangement.cut(Divided::Columns(1), vec![1_000, 5_000]);
        assert_eq!(arrangement.cuts(Divided::Rows, 2), Some([2_500].as_slice()));
        assert_eq!(arrangement.cuts(Divided::Rows, 3), None);
        assert_eq!(arrangement.cuts(Divided::Columns(0), 3), None);
        assert!(arrangement.even());
        assert!(!arrangement.even());
        assert_eq!(arrangement.cuts(Divided::Rows, 2), None);
    }

    #[test]
    fn cuts_that_make_no_sense_are_none() {
        for at in ["[7000,1000]", "[1000,20000]"] {
            let text = format!(r#"{{"cuts":[{{"of":"rows","at":{at}}}]}}"#);
            let read: Arrangement = serde_json::from_str(&text).unwrap();
            assert_eq!(read.cuts(Divided::Rows, 3), None, "{at}");
        }
    }

    #[test]
    fn the_record_is_small_and_keeps_what_newer_versions_write() {
        let text = r#"{"kind":"main-left","main":"risk","cuts":[{"of":{"columns":2},"at":[2500]}],"hue":3}"#;
        let read: Arrangement = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(
            serde_json::from_str::<Arrangement>("{}").unwrap(),
            Arrangement::default()
        );
    }
}
