//! Over https: superd does not speak TLS, which would make it too large; `supers`, which lies beside it, does. One
//! process a try, without a shell. What it is to send may be secret, so that it is neither on the command line nor in
//! the environment but in memory without a name, which is its standard input.

use super::errand::{Answer, Errand};
use crate::handle::Notices;
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use supers_config::Webhooks as Settings;
use supers_core::ids::Pid;
use supers_core::signal::Signal;
use supers_os::{error_text, process, reap};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

/// Ourselves.
const OWN: &str = "/proc/self/exe";
/// The program. superd answers to that name too, but has no TLS then either.
const NAME: &str = "supers";
/// The hidden subcommand of `supers`.
pub const SUBCOMMAND: &str = "__deliver";
/// What of our environment it needs: where trusted certificates are, when not where the system has them.
const KEPT: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Its words are not read further. A pipe holds no more, so that it cannot make us wait either.
const WORDS: u64 = 64 << 10;
/// Characters of what it complained of that go into a sentence.
const COMPLAINT: usize = 300;

pub(super) const MISSING: &str =
    "https needs the program supers (not a link to superd), which is neither in superd's folder nor in PATH";

/// Tells the operator when an https address is set and nobody is there to send to it; the sentence. Takes back what
/// was told before.
pub fn look_for_messenger(settings: &Settings, notices: &Notices) -> Option<String> {
    let text = format!("webhook: {MISSING}; notifications wait until it is there");
    notices.clear(&text);
    let mut urls = settings.url.iter().chain(settings.own.values().flatten());
    if !urls.any(|url| url.tls) || find().is_some() {
        return None;
    }
    notices.add(text.clone());
    Some(text)
}

/// Where `supers` is.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH");
    // Whichever of its names superd was called by; the program may have been replaced, and its folder stays.
    let own = fs::read_link(OWN).ok();
    find_in(own.as_deref().and_then(Path::parent), path.as_deref(), fs::metadata(OWN).ok().as_ref())
}

/// In one of these folders, when it is not superd itself under that name.
pub(super) fn find_in(
    beside: Option<&Path>,
    path: Option<&OsStr>,
    superd: Option<&Metadata>,
) -> Option<PathBuf> {
    let on_path = path.into_iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute());
    let folders = beside.map(Path::to_path_buf).into_iter().chain(on_path);
    let number = |file: &Metadata| (file.dev(), file.ino());
    let fits = |file: &PathBuf| {
        let found = fs::metadata(file).ok().filter(Metadata::is_file);
        found.is_some_and(|found| superd.map(number) != Some(number(&found))) && process::is_executable(file)
    };
    folders.map(|dir| dir.join(NAME)).find(fits)
}

/// Has it sent. A messenger that takes longer than the errand may is killed.
pub(super) async fn send(program: &Path, errand: &Errand) -> Answer {
    let limit = Instant::now() + errand.timeout;
    let shown = program.display();
    let mut running = match start(program, errand) {
        Ok(running) => running,
        Err(e) => return Answer::Failed(format!("cannot run {shown}: {}", error_text(&e))),
    };
    let in_time = timeout_at(limit, running.ended()).await.is_ok();
    if !in_time {
        running.kill();
        running.ended().await;
    }
    let status = running.child.try_wait().ok().flatten();
    // It says what the answer was as soon as that is known, and may still be killed afterwards.
    match serde_json::from_slice(&words(running.child.stdout.take())) {
        Ok(answer) => answer,
        Err(_) if !in_time => Answer::Failed(errand.too_late()),
        Err(_) => {
            let complaint = words(running.child.stderr.take());
            Answer::Failed(format!("{shown} sent nothing{}{}", how(status), sentence(&complaint)))
        }
    }
}

fn start(program: &Path, errand: &Errand) -> io::Result<Running> {
    let mut request = File::from(memfd_create("superd-webhook", MemfdFlags::CLOEXEC)?);
    request.write_all(&serde_json::to_vec(errand)?)?;
    request.rewind()?;
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND).env_clear();
    command.envs(KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(request).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Our thread blocks signals. It waits here until the program is read from its disk, which no other thread does.
    Running::of(process::spawn_unblocked(&mut command)?)
}

/// A messenger, which must not go on when nobody waits for it any more.
struct Running {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
}

impl Running {
    // The replacement is unsafe because of types that could close the descriptor or name another one; this one is
    // owned for the whole life of the AsyncFd.
    #[allow(deprecated)]
    fn of(mut child: Child) -> io::Result<Running> {
        let pidfd = || {
            let pid = Pid(i32::try_from(child.id()).map_err(io::Error::other)?);
            AsyncFd::with_interest(reap::pidfd_open(pid)?, Interest::READABLE)
        };
        match pidfd() {
            Ok(pidfd) => Ok(Running { child, pidfd }),
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(e)
            }
        }
    }

    /// It is a zombie: to wait for it takes no time.
    async fn ended(&self) {
        // An error is the end of the runtime.
        let _ = self.pidfd.readable().await;
    }

    fn kill(&self) {
        // One that has ended already is no failure.
        let _ = reap::pidfd_signal(self.pidfd.get_ref(), Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            // Whoever is stuck in the kernel is not waited for: the daemon is about to end.
            let _ = self.child.try_wait();
        }
    }
}

/// What there is to be read at once.
fn words(from: Option<impl Read + AsFd>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(from) = from
        && fcntl_setfl(&from, OFlags::NONBLOCK).is_ok()
    {
        // What could be read is enough.
        let _ = from.take(WORDS).read_to_end(&mut text);
    }
    text
}

fn how(status: Option<ExitStatus>) -> String {
    status.map(|status| format!(" ({status})")).unwrap_or_default()
}

/// In one line, and not too long.
fn sentence(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return String::new();
    }
    let text: String = words.join(" ").chars().filter(|c| !c.is_control()).take(COMPLAINT).collect();
    format!(": {text}")
}
