//! The line of starts: two threads take from it, so that one prepares (user, environment, log files,
//! pipes) while the other waits for a clone to execute; but clones happen strictly in the order of the
//! line (supervisor-contract 7: the start order).

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Starts that may wait. More are refused with a reason (a start is tried again by its policy), so a
/// flood cannot grow memory.
const CAPACITY: usize = 1 << 16;

/// A line of `T`, each with its turn.
pub(crate) struct Line<T> {
    state: Mutex<State<T>>,
    /// Something waits, or the line is closed.
    filled: Condvar,
    /// It is the next one's turn.
    turned: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// How many were taken: the turn of the next one to be taken.
    taken: u64,
    /// Whose turn it is.
    turn: u64,
    closed: bool,
}

impl<T> Line<T> {
    pub(crate) fn new() -> Line<T> {
        let state = State { waiting: VecDeque::new(), taken: 0, turn: 0, closed: false };
        Line { state: Mutex::new(state), filled: Condvar::new(), turned: Condvar::new() }
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

    /// The next one, and its turn; `None` when the line is closed and empty.
    pub(crate) fn take(&self) -> Option<(u64, T)> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                let turn = state.taken;
                state.taken += 1;
                return Some((turn, item));
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all that were taken before have passed.
    pub(crate) fn wait_for(&self, turn: u64) {
        let mut state = self.lock();
        while state.turn < turn {
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the next one pass.
    pub(crate) fn pass(&self) {
        self.lock().turn += 1;
        self.turned.notify_all();
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
    fn two_takers_pass_in_order() {
        let line = Arc::new(Line::new());
        let passed = Arc::new(Mutex::new(Vec::new()));
        let taker = || {
            let (line, passed) = (line.clone(), passed.clone());
            std::thread::spawn(move || {
                while let Some((turn, item)) = line.take() {
                    line.wait_for(turn);
                    passed.lock().unwrap().push(item);
                    line.pass();
                }
            })
        };
        let takers = [taker(), taker()];
        (0..1000).for_each(|i| line.push(i).unwrap());
        line.close();
        takers.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*passed.lock().unwrap(), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_line_refuses() {
        let line = Line::new();
        (0..CAPACITY).for_each(|i| line.push(i).unwrap());
        assert_eq!(line.push(7), Err(7));
    }
}
