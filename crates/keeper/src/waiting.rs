//! Signals that are to be passed on. Of each number one can wait, as in the kernel.

use supers_os::Signal;

/// The signals that ask for the end; they are remembered while no daemon lives.
const STOPS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

pub(crate) fn is_stop(signal: Signal) -> bool {
    STOPS.contains(&signal)
}

/// Which signals wait, and who sent each. A stop that was said is kept as well: a daemon that dies before
/// it obeyed leaves it to the next.
#[derive(Debug)]
pub(crate) struct Waiting {
    senders: [Option<i32>; 65],
    said_stops: [Option<i32>; 65],
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting::new()
    }
}

impl Waiting {
    pub(crate) fn new() -> Waiting {
        Waiting { senders: [None; 65], said_stops: [None; 65] }
    }

    pub(crate) fn add(&mut self, signal: Signal, sender: i32) {
        if let Some(place) = self.senders.get_mut(index(signal)) {
            *place = Some(sender);
        }
    }

    /// All that is remembered: signal, sender, and whether it was said.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Signal, i32, bool)> {
        let lists = [(&self.senders, false), (&self.said_stops, true)];
        lists.into_iter().flat_map(|(list, said)| {
            let numbered = (0i64..).zip(list);
            numbered.filter_map(move |(n, sender)| Some((Signal::from_number(n)?, (*sender)?, said)))
        })
    }

    /// Remembers what another program remembered.
    pub(crate) fn restore(&mut self, signal: Signal, sender: i32, said: bool) {
        let list = if said { &mut self.said_stops } else { &mut self.senders };
        if let Some(place) = list.get_mut(index(signal)) {
            *place = Some(sender);
        }
    }

    /// The one with the lowest number, and its sender.
    pub(crate) fn first(&self) -> Option<(Signal, i32)> {
        let numbered = (0i64..).zip(&self.senders);
        numbered.filter_map(|(n, sender)| Signal::from_number(n).zip(*sender)).next()
    }

    /// The daemon was told.
    pub(crate) fn said(&mut self, signal: Signal) {
        let sender = self.senders.get_mut(index(signal)).and_then(Option::take);
        if let (true, Some(place)) = (is_stop(signal), self.said_stops.get_mut(index(signal))) {
            *place = sender;
        }
    }

    /// The daemon makes way for another as it was meant to. A stop that it was told and did not obey waits again: it
    /// did not read it any more.
    pub(crate) fn daemon_left(&mut self) {
        for stop in STOPS {
            let said = self.said_stops.get_mut(index(stop)).and_then(Option::take);
            if let Some(sender) = self.senders.get(index(stop)).copied().flatten().or(said) {
                self.add(stop, sender);
            }
        }
    }

    /// The daemon died. What was meant for it alone is dropped, and stops wait again.
    pub(crate) fn daemon_died(&mut self) {
        self.daemon_left();
        for (number, sender) in (0i64..).zip(&mut self.senders) {
            if !Signal::from_number(number).is_some_and(is_stop) {
                *sender = None;
            }
        }
    }
}

/// 0 is no signal, so a number that fits nowhere finds nothing.
fn index(signal: Signal) -> usize {
    usize::try_from(signal.number()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_waits() {
        let mut waiting = Waiting::new();
        for signal in [Signal::TERM, Signal::USR1, Signal::HUP, Signal::HUP] {
            waiting.add(signal, 9);
        }
        for signal in [Signal::HUP, Signal::USR1, Signal::TERM] {
            assert_eq!(waiting.first(), Some((signal, 9)));
            waiting.said(signal);
        }
        assert_eq!(waiting.first(), None);
    }

    #[test]
    fn all_can_be_carried_over() {
        let (mut waiting, mut other) = (Waiting::new(), Waiting::new());
        for signal in [Signal::HUP, Signal::TERM] {
            waiting.add(signal, 9);
        }
        waiting.said(Signal::TERM);
        waiting.all().for_each(|(signal, sender, said)| other.restore(signal, sender, said));
        let all: Vec<_> = other.all().collect();
        assert_eq!(all, [(Signal::HUP, 9, false), (Signal::TERM, 9, true)]);
    }

    #[test]
    fn one_that_leaves_takes_nothing_along() {
        let mut waiting = Waiting::new();
        for signal in [Signal::HUP, Signal::TERM] {
            waiting.add(signal, 9);
        }
        waiting.said(Signal::TERM);
        waiting.daemon_left();
        let all: Vec<_> = waiting.all().collect();
        assert_eq!(all, [(Signal::HUP, 9, false), (Signal::TERM, 9, false)]);
    }

    #[test]
    fn only_stops_outlive_a_daemon_said_or_not() {
        let mut waiting = Waiting::new();
        for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::USR2] {
            waiting.add(signal, 9);
        }
        waiting.said(Signal::HUP);
        waiting.said(Signal::INT);
        for _ in 0..2 {
            waiting.daemon_died();
            assert_eq!(waiting.first(), Some((Signal::INT, 9)));
            waiting.said(Signal::INT);
            assert_eq!(waiting.first(), Some((Signal::TERM, 9)));
            waiting.said(Signal::TERM);
            assert_eq!(waiting.first(), None);
        }
    }
}
