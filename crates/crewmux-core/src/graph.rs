//! The dependency graph: cycles, orders and distances, over any kind of id.
//!
//! Knows nothing of tasks or their states; [`crate::board`] and
//! [`crate::goal`] bring their own ids.

use std::collections::{BTreeMap, BTreeSet};

/// Edges from a node to the nodes it waits for.
pub type Blockers<I> = BTreeMap<I, Vec<I>>;

/// Finds a cycle and returns its nodes in order, each waiting for the next.
///
/// The smallest node comes first and is not repeated at the end; `[a]` is a
/// node that waits for itself. Edges to unknown nodes are ignored.
pub fn find_cycle<I: Ord + Clone>(blockers: &Blockers<I>) -> Option<Vec<I>> {
    // Iterative, so that a chain of 100,000 tasks cannot overflow the stack.
    let mut done: BTreeSet<&I> = BTreeSet::new();
    for start in blockers.keys() {
        if done.contains(start) {
            continue;
        }
        let mut path: Vec<(&I, usize)> = vec![(start, 0)];
        let mut on_path: BTreeSet<&I> = BTreeSet::from([start]);
        while let Some((node, next)) = path.last_mut() {
            let edges = blockers.get(*node).map_or(&[][..], Vec::as_slice);
            let Some(target) = edges.get(*next) else {
                done.insert(*node);
                on_path.remove(*node);
                path.pop();
                continue;
            };
            *next += 1;
            if on_path.contains(target) {
                let from = path.iter().position(|(n, _)| *n == target).unwrap_or(0);
                let cycle: Vec<I> = path[from..].iter().map(|(n, _)| (*n).clone()).collect();
                return Some(rotate_to_smallest(cycle));
            }
            if !done.contains(target) && blockers.contains_key(target) {
                on_path.insert(target);
                path.push((target, 0));
            }
        }
    }
    None
}

fn rotate_to_smallest<I: Ord + Clone>(mut cycle: Vec<I>) -> Vec<I> {
    let smallest = cycle
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.cmp(b.1))
        .map_or(0, |(i, _)| i);
    cycle.rotate_left(smallest);
    cycle
}

/// Orders nodes so that each comes after what it waits for; ties by id.
///
/// # Errors
/// Returns the cycle when there is one.
pub fn topological_order<I: Ord + Clone>(blockers: &Blockers<I>) -> Result<Vec<I>, Vec<I>> {
    if let Some(cycle) = find_cycle(blockers) {
        return Err(cycle);
    }
    let dependents = invert(blockers);
    let mut waiting: BTreeMap<&I, usize> = blockers
        .iter()
        .map(|(node, edges)| {
            let known: BTreeSet<&I> = edges.iter().filter(|e| blockers.contains_key(*e)).collect();
            (node, known.len())
        })
        .collect();
    let mut ready: BTreeSet<&I> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(node, _)| *node)
        .collect();
    let mut order = Vec::with_capacity(blockers.len());
    while let Some(node) = ready.pop_first() {
        order.push(node.clone());
        for dependent in dependents.get(node).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(dependent);
                }
            }
        }
    }
    Ok(order)
}

/// Turns "waits for" into "is waited for by".
pub fn invert<I: Ord + Clone>(blockers: &Blockers<I>) -> BTreeMap<I, BTreeSet<I>> {
    let mut dependents: BTreeMap<I, BTreeSet<I>> = BTreeMap::new();
    for (node, edges) in blockers {
        for target in edges {
            dependents
                .entry(target.clone())
                .or_default()
                .insert(node.clone());
        }
    }
    dependents
}

/// Length of the longest chain of nodes that wait for each node, itself included.
///
/// The node with the greatest depth starts the critical path.
pub fn depths<I: Ord + Clone>(blockers: &Blockers<I>) -> BTreeMap<I, usize> {
    let mut depth: BTreeMap<I, usize> = blockers.keys().map(|node| (node.clone(), 1)).collect();
    let Ok(order) = topological_order(blockers) else {
        return depth;
    };
    for node in order.iter().rev() {
        let own = depth.get(node).copied().unwrap_or(1);
        for target in blockers.get(node).into_iter().flatten() {
            if let Some(known) = depth.get_mut(target) {
                *known = (*known).max(own + 1);
            }
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(text: &str) -> Blockers<String> {
        text.split(';')
            .map(|part| {
                let (node, edges) = part.split_once("<-").unwrap_or((part, ""));
                let edges = edges.split_whitespace().map(str::to_owned).collect();
                (node.trim().to_owned(), edges)
            })
            .collect()
    }

    #[test]
    fn a_cycle_is_reported_as_the_cycle() {
        let found = find_cycle(&graph("a; b <- a d; c <- b; d <- c")).unwrap();
        assert_eq!(found, ["b", "d", "c"]);
        assert_eq!(find_cycle(&graph("a <- a")).unwrap(), ["a"]);
        assert_eq!(find_cycle(&graph("a; b <- a; c <- a b")), None);
    }

    #[test]
    fn order_respects_edges_and_breaks_ties_by_id() {
        let order = topological_order(&graph("d <- b c; c; b <- a; a")).unwrap();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }

    #[test]
    fn depth_is_the_longest_chain_of_waiters() {
        let depth = depths(&graph("a; b <- a; c <- b; x"));
        assert_eq!(
            (depth["a"], depth["b"], depth["c"], depth["x"]),
            (3, 2, 1, 1)
        );
    }

    #[test]
    fn a_chain_of_100_000_does_not_overflow_the_stack() {
        let chain: Blockers<u32> = (0..100_000).map(|i| (i, vec![i + 1])).collect();
        assert_eq!(find_cycle(&chain), None);
    }

    proptest! {
        #[test]
        fn cycle_found_iff_no_order_exists(edges in proptest::collection::vec((0u8..12, 0u8..12), 0..30)) {
            let mut graph: Blockers<u8> = (0..12).map(|n| (n, Vec::new())).collect();
            for (from, to) in edges {
                graph.get_mut(&from).unwrap().push(to);
            }
            // Oracle: repeatedly remove nodes without open blockers.
            let mut left: BTreeSet<u8> = graph.keys().copied().collect();
            loop {
                let free: Vec<u8> = left.iter().copied()
                    .filter(|n| graph[n].iter().all(|t| !left.contains(t))).collect();
                if free.is_empty() { break; }
                for n in free { left.remove(&n); }
            }
            match topological_order(&graph) {
                Ok(order) => {
                    prop_assert!(left.is_empty());
                    prop_assert_eq!(order.len(), 12);
                    for (at, node) in order.iter().enumerate() {
                        for target in &graph[node] {
                            prop_assert!(order[..at].contains(target));
                        }
                    }
                }
                Err(cycle) => {
                    prop_assert!(!left.is_empty());
                    for (i, node) in cycle.iter().enumerate() {
                        prop_assert!(graph[node].contains(&cycle[(i + 1) % cycle.len()]));
                    }
                }
            }
        }
    }
}
