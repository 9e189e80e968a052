//! Many starts at once: a boot of a thousand units, a storm of restarts.
//!
//! One start is mostly the kernel's work, one step after another, and one core does it. Where many wait that have no
//! order among themselves (main programs of the same priorities), as many threads as there are cores begin them, the
//! first ones first. A few starts stay in order, one after another, as people expect who read a log.

use crate::line::Line;
use crate::spawner::{Request, Work};
use std::sync::OnceLock;
use std::thread;
use supers_core::proc::Exe;
use supers_os::spawn::HANDS;

/// So many must wait: a thread takes as long to make as a part of a start.
const LONG: usize = 16;

/// What the starts of a wave have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wave {
    group_priority: i32,
    priority: i32,
}

impl Wave {
    /// The wave that this request may be the first of.
    pub(crate) fn of(request: &Request) -> Option<Wave> {
        let is_start = matches!((&request.work, request.exe), (Work::Start, Exe::Main(_)));
        let Request { spec, .. } = request;
        is_start.then(|| Wave { group_priority: spec.group_priority, priority: spec.priority })
    }

    fn has(self, request: &Request) -> bool {
        Wave::of(request) == Some(self)
    }

    /// Serves what belongs to it, if that is much, on several threads. All of it is done when this comes back.
    pub(crate) fn run(self, line: &Line<Request>, serve: &(impl Fn(Request) -> bool + Sync)) {
        self.run_on(hands(), line, serve);
    }

    fn run_on(self, hands: usize, line: &Line<Request>, serve: &(impl Fn(Request) -> bool + Sync)) {
        if hands == 1 || !line.begins_with(LONG, |request| self.has(request)) {
            return;
        }
        let work = || while line.take_if(|request| self.has(request)).is_some_and(serve) {};
        thread::scope(|scope| {
            for _ in 1..hands {
                // Where there is no room for a thread the others do its part.
                let _ =
                    thread::Builder::new().name("spawn".into()).stack_size(STACK).spawn_scoped(scope, work);
            }
            work();
        });
    }
}

/// Of a thread that starts processes.
pub(crate) const STACK: usize = 256 << 10;

/// Cores that this process may use, as far as they are of use here.
fn hands() -> usize {
    static KNOWN: OnceLock<usize> = OnceLock::new();
    *KNOWN.get_or_init(|| thread::available_parallelism().map_or(1, |n| n.get().min(HANDS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier, Mutex};
    use supers_core::ids::{RunId, UnitId};
    use supers_core::spec::Spec;

    fn start(run: u64, priority: i32) -> Request {
        let spec = Arc::new(Spec { priority, ..Spec::new("a") });
        let (unit, run, exe, work) = (UnitId(0), RunId(run), Exe::Main(0), Work::Start);
        Request { unit, run, exe, spec, main: None, socket: None, work }
    }

    /// Runs of the line that a wave behind a start of priority 1 serves.
    fn served(waiting: Vec<Request>, hands: usize, serve: &(impl Fn(&Request) + Sync)) -> Vec<u64> {
        let line = Line::new();
        waiting.into_iter().for_each(|request| drop(line.push(request)));
        let done = Mutex::new(Vec::new());
        Wave::of(&start(0, 1)).unwrap().run_on(hands, &line, &|request| {
            serve(&request);
            done.lock().unwrap().push(request.run.0);
            true
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        done
    }

    #[test]
    fn as_many_at_once_as_there_are_hands() {
        let meet = Barrier::new(3);
        let waiting = (1..=30).map(|run| start(run, 1)).collect();
        // Each waits for two others.
        assert_eq!(
            served(waiting, 3, &|_| {
                meet.wait();
            }),
            (1..=30).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_few_stay_in_order() {
        let few = || (1..LONG as u64).map(|run| start(run, 1)).collect();
        assert!(served(few(), 2, &|_| {}).is_empty());
        let many = || (1..=LONG as u64).map(|run| start(run, 1)).collect();
        assert!(served(many(), 1, &|_| {}).is_empty());
        assert_eq!(served(many(), 2, &|_| {}).len(), LONG);
    }

    #[test]
    fn what_has_an_order_ends_it() {
        type Change = fn(&mut Request);
        let others: [(&str, Change); 4] = [
            ("another priority", |r| r.spec = start(0, 2).spec),
            ("of the group", |r| {
                r.spec = Arc::new(Spec { group_priority: 7, ..(*start(0, 1).spec).clone() })
            }),
            ("a stop command", |r| r.exe = Exe::Stop(0)),
            ("a run that lives", |r| r.work = Work::Adopt([None, None])),
        ];
        for (what, change) in others {
            let mut waiting: Vec<Request> = (1..=40).map(|run| start(run, 1)).collect();
            change(&mut waiting[19]);
            assert_eq!(served(waiting, 2, &|_| {}), (1..=19).collect::<Vec<_>>(), "{what}");
            let mut waiting: Vec<Request> = (1..=40).map(|run| start(run, 1)).collect();
            change(&mut waiting[9]);
            assert!(served(waiting, 2, &|_| {}).is_empty(), "{what}: too few before it");
        }
    }

    #[test]
    fn it_ends_when_nobody_hears_of_it_any_more() {
        let line = Line::new();
        (1..=30).for_each(|run| drop(line.push(start(run, 1))));
        Wave::of(&start(0, 1)).unwrap().run_on(2, &line, &|_| false);
        assert!(line.begins_with(28, |_| true));
    }
}
