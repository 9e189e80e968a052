//! The line of starts that wait for the spawn thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Starts that may wait. More are refused with a reason (a start is tried again by its policy), so a
/// flood cannot grow memory. (A bounded channel of this length would take 3 MiB while idle.)
const CAPACITY: usize = 1 << 16;

/// Room for so many is kept while none waits.
const KEPT: usize = 64;

/// A bounded line of `T`.
pub(crate) struct Line<T> {
    state: Mutex<State<T>>,
    /// Something waits, or the line is closed.
    filled: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Line<T> {
    pub(crate) fn new() -> Line<T> {
        let state = State { waiting: VecDeque::new(), closed: false };
        Line { state: Mutex::new(state), filled: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the line; `Err` gives it back when the line is full.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.waiting.len() >= CAPACITY {
            return Err(item);
        }
        state.waiting.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// The next one; `None` when the line is closed and empty.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                return Some(item);
            }
            // A wave is over.
            state.waiting.shrink_to(KEPT);
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first one, if there is one and `wanted` says so. Never waits.
    pub(crate) fn take_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.lock();
        let is_wanted = wanted(state.waiting.front()?);
        if is_wanted { state.waiting.pop_front() } else { None }
    }

    /// So many wait at least, and each of these first ones is `wanted`.
    pub(crate) fn begins_with(&self, count: usize, wanted: impl Fn(&T) -> bool) -> bool {
        let state = self.lock();
        state.waiting.len() >= count && state.waiting.iter().take(count).all(wanted)
    }

    /// Nobody joins any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn all_are_taken_in_order_and_then_no_more() {
        let line = Arc::new(Line::new());
        let other = line.clone();
        let taker = std::thread::spawn(move || std::iter::from_fn(|| other.take()).collect::<Vec<i32>>());
        (0..1000).for_each(|i| line.push(i).unwrap());
        line.close();
        assert_eq!(taker.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_one_is_taken_only_when_it_is_wanted() {
        let line = Line::new();
        (0..5).for_each(|i| line.push(i).unwrap());
        assert!(line.begins_with(3, |i| *i < 3) && !line.begins_with(4, |i| *i < 3));
        assert!(line.begins_with(5, |_| true) && !line.begins_with(6, |_| true));
        assert_eq!(line.take_if(|i| *i == 1), None);
        assert_eq!(line.take_if(|i| *i == 0), Some(0));
        assert_eq!(line.take(), Some(1));
    }

    #[test]
    fn a_full_line_refuses() {
        let line = Line::new();
        (0..CAPACITY).for_each(|i| line.push(i).unwrap());
        assert_eq!(line.push(7), Err(7));
    }
}
