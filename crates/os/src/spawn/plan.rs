//! What a new process shall look like, as values.

use crate::births::Notebook;
use crate::keeper_proto::GIFTS;
use crate::strays::Tag;
use std::ffi::{CString, c_char};
use std::os::fd::{OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use supers_core::ids::Pid;
use supers_core::spec::Limit;

/// Everything the child does between its birth and its program. The order in which it does it is that
/// of supervisor-contract 6: birth, report, session, descriptors, control group, limits, ids, directory, exec.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Path of the program; it is not looked up.
    pub program: CString,
    /// Its words, its own name first.
    pub argv: Vec<CString>,
    /// Its environment, `KEY=value`.
    pub env: Vec<CString>,
    /// Places in `env` of entries into which the child writes its own process id in decimal, behind
    /// the first `=`. Such an entry must have room there: ten bytes, whatever they are.
    pub pid_slots: Vec<usize>,
    /// Becomes descriptor 0.
    pub stdin: RawFd,
    /// Becomes descriptor 1.
    pub stdout: RawFd,
    /// Becomes descriptor 2; may be the same as `stdout`.
    pub stderr: RawFd,
    /// Become descriptors 3, 4 and so on. All others are closed.
    pub extra: Vec<RawFd>,
    /// A process group or a session of its own.
    pub session: Session,
    /// User and groups to change to.
    pub creds: Option<Creds>,
    /// Working directory, entered as the new user.
    pub directory: Option<CString>,
    /// File mode mask.
    pub umask: Option<u32>,
    /// Resource limits, in order. A hard limit that may not be raised is clipped.
    pub limits: Vec<Limit>,
    /// Scheduling priority; in a session of its own, that of the session's autogroup too.
    pub nice: Option<i32>,
    /// Written to oom_score_adj; `None` inherits.
    pub oom_score_adj: Option<i32>,
    /// Nothing executed gains privileges.
    pub no_new_privileges: bool,
    /// SIGPIPE is ignored in the program; all other signals always have their default action.
    pub ignore_sigpipe: bool,
    /// The child's first act is to note that it was born.
    pub birth: Option<Notebook>,
    /// The next is to tell the keeper which run it is.
    pub report: Option<Report>,
    /// How it is kept together with all that it will start.
    pub cgroup: Option<CgroupJoin>,
}

/// How the child is kept together with all that it will start.
#[derive(Clone, Debug)]
pub enum CgroupJoin {
    /// In a control group. The child is born there where the kernel can do that, and else goes there
    /// itself.
    Group {
        /// The group, if it is one that a process can be born in (v2).
        directory: Option<Arc<OwnedFd>>,
        /// Its `cgroup.procs`.
        procs: CString,
    },
    /// By what it and all its descendants carry. A plan that limits locks loses it.
    Tag(Tag),
}

/// Where the child belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// A process group of its own in the caller's session (setpgid).
    Group,
    /// A session of its own (setsid).
    Session,
}

/// User and groups of the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creds {
    /// Real, effective and saved user.
    pub uid: u32,
    /// Real, effective and saved group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// How the child makes itself known ([`crate::keeper_proto::Letter`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The daemon's end of the keeper's socket.
    pub fd: RawFd,
    /// The run.
    pub run: u64,
    /// What the keeper is to hold from then on: keys and descriptors, which stay open until the child executes.
    pub gifts: [Option<(u64, RawFd)>; GIFTS],
}

/// A process that executes its program.
#[derive(Debug)]
pub struct Child {
    /// Its id, valid until it is reaped.
    pub pid: Pid,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
}

/// Whose child it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The child of our parent, the keeper (CLONE_PARENT).
    Keeper,
    /// Our own child, to be reaped by us (`--no-keeper`, and the keeper itself).
    Own,
}

impl Plan {
    /// A plan with the caller's own standard descriptors, an empty environment, a process group of its
    /// own, and nothing else changed.
    pub fn new(program: CString, argv: Vec<CString>) -> Plan {
        Plan {
            program,
            argv,
            env: Vec::new(),
            pid_slots: Vec::new(),
            stdin: 0,
            stdout: 1,
            stderr: 2,
            extra: Vec::new(),
            session: Session::Group,
            creds: None,
            directory: None,
            umask: None,
            limits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            no_new_privileges: false,
            ignore_sigpipe: false,
            birth: None,
            report: None,
            cgroup: None,
        }
    }
}

/// A plan with everything laid out as execve wants it, so that starting it allocates nothing and it
/// can be started again and again (the keeper's way to start the daemon).
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(super) plan: &'a Plan,
    /// NULL-terminated.
    pub(super) argv: Vec<*const c_char>,
    /// NULL-terminated.
    pub(super) env: Vec<*const c_char>,
    /// Copies of the entries that the child writes into.
    pub(super) slots: Vec<Vec<u8>>,
    /// Sources of descriptors 0, 1, 2 and the extra ones.
    pub(super) sources: Vec<RawFd>,
    /// Room for the child to note where it moved them.
    pub(super) scratch: Vec<RawFd>,
}

impl Prepared<'_> {
    /// Lays out a plan.
    pub fn new(plan: &Plan) -> Prepared<'_> {
        let pointers = |list: &[CString]| -> Vec<*const c_char> {
            list.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
        };
        let mut env = pointers(&plan.env);
        let mut slots: Vec<Vec<u8>> = Vec::with_capacity(plan.pid_slots.len());
        for &place in &plan.pid_slots {
            let (Some(entry), Some(pointer)) = (plan.env.get(place), env.get_mut(place)) else { continue };
            let mut copy = entry.as_bytes_with_nul().to_vec();
            // The vector's buffer stays where it is when the vector itself moves.
            *pointer = copy.as_mut_ptr().cast();
            slots.push(copy);
        }
        let mut sources = vec![plan.stdin, plan.stdout, plan.stderr];
        sources.extend_from_slice(&plan.extra);
        let scratch = sources.clone();
        Prepared { plan, argv: pointers(&plan.argv), env, slots, sources, scratch }
    }

    /// Another descriptor in place of `plan.extra[index]`; nothing happens when there is none.
    pub fn replace_extra(&mut self, index: usize, fd: RawFd) {
        if let Some(source) = self.sources.get_mut(3 + index) {
            *source = fd;
        }
    }
}
