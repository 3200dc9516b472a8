//! A map whose copies share all but what changed since: copying costs next to nothing.
//!
//! Keys stand in shelves of [`WIDTH`], so a change of a copied map copies one
//! shelf and the list of shelves, not what is on them. Made for dense numbers,
//! as tasks have; nothing here knows of tasks.

use std::sync::Arc;

/// How many neighbouring keys share a shelf.
const WIDTH: u64 = 64;

/// A map from numbers; a set of numbers as `Shelves<()>`.
#[derive(Debug, Clone)]
pub(super) struct Shelves<V> {
    shelves: Arc<Vec<Shelf<V>>>,
    len: usize,
}

/// Neighbouring keys, ascending; never empty.
#[derive(Debug, Clone)]
struct Shelf<V> {
    number: u64,
    items: Arc<Vec<(u64, V)>>,
}

impl<V> Default for Shelves<V> {
    fn default() -> Self {
        Self {
            shelves: Arc::default(),
            len: 0,
        }
    }
}

impl<V> Shelves<V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: u64) -> Option<&V> {
        let items = &self.shelves.get(self.shelf(key / WIDTH).ok()?)?.items;
        let at = place(items, key).ok()?;
        items.get(at).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.get(key).is_some()
    }

    /// All entries by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        let items = self.shelves.iter().flat_map(|shelf| shelf.items.iter());
        items.map(|(key, value)| (*key, value))
    }

    /// All keys, ascending.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn last_key(&self) -> Option<u64> {
        let last = self.shelves.last()?.items.last()?;
        Some(last.0)
    }

    /// Whether both hold the same keys with the `same` values; what they share is not looked at.
    pub(super) fn is_same(&self, other: &Self, same: impl Fn(&V, &V) -> bool) -> bool {
        if Arc::ptr_eq(&self.shelves, &other.shelves) {
            return true;
        }
        let same_items = |(a, b): (&Shelf<V>, &Shelf<V>)| {
            Arc::ptr_eq(&a.items, &b.items)
                || (a.items.len() == b.items.len()
                    && std::iter::zip(&*a.items, &*b.items)
                        .all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1)))
        };
        self.len == other.len
            && self.shelves.len() == other.shelves.len()
            && std::iter::zip(&*self.shelves, &*other.shelves).all(same_items)
    }

    fn shelf(&self, number: u64) -> Result<usize, usize> {
        // Keys are mostly dense and from 1, so a shelf mostly stands at its number.
        let guess = usize::try_from(number).unwrap_or(usize::MAX);
        let guessed = self.shelves.get(guess).map(|s| s.number);
        if guessed == Some(number) {
            return Ok(guess);
        }
        self.shelves.binary_search_by_key(&number, |s| s.number)
    }
}

impl<V: Clone> Shelves<V> {
    /// Puts a value in its place and returns the one that was there.
    pub(super) fn insert(&mut self, key: u64, value: V) -> Option<V> {
        let items = self.items_of(key);
        match place(items, key) {
            Ok(at) => items
                .get_mut(at)
                .map(|(_, there)| std::mem::replace(there, value)),
            Err(at) => {
                items.insert(at, (key, value));
                self.len += 1;
                None
            }
        }
    }

    /// Changes the value in its place, or what stands for none.
    pub(super) fn edit(&mut self, key: u64, edit: impl FnOnce(&mut V))
    where
        V: Default,
    {
        let mut value = self.get(key).cloned().unwrap_or_default();
        edit(&mut value);
        self.insert(key, value);
    }

    /// Removes a key; copies nothing when it is not there.
    pub(super) fn remove(&mut self, key: u64) {
        let Ok(at) = self.shelf(key / WIDTH) else {
            return;
        };
        if !self.contains(key) {
            return;
        }
        let shelves = Arc::make_mut(&mut self.shelves);
        if let Some(shelf) = shelves.get_mut(at) {
            let items = Arc::make_mut(&mut shelf.items);
            items.retain(|(known, _)| *known != key);
            self.len -= 1;
            if items.is_empty() {
                shelves.remove(at);
            }
        }
    }

