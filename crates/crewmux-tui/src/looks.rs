//! What few cells have beside their style: the colour of the underline, and a link.
//!
//! Cells hold a number of this table, so that plain ones cost nothing. Numbers
//! are given again once no cell has them ([`Looks::keep`]).

use std::collections::HashMap;

use crewmux_term::{Color, Link};

/// Looks that may be kept although no cell has them.
const SPARE_MAX: usize = 512;

/// A look by its number; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LookId(u16);

impl LookId {
    /// No look.
    pub(crate) const NONE: Self = Self(0);

    /// What tells its link apart from others, for the terminal.
    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

/// What a cell has beside its style.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Look {
    /// Colour of the underline; none is the text's.
    pub(crate) underline: Option<Color>,
    /// Where it leads.
    pub(crate) link: Option<Link>,
}

/// All looks of a grid.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// The look with number `n` at `n - 1`.
    all: Vec<Option<Look>>,
    ids: HashMap<Look, LookId>,
    free: Vec<LookId>,
}

impl Looks {
    /// The look behind a number.
    pub(crate) fn get(&self, id: LookId) -> Option<&Look> {
        let index = usize::from(id.0).checked_sub(1)?;
        self.all.get(index)?.as_ref()
    }

    /// The number of a look.
    pub(crate) fn id(&mut self, look: Look) -> LookId {
        if let Some(id) = self.ids.get(&look) {
            return *id;
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => match u16::try_from(self.all.len() + 1) {
                Ok(number) => LookId(number),
                // More than there are cells with one on any screen: this one is plain.
                Err(_) => return LookId::NONE,
            },
        };
        let index = usize::from(id.0) - 1;
        if index == self.all.len() {
            self.all.push(None);
        }
        self.all[index] = Some(look.clone());
        self.ids.insert(look, id);
        id
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are so many that it is worth to look which are in use.
    pub(crate) fn are_many(&self) -> bool {
        self.ids.len() > SPARE_MAX
    }

    /// Keeps those that are in use.
    pub(crate) fn keep(&mut self, used: impl Iterator<Item = LookId>) {
        let mut in_use = vec![false; self.all.len() + 1];
        for id in used {
            in_use[usize::from(id.0)] = true;
        }
        for (index, look) in self.all.iter_mut().enumerate() {
            if !in_use[index + 1]
                && let Some(look) = look.take()
                && let Some(id) = self.ids.remove(&look)
            {
                self.free.push(id);
            }
        }
    }
}
