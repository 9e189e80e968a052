//! The last resort: posix_spawn(3), for our own children where both clone calls are refused.
//!
//! It can do session or group, standard and extra descriptors, signal mask and dispositions, and the
//! program (in which glibc's own two signals, 32 and 33, are ignored). It cannot change user, groups,
//! directory, mask, limits, priorities or privileges, join a control group, report to a keeper, or fill in a pid: a plan that
//! asks for any of these is refused with ENOSYS at its stage.

use super::plan::{Child, Method, Prepared, Session};
use super::stage::Failure;
use crate::reap;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use supers_core::exit::Stage;
use supers_core::ids::Pid;

/// Starts the plan; see above for what it may hold.
pub(super) fn posix_spawn(prepared: &mut Prepared<'_>, method: Method) -> Result<Child, Failure> {
    if let Some(stage) = too_much(prepared, method) {
        return Err(Failure::new(stage, libc::ENOSYS));
    }
    let actions = Actions::new(&prepared.sources)?;
    let attributes = Attributes::new(prepared)?;
    let mut pid: libc::pid_t = -1;
    // SAFETY: all pointers are valid for the call; the lists are NULL-terminated. libc's `*mut` is the
    // C prototype's `char *const`: the strings are not written to.
    let errno = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            prepared.plan.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            prepared.argv.as_ptr().cast(),
            prepared.env.as_ptr().cast(),
        )
    };
    done(Stage::Exec, errno)?;
    if let Some(birth) = prepared.plan.birth {
        // A moment later than the child would have done it.
        birth.note(pid.into());
    }
    let pid = Pid(pid);
    // Our own unreaped child: the number cannot have been given to another process.
    let pidfd =
        reap::pidfd_open(pid).map_err(|e| Failure::new(Stage::Fork, e.raw_os_error().unwrap_or(0)))?;
    Ok(Child { pid, pidfd })
}

/// The stage of the first thing in the plan that cannot be done this way.
fn too_much(prepared: &Prepared<'_>, method: Method) -> Option<Stage> {
    let plan = prepared.plan;
    let asks = [
        (method == Method::Keeper, Stage::Fork),
        (plan.report.is_some(), Stage::Report),
        (plan.cgroup.is_some(), Stage::Cgroup),
        (!plan.limits.is_empty(), Stage::Limits),
        (plan.nice.is_some() || plan.oom_score_adj.is_some(), Stage::Nice),
        (plan.creds.is_some(), Stage::Uid),
        (plan.directory.is_some() || plan.umask.is_some(), Stage::Chdir),
        (plan.no_new_privileges, Stage::Privileges),
        (!plan.pid_slots.is_empty(), Stage::Exec),
    ];
    asks.into_iter().find(|(asked, _)| *asked).map(|(_, stage)| stage)
}

/// These functions return the error number.
fn done(stage: Stage, errno: c_int) -> Result<(), Failure> {
    if errno == 0 { Ok(()) } else { Err(Failure::new(stage, errno)) }
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    /// Descriptors that lie where a target will be are moved up first, as in the child function. All
    /// others that std opened are close-on-exec.
    fn new(sources: &[c_int]) -> Result<Actions, Failure> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: makes a valid value of the uninitialised one.
        done(Stage::Files, unsafe { libc::posix_spawn_file_actions_init(raw.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        let mut actions = Actions(unsafe { raw.assume_init() });
        let count = c_int::try_from(sources.len()).unwrap_or(3);
        let aside = |place: c_int| 200 + place;
        for (place, source) in (0..count).zip(sources) {
            actions.dup2(*source, aside(place))?;
        }
        for place in 0..count {
            actions.dup2(aside(place), place)?;
        }
        for place in 0..count {
            // SAFETY: initialised; plain number.
            done(Stage::Files, unsafe {
                libc::posix_spawn_file_actions_addclose(&raw mut actions.0, aside(place))
            })?;
        }
        Ok(actions)
    }

    fn dup2(&mut self, from: c_int, to: c_int) -> Result<(), Failure> {
        // SAFETY: initialised; plain numbers.
        done(Stage::Files, unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised, and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(prepared: &Prepared<'_>) -> Result<Attributes, Failure> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: makes a valid value of the uninitialised one.
        done(Stage::Session, unsafe { libc::posix_spawnattr_init(raw.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        let mut attributes = Attributes(unsafe { raw.assume_init() });
        let group = match prepared.plan.session {
            Session::Group => libc::POSIX_SPAWN_SETPGROUP,
            Session::Session => libc::POSIX_SPAWN_SETSID.into(),
        };
        let flags = group | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let (mut none, mut all) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let attr = &raw mut attributes.0;
        // SAFETY: `attributes` is initialised, the sets are initialised by the first two calls, the
        // rest are plain numbers. Emptying and filling a set cannot fail.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            if prepared.plan.ignore_sigpipe {
                libc::sigdelset(all.as_mut_ptr(), libc::SIGPIPE);
            }
            done(Stage::Session, libc::posix_spawnattr_setsigmask(attr, none.as_ptr()))?;
            done(Stage::Session, libc::posix_spawnattr_setsigdefault(attr, all.as_ptr()))?;
            done(Stage::Session, libc::posix_spawnattr_setpgroup(attr, 0))?;
            done(Stage::Session, libc::posix_spawnattr_setflags(attr, flags as libc::c_short))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised, and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