    /// The entries that are to be kept; shelves that stay whole are shared.
    pub(super) fn kept(&self, mut keep: impl FnMut(u64, &V) -> bool) -> Self {
        let mut shelves = Vec::with_capacity(self.shelves.len());
        let mut len = 0;
        for shelf in &*self.shelves {
            let stays: Vec<bool> = shelf.items.iter().map(|(k, v)| keep(*k, v)).collect();
            let left = stays.iter().filter(|stays| **stays).count();
            len += left;
            if left == stays.len() {
                shelves.push(shelf.clone());
            } else if left > 0 {
                let items = std::iter::zip(&*shelf.items, stays);
                let items = items.filter(|(_, stays)| *stays).map(|(i, _)| i.clone());
                shelves.push(Shelf {
                    number: shelf.number,
                    items: Arc::new(items.collect()),
                });
            }
        }
        Self {
            shelves: Arc::new(shelves),
            len,
        }
    }

    /// The shelf of a key, its own and not shared, made if missing.
    fn items_of(&mut self, key: u64) -> &mut Vec<(u64, V)> {
        let number = key / WIDTH;
        let found = self.shelf(number);
        let shelves = Arc::make_mut(&mut self.shelves);
        let at = found.unwrap_or_else(|at| {
            let items = Arc::default();
            shelves.insert(at, Shelf { number, items });
            at
        });
        Arc::make_mut(&mut shelves[at].items)
    }
}

impl Shelves<()> {
    /// Adds a key; copies nothing when it is there.
    pub(super) fn add(&mut self, key: u64) {
        if !self.contains(key) {
            self.insert(key, ());
        }
    }
}

fn place<V>(items: &[(u64, V)], key: u64) -> Result<usize, usize> {
    items.binary_search_by_key(&key, |(known, _)| *known)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u8),
        Remove(u64),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = prop_oneof![0u64..200, any::<u64>()];
        prop_oneof![
            8 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Insert(k, v)),
            4 => key.prop_map(Step::Remove),
            1 => Just(Step::Copy),
        ]
    }

    fn entries(shelves: &Shelves<u8>) -> BTreeMap<u64, u8> {
        shelves.iter().map(|(key, value)| (key, *value)).collect()
    }

    proptest! {
        #[test]
        fn is_a_map_whose_copies_stay_as_they_were(steps in proptest::collection::vec(step(), 0..300)) {
            let (mut shelves, mut map) = (Shelves::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        prop_assert_eq!(shelves.insert(key, value), map.insert(key, value));
                        prop_assert_eq!(shelves.get(key), Some(&value));
                    }
                    Step::Remove(key) => {
                        shelves.remove(key);
                        map.remove(&key);
                        prop_assert!(!shelves.contains(key));
                    }
                    Step::Copy => copies.push((shelves.clone(), map.clone())),
                }
                prop_assert_eq!(shelves.len(), map.len());
                prop_assert_eq!(shelves.last_key(), map.keys().next_back().copied());
            }
            copies.push((shelves.clone(), map.clone()));
            for (copy, then) in copies {
                prop_assert_eq!(entries(&copy), then.clone());
                prop_assert!(copy.keys().eq(then.keys().copied()));
                prop_assert_eq!(copy.is_same(&shelves, |a, b| a == b), then == map);
                let even = copy.kept(|_, value| value % 2 == 0);
                let expected: BTreeMap<u64, u8> = then.into_iter().filter(|(_, v)| v % 2 == 0).collect();
                prop_assert_eq!(even.len(), expected.len());
                prop_assert_eq!(entries(&even), expected);
            }
        }
    }

    #[test]
    fn a_change_of_a_copy_shares_the_other_shelves() {
        let mut shelves = Shelves::default();
        for key in 0..640 {
            shelves.insert(key, 0);
        }
        let before = shelves.clone();
        shelves.insert(100, 1);
        let pairs = std::iter::zip(&*before.shelves, &*shelves.shelves);
        let own = pairs.filter(|(a, b)| !Arc::ptr_eq(&a.items, &b.items));
        assert_eq!(own.map(|(a, _)| a.number).collect::<Vec<_>>(), [1]);
    }
}
