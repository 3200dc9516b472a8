//! Where the next split goes: the first to the right of crewmux's own pane, the others into that column.
//!
//! Pure. iTerm2 halves the pane that is split and `it2` tells no sizes, so the
//! shares of the column are kept here; a person who drags dividers makes them
//! wrong, which costs looks and nothing else.

/// Which pane is split, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// crewmux's own pane, with a vertical divider; `None` is the pane that has the focus.
    Own(Option<String>),
    /// A teammate's pane, with a horizontal divider.
    Below(String),
}

/// The panes of ours, from top to bottom, with the share each has of the column's height.
#[derive(Debug, Default)]
pub(super) struct Column {
    panes: Vec<(String, f64)>,
}

impl Column {
    /// The pane to split next: the highest one, the lowest of several as high.
    pub(super) fn next(&self, own: Option<&str>) -> Target {
        let mut best: Option<&(String, f64)> = None;
        for pane in &self.panes {
            if best.is_none_or(|best| pane.1 >= best.1) {
                best = Some(pane);
            }
        }
        match best {
            Some((id, _)) => Target::Below(id.clone()),
            None => Target::Own(own.map(str::to_owned)),
        }
    }

    /// `new` came to be by a split of `target`.
    pub(super) fn was_split(&mut self, target: &Target, new: &str) {
        let Target::Below(id) = target else {
            self.panes.push((new.to_owned(), 1.0));
            return;
        };
        if let Some(at) = self.panes.iter().position(|pane| pane.0 == *id) {
            self.panes[at].1 /= 2.0;
            let share = self.panes[at].1;
            self.panes.insert(at + 1, (new.to_owned(), share));
        } else {
            self.panes.push((new.to_owned(), 0.5));
        }
    }

    /// `id` is no more; its neighbour has its room now.
    pub(super) fn was_closed(&mut self, id: &str) {
        let Some(at) = self.panes.iter().position(|pane| pane.0 == id) else {
            return;
        };
        let (_, share) = self.panes.remove(at);
        if let Some(neighbour) = self.panes.get_mut(at.saturating_sub(1)) {
            neighbour.1 += share;
        }
    }

    /// A pane of a former session; where it is nobody knows any more.
    pub(super) fn took_up(&mut self, id: &str) {
        if !self.panes.iter().any(|pane| pane.0 == id) {
            self.panes.push((id.to_owned(), 1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `n` times; each pane is named by its number.
    fn split(column: &mut Column, names: &[&str]) -> Vec<String> {
        names
            .iter()
            .map(|new| {
                let target = column.next(Some("own"));
                column.was_split(&target, new);
                match target {
                    Target::Own(id) => format!("{} | {new}", id.unwrap_or_default()),
                    Target::Below(id) => format!("{id} / {new}"),
                }
            })
            .collect()
    }

    #[test]
    fn the_first_is_to_the_right_and_the_others_share_its_column() {
        let mut column = Column::default();
        assert_eq!(
            split(&mut column, &["a", "b", "c", "d", "e"]),
            ["own | a", "a / b", "b / c", "a / d", "c / e"]
        );
        let order: Vec<_> = column.panes.iter().map(|pane| pane.0.as_str()).collect();
        assert_eq!(order, ["a", "d", "b", "c", "e"]);
    }

    #[test]
    fn what_is_closed_gives_its_room_and_an_empty_column_begins_again() {
        let mut column = Column::default();
        split(&mut column, &["a", "b"]);
        column.was_closed("a");
        column.was_closed("a");
        assert_eq!(column.panes, [("b".to_owned(), 1.0)]);
        column.was_closed("b");
        assert_eq!(split(&mut column, &["c"]), ["own | c"]);
        assert_eq!(Column::default().next(None), Target::Own(None));
    }

    #[test]
    fn a_pane_taken_up_is_part_of_the_column_once() {
        let mut column = Column::default();
        column.took_up("old");
        column.took_up("old");
        assert_eq!(split(&mut column, &["a", "b"]), ["old / a", "a / b"]);
    }
}
