//! Starting a process.
//!
//! [`Plan`] says what it shall look like, [`spawn`] makes it and comes back when its program runs, or
//! with the step that failed. The way is clone3(2) with CLONE_VM and CLONE_VFORK and a child function of
//! raw system calls (`child`); where clone3 is refused, clone(2) with the same flags; and for our own
//! children, as a last resort, posix_spawn(3), which can do less (`fallback`). Never fork.

mod child;
mod clone;
mod fallback;
mod plan;
mod resolve;
mod slots;
mod stage;

pub use plan::{CgroupJoin, Child, Creds, Method, Plan, Prepared, Report, Session};
pub use resolve::{DEFAULT_PATH, resolve};
pub use slots::{HANDS, reserve_places};
pub use stage::Failure;

use crate::{reap, signals};
use child::Image;
use clone::{Born, Sharing};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use supers_core::exit::{Stage, StartError};
use supers_core::ids::Pid;

/// Ways to make a process, for those who must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// clone3(2).
    Clone3,
    /// clone(2).
    Clone,
    /// posix_spawn(3); only [`Method::Own`].
    PosixSpawn,
}

/// clone3 was refused once; a seccomp filter does not change its mind.
static CLONE3_REFUSED: AtomicBool = AtomicBool::new(false);

/// Starts a process and waits until its program runs.
///
/// # Errors
/// The step that failed, as a full sentence. The failed child is reaped already, unless it is the
/// keeper's ([`Method::Keeper`]): then its end is told by the keeper like any other.
pub fn spawn(plan: &Plan, method: Method) -> Result<Child, StartError> {
    Prepared::new(plan).start(method).map_err(|failure| failure.explain(plan))
}

/// [`spawn`] by one way only. For tests and diagnosis.
///
/// # Errors
/// As for [`spawn`].
pub fn spawn_by(plan: &Plan, method: Method, call: Call) -> Result<Child, StartError> {
    Prepared::new(plan).start_by(method, call).map_err(|failure| failure.explain(plan))
}

impl Prepared<'_> {
    /// Starts the plan, by the best way that the kernel allows. Allocates nothing, except the stack of
    /// the first child of a thread (a mapping) and in the posix_spawn fallback.
    ///
    /// # Errors
    /// The step that failed.
    pub fn start(&mut self, method: Method) -> Result<Child, Failure> {
        if !CLONE3_REFUSED.load(Ordering::Relaxed) {
            match self.start_by(method, Call::Clone3) {
                // Refused, or too old to reset dispositions (EINVAL).
                Err(Failure {
                    stage: Stage::Fork, errno: libc::ENOSYS | libc::EPERM | libc::EINVAL, ..
                }) => {
                    CLONE3_REFUSED.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        match (self.start_by(method, Call::Clone), method) {
            (
                Err(Failure { stage: Stage::Fork, errno: libc::ENOSYS | libc::EPERM | libc::EINVAL, .. }),
                Method::Own,
            ) => self.start_by(method, Call::PosixSpawn),
            (other, Method::Own | Method::Keeper) => other,
        }
    }

    /// [`Prepared::start`] by one way only.
    ///
    /// # Errors
    /// The step that failed.
    pub fn start_by(&mut self, method: Method, call: Call) -> Result<Child, Failure> {
        let result = match (call, self.birthplace()) {
            // A kernel or filter that refuses this much may allow the rest; and a group that refuses says
            // why when the child goes there itself.
            (Call::Clone3, Some(group)) => match self.clone_child(method, call, Some(group)) {
                Err(e) if !is_shortage(&e) => self.clone_child(method, call, None),
                other => other,
            },
            (Call::Clone3 | Call::Clone, _) => self.clone_child(method, call, None),
            (Call::PosixSpawn, _) => return fallback::posix_spawn(self, method),
        };
        let (born, failure) = result.map_err(|e| Failure::new(Stage::Fork, e.raw_os_error().unwrap_or(0)))?;
        // SAFETY: the kernel made this descriptor for us; nobody else owns it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(born.pidfd) };
        let pid = Pid(born.pid);
        match failure {
            None => Ok(Child { pid, pidfd }),
            Some(failure) => {
                if method == Method::Own {
                    // It is past its last instruction. Somebody else's reaping is no harm.
                    let _ = reap::wait(pid);
                }
                Err(failure)
            }
        }
    }

    /// The control group that the child can be born in.
    fn birthplace(&self) -> Option<RawFd> {
        match self.plan.cgroup.as_ref()? {
            CgroupJoin::Group { directory, .. } => directory.as_ref().map(|d| d.as_raw_fd()),
            CgroupJoin::Tag(_) => None,
        }
    }

    fn clone_child(
        &mut self,
        method: Method,
        call: Call,
        group: Option<RawFd>,
    ) -> io::Result<(Born, Option<Failure>)> {
        let close_range = has_close_range();
        let parked = if close_range { slots::park(&self.sources) } else { None };
        match &parked {
            Some(parked) => {
                self.scratch.iter_mut().zip(parked.numbers()).for_each(|(to, from)| *to = from);
            }
            None => self.scratch.copy_from_slice(&self.sources),
        }
        let mut image = Image {
            plan: self.plan,
            argv: &self.argv,
            env: &self.env,
            slots: &mut self.slots,
            sources: &mut self.scratch,
            shared_from: parked.as_ref().map(slots::Parked::above),
            close_range,
            in_group: group.is_some(),
            reset: if call == Call::Clone3 { signals::ignored() } else { u64::MAX },
            failure: None,
        };
        let sharing = Sharing { parent: method == Method::Keeper, files: parked.is_some(), group };
        let arg = (&raw mut image).cast::<c_void>();
        let mask = clone::block_all()?;
        // SAFETY: `child::main` never returns and keeps to raw system calls; `image` lives until the
        // call comes back, which is when the child has executed or ended; signals are blocked.
        let born = unsafe {
            match call {
                Call::Clone3 => clone::clone3(sharing, child::main, arg),
                Call::Clone | Call::PosixSpawn => clone::clone(sharing, child::main, arg),
            }
        };
        clone::swap_mask(mask)?;
        Ok((born?, image.failure))
    }
}

/// No process can be made at the moment, in whatever way.
fn is_shortage(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// Whether the kernel (5.9 and later) and its filters let us close a range of descriptors.
fn has_close_range() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        // SAFETY: plain numbers; the range holds no descriptor that can be open.
        unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
    })
}
