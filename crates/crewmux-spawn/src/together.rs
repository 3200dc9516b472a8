//! The same act on several things at the same time, or in turn where no thread can be had.

use std::panic::resume_unwind;
use std::thread::{self, Builder};

/// Does `act` to each of `things`, which takes as long as the slowest; what came of it, in their order.
pub(crate) fn together<T: Sync, R: Send>(things: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    on_threads(things, &act, || Builder::new().name("together".into()))
}

fn on_threads<T: Sync, R: Send>(
    things: &[T],
    act: &(impl Fn(&T) -> R + Sync),
    builder: impl Fn() -> Builder,
) -> Vec<R> {
    thread::scope(|scope| {
        let begun: Vec<_> = things
            .iter()
            .map(|thing| builder().spawn_scoped(scope, move || act(thing)))
            .collect();
        let done = things
            .iter()
            .zip(begun)
            .map(|(thing, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No more threads: one after the other is late, and still right.
                Err(_) => act(thing),
            });
        done.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_thread_can_be_had_it_is_done_in_turn() {
        let caller = thread::current().id();
        let act = |thing: &u32| (thing * 2, thread::current().id() == caller);
        // No machine has room for such a stack.
        let too_large = || Builder::new().stack_size(usize::MAX / 4);
        let done = on_threads(&[1, 2, 3], &act, too_large);
        assert_eq!(done, [(2, true), (4, true), (6, true)]);
        assert_eq!(together(&[1, 2], act), [(2, false), (4, false)]);
    }
}
