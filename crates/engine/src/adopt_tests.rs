//! Where a run of the records is: a number alone never says it.

use super::*;

/// A run of this number and process.
fn saved(run: u64, pid: Pid, identity: u64) -> SavedRun {
    let exe = Exe::Main(0);
    SavedRun { run, exe, pid: pid.0, identity, foreign: true, exit: None, due: None }
}

fn own() -> (Pid, u64) {
    let pid = Pid(supers_os::process::pid());
    (pid, reap::identity(&reap::pidfd_open(pid).unwrap(), pid).unwrap())
}

/// In a word, with the process that it is about.
fn found(saved: &SavedRun, same_keeper: bool, living: &[(RunId, Pid)]) -> (&'static str, i32) {
    found_with(saved, same_keeper, None, living)
}

/// The same, with what children noted.
fn found_with(
    saved: &SavedRun,
    same_keeper: bool,
    births: Option<&Births>,
    living: &[(RunId, Pid)],
) -> (&'static str, i32) {
    let mut left = Inheritance { living: living.iter().copied().collect(), ..Inheritance::default() };
    match whereabouts(saved, same_keeper, births, &mut left) {
        Whereabouts::There(Found { pid, foreign: true, pidfd }) => {
            assert!(pidfd.is_some(), "it is held by what it was known by");
            ("foreign", pid.0)
        }
        Whereabouts::There(Found { pid, foreign: false, .. }) => {
            assert!(!left.living.contains_key(&RunId(saved.run)), "nobody finds it a second time");
            ("ours", pid.0)
        }
        Whereabouts::Gone(pid) => ("gone", pid.0),
        Whereabouts::Unborn => ("unborn", 0),
    }
}

#[test]
fn a_number_that_somebody_else_has_by_now_is_not_touched() {
    let (pid, identity) = own();
    for same_keeper in [false, true] {
        assert_eq!(found(&saved(7, pid, identity), same_keeper, &[]), ("foreign", pid.0));
        for other in [identity + 1, identity - 1, 1, u64::MAX] {
            assert_eq!(found(&saved(7, pid, other), same_keeper, &[]), ("gone", pid.0), "{other}");
        }
        // Nothing is known but the number.
        assert_eq!(found(&saved(7, pid, 0), same_keeper, &[]), ("gone", pid.0));
    }
    // The identity of one and the number of another.
    let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let other = Pid(child.id().try_into().unwrap());
    assert_eq!(found(&saved(7, other, identity), false, &[]), ("gone", other.0));
    let known = reap::identity(&reap::pidfd_open(other).unwrap(), other).unwrap();
    assert_eq!(found(&saved(7, other, known), false, &[]), ("foreign", other.0));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found(&saved(7, other, known), false, &[]), ("gone", other.0));
}

#[test]
fn the_keeper_knows_its_children() {
    let (pid, identity) = own();
    let child = |saved: SavedRun| SavedRun { foreign: false, ..saved };
    let living = [(RunId(7), Pid(4711)), (RunId(8), pid)];
    // By its run, whatever number was written down, or none.
    for written in [Pid(4711), Pid(4712), Pid(0)] {
        assert_eq!(found(&child(saved(7, written, 0)), true, &living), ("ours", 4711));
    }
    // It never heard of this one, so its number is another's, even if all seems to fit.
    assert_eq!(found(&child(saved(9, pid, identity)), true, &living), ("gone", pid.0));
    // Another keeper need not know it.
    assert_eq!(found(&child(saved(9, pid, identity)), false, &living), ("foreign", pid.0));
    for same_keeper in [false, true] {
        assert_eq!(found(&child(saved(9, Pid(0), 0)), same_keeper, &living), ("unborn", 0));
    }
}

#[test]
fn what_nobody_heard_of_noted_itself() {
    use supers_os::spawn::{Method, Plan, spawn};
    let dir = tempfile::tempdir().unwrap();
    let births = Births::create(&dir.path().join("births")).unwrap();
    let mut plan = Plan::new(c"/bin/sleep".into(), vec![c"sleep".into(), c"60".into()]);
    plan.birth = Some(births.notebook(7));
    let child = spawn(&plan, Method::Own).unwrap();
    let unheard = |run| saved(run, Pid(0), 0);
    let found = |run, same_keeper| found_with(&unheard(run), same_keeper, Some(&births), &[]);
    assert_eq!(found(7, false), ("foreign", child.pid.0));
    assert_eq!(found(8, false), ("unborn", 0));
    assert_eq!(found(7, true), ("unborn", 0), "our keeper would have told");
    reap::kill_group(child.pid, Signal::KILL).unwrap();
    reap::wait(child.pid).unwrap();
    assert_eq!(found(7, false), ("gone", child.pid.0));
    // One that cannot be executed was born all the same.
    plan.program = c"/no/such/program".into();
    plan.birth = Some(births.notebook(9));
    spawn(&plan, Method::Own).unwrap_err();
    assert_eq!(found(9, false).0, "gone");
}
