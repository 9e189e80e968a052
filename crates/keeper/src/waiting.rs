//! Signals that are to be passed on. Of each number one can wait, as in the kernel.

use supers_core::signal::Signal;

/// The signals that ask for the end; they are remembered while no daemon lives.
const STOPS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

pub(crate) fn is_stop(signal: Signal) -> bool {
    STOPS.contains(&signal)
}

/// Which signals wait, and who sent each.
#[derive(Debug)]
pub(crate) struct Waiting {
    senders: [Option<i32>; 65],
}

impl Waiting {
    pub(crate) fn new() -> Waiting {
        Waiting { senders: [None; 65] }
    }

    fn place(&mut self, signal: Signal) -> Option<&mut Option<i32>> {
        self.senders.get_mut(usize::try_from(signal.number()).ok()?)
    }

    pub(crate) fn add(&mut self, signal: Signal, sender: i32) {
        if let Some(place) = self.place(signal) {
            *place = Some(sender);
        }
    }

    pub(crate) fn remove(&mut self, signal: Signal) {
        if let Some(place) = self.place(signal) {
            *place = None;
        }
    }

    /// The one with the lowest number, and its sender.
    pub(crate) fn first(&self) -> Option<(Signal, i32)> {
        let numbered = (0i64..).zip(&self.senders);
        numbered.filter_map(|(n, sender)| Signal::from_number(n).zip(*sender)).next()
    }

    /// The daemon died: what was meant for it alone is dropped.
    pub(crate) fn keep_only_stops(&mut self) {
        for (number, sender) in (0i64..).zip(&mut self.senders) {
            if !Signal::from_number(number).is_some_and(is_stop) {
                *sender = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_waits_and_only_stops_outlive_a_daemon() {
        let mut waiting = Waiting::new();
        for signal in [Signal::TERM, Signal::USR1, Signal::HUP, Signal::HUP] {
            waiting.add(signal, 9);
        }
        assert_eq!(waiting.first(), Some((Signal::HUP, 9)));
        waiting.remove(Signal::HUP);
        assert_eq!(waiting.first(), Some((Signal::USR1, 9)));
        waiting.keep_only_stops();
        assert_eq!(waiting.first(), Some((Signal::TERM, 9)));
        waiting.remove(Signal::TERM);
        assert_eq!(waiting.first(), None);
    }
}
