//! At which step a start failed, in numbers from the child and in words for people.

use super::plan::{CgroupJoin, Plan, Session};
use crate::cgroup::short_name;
use crate::errno::errno_text;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use supers_core::exit::{Stage, StartError};
use supers_core::spec::Resource;

/// What the child leaves in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step.
    pub stage: Stage,
    /// The kernel's error number.
    pub errno: i32,
    /// Which of several: the index of a limit, or 1 for oom_score_adj at [`Stage::Nice`].
    pub detail: usize,
}

impl Failure {
    /// A failure with nothing to tell apart.
    pub(super) fn new(stage: Stage, errno: i32) -> Failure {
        Failure { stage, errno, detail: 0 }
    }

    /// The whole sentence: `change directory to "/srv/web": No such file or directory`.
    pub fn explain(self, plan: &Plan) -> StartError {
        let Failure { stage, errno, .. } = self;
        let deed = self.deed(plan);
        let why = self.why(plan);
        StartError { stage, errno, text: format!("{deed}: {why}") }
    }

    fn deed(self, plan: &Plan) -> String {
        match self.stage {
            Stage::Fork => "create a process".into(),
            Stage::Report => "tell the keeper".into(),
            Stage::Session if plan.session == Session::Session => "make a session".into(),
            Stage::Session => "make a process group".into(),
            Stage::Files => "set up the descriptors".into(),
            Stage::Limits => match plan.limits.get(self.detail) {
                Some(limit) => format!("set Limit{}", limit_name(limit.resource)),
                None => "set the limits".into(),
            },
            Stage::Nice => match (self.detail, plan.oom_score_adj, plan.nice) {
                (1, Some(adj), _) => format!("set oom_score_adj to {adj}"),
                (_, _, Some(nice)) => format!("set the scheduling priority to {nice}"),
                (_, _, None) => "set the scheduling priority".into(),
            },
            Stage::Groups => "set the supplementary groups".into(),
            Stage::Gid => format!("change to group {}", plan.creds.as_ref().map_or(0, |c| c.gid)),
            Stage::Uid => format!("change to user {}", plan.creds.as_ref().map_or(0, |c| c.uid)),
            Stage::Chdir => {
                format!("change directory to {}", quoted(plan.directory.as_deref().unwrap_or_default()))
            }
            Stage::Privileges => "set no_new_privs".into(),
            Stage::Exec => format!("execute {}", quoted(&plan.program)),
            Stage::Cgroup => match &plan.cgroup {
                Some(CgroupJoin::Group { procs, .. }) => {
                    let procs = Path::new(OsStr::from_bytes(procs.as_bytes()));
                    format!("join cgroup {}", short_name(procs))
                }
                Some(CgroupJoin::Tag(_)) | None => "mark the process as the unit's".into(),
            },
            Stage::Command | Stage::User | Stage::EnvFile | Stage::Output => "start".into(),
        }
    }

    fn why(self, plan: &Plan) -> String {
        let mut why = errno_text(self.errno);
        let path = Path::new(OsStr::from_bytes(plan.program.as_bytes()));
        if self.stage == Stage::Exec && self.errno == libc::ENOENT && path.exists() {
            why.push_str(" (the file is there, but not the interpreter that it names)");
        }
        why
    }
}

fn quoted(path: &CStr) -> String {
    format!("\"{}\"", path.to_string_lossy())
}

/// systemd's word behind `Limit`.
fn limit_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "CPU",
        Resource::Fsize => "FSIZE",
        Resource::Data => "DATA",
        Resource::Stack => "STACK",
        Resource::Core => "CORE",
        Resource::Rss => "RSS",
        Resource::Nofile => "NOFILE",
        Resource::As => "AS",
        Resource::Nproc => "NPROC",
        Resource::Memlock => "MEMLOCK",
        Resource::Locks => "LOCKS",
        Resource::Sigpending => "SIGPENDING",
        Resource::Msgqueue => "MSGQUEUE",
        Resource::Nice => "NICE",
        Resource::Rtprio => "RTPRIO",
        Resource::Rttime => "RTTIME",
    }
}
