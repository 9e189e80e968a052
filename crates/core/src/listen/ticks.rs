//! When the wall clock crosses a multiple of a period.

use crate::event::{Happening, Kind, Period};
use crate::time::{Mono, Now};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// A wall clock that is set is noticed after this time at the latest, where somebody wants ticks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The last multiples that were seen; only of periods that somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Ticks {
    last: [Option<i64>; Period::ALL.len()],
    next: Option<Mono>,
}

impl Ticks {
    /// The last multiples that were seen, by the names of their ticks.
    pub fn save(&self) -> BTreeMap<String, i64> {
        let rows = Period::ALL.into_iter().zip(self.last);
        rows.filter_map(|(period, last)| Some((period.kind().name().into(), last?))).collect()
    }

    /// Nothing is to be written down again.
    pub fn saw_the_same(&self, other: &Ticks) -> bool {
        self.last == other.last
    }

    /// Goes on from there: a multiple that was crossed meanwhile is one tick at the next look.
    pub fn restore(&mut self, saved: &BTreeMap<String, i64>) {
        for (period, last) in Period::ALL.into_iter().zip(&mut self.last) {
            *last = saved.get(period.kind().name()).copied().or(*last);
        }
    }

    /// When to look again. Never while nobody wants a tick.
    pub fn deadline(&self) -> Option<Mono> {
        self.next
    }

    /// Looks at the clock. However far it was set, forward or back, that is one tick of each period.
    pub fn pass(&mut self, wants: impl Fn(Kind) -> bool, now: Now) -> Vec<Happening> {
        let mut crossed = Vec::new();
        self.next = None;
        for (period, last) in Period::ALL.into_iter().zip(&mut self.last) {
            if !wants(period.kind()) {
                *last = None;
                continue;
            }
            let when = now.wall.secs().div_euclid(period.seconds()) * period.seconds();
            if last.replace(when).is_some_and(|last| last != when) {
                crossed.push(Happening::Tick { period, when });
            }
            let left = (when + period.seconds()) * 1000 - now.wall.0;
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LOOK_EVERY);
            let at = now.mono + left;
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
        crossed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use alloc::vec;

    fn at(mono: u64, wall: i64) -> Now {
        Now { mono: Mono(0) + Duration::from_millis(mono), wall: Wall(wall) }
    }

    fn texts(happenings: &[Happening]) -> Vec<(&'static str, String)> {
        happenings.iter().map(|h| (h.kind().name(), h.payload())).collect()
    }

    #[test]
    fn a_tick_comes_when_a_multiple_is_crossed() {
        let mut ticks = Ticks::default();
        let all = |_| true;
        assert!(ticks.pass(all, at(0, 3_599_999_200)).is_empty(), "nothing was crossed yet");
        assert_eq!(ticks.deadline(), Some(at(800, 0).mono));
        assert!(ticks.pass(all, at(799, 3_599_999_999)).is_empty());
        let three = vec![
            ("TICK_5", "when:3600000".into()),
            ("TICK_60", "when:3600000".into()),
            ("TICK_3600", "when:3600000".into()),
        ];
        assert_eq!(texts(&ticks.pass(all, at(801, 3_600_000_001))), three);
        assert_eq!(ticks.deadline(), Some(at(801 + 4999, 0).mono));
        assert!(ticks.pass(all, at(900, 3_600_000_100)).is_empty(), "once");
    }

    #[test]
    fn a_clock_that_is_set_makes_one_tick() {
        let mut ticks = Ticks::default();
        let minute = |kind| kind == Kind::Tick60;
        ticks.pass(minute, at(0, 0));
        assert_eq!(texts(&ticks.pass(minute, at(10, 86_399_000))), [("TICK_60", "when:86340".into())]);
        assert_eq!(texts(&ticks.pass(minute, at(20, -1))), [("TICK_60", "when:-60".into())]);
    }

    #[test]
    fn a_crash_neither_repeats_nor_skips_a_tick() {
        let two = |kind| kind == Kind::Tick5 || kind == Kind::Tick60;
        let mut ticks = Ticks::default();
        ticks.pass(two, at(0, 59_000));
        assert_eq!(ticks.pass(two, at(1, 60_001)).len(), 2);
        let again = |wall| {
            let mut again = Ticks::default();
            again.pass(two, at(2, wall));
            again.restore(&ticks.save());
            texts(&again.pass(two, at(2, wall)))
        };
        assert_eq!(again(60_500), []);
        assert_eq!(again(66_000), [("TICK_5", "when:65".into())]);
        assert_eq!(again(121_000), [("TICK_5", "when:120".into()), ("TICK_60", "when:120".into())]);
    }

    #[test]
    fn nothing_wakes_for_ticks_that_nobody_wants() {
        let mut ticks = Ticks::default();
        assert!(ticks.pass(|_| false, at(0, 4000)).is_empty());
        assert_eq!(ticks.deadline(), None);
        ticks.pass(|kind| kind == Kind::Tick3600, at(0, 4000));
        assert_eq!(ticks.deadline(), Some(at(60_000, 0).mono), "a clock may be set meanwhile");
        ticks.pass(|_| false, at(0, 3_600_000));
        assert!(ticks.pass(|_| true, at(0, 7_200_000)).is_empty(), "what was not wanted is not made up for");
    }
}
