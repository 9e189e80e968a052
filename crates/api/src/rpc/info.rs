//! What getProcessInfo and getAllProcessInfo say of a unit. Written for a thousand units at once: straight
//! into the document, with one buffer for the texts that must be put together.

use crate::xmlrpc::Writer;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use supers_core::exit::Exit;
use supers_core::ids::Pid;
use supers_core::proc::{State, Trouble, Word};
use supers_core::snapshot::{Snapshot, UnitView};
use supers_core::time::{Now, Wall};

const TOO_QUICK: &str = "Exited too quickly (process log may have details)";

/// One struct.
pub(super) fn write_one(unit: &UnitView, now: Now, w: &mut Writer) {
    Pen::new(now).unit(unit, w);
}

/// All, ordered by group and name.
pub(super) fn write_all(snapshot: &Snapshot, now: Now, w: &mut Writer) {
    let mut units: Vec<&UnitView> = snapshot.units().map(|u| &**u).collect();
    units.sort_by(|a, b| a.spec.group.cmp(&b.spec.group).then_with(|| a.spec.name.cmp(&b.spec.name)));
    let mut pen = Pen::new(now);
    w.array(|w| units.iter().for_each(|unit| pen.unit(unit, w)));
}

struct Pen {
    now: Now,
    /// Asked for once an answer: it may have changed since the last.
    zone: Option<TimeZone>,
    text: String,
}

impl Pen {
    fn new(now: Now) -> Pen {
        Pen { now, zone: None, text: String::new() }
    }

    fn unit(&mut self, unit: &UnitView, w: &mut Writer) {
        let kind = unit.state.kind();
        let [stdout, stderr] = &*unit.logs;
        w.structure(|w| {
            w.member("name", |w| w.str(&unit.spec.name));
            w.member("group", |w| w.str(&unit.spec.group));
            w.member("start", |w| w.int(unit.started.map_or(0, Wall::secs)));
            w.member("stop", |w| w.int(unit.ended.map_or(0, Wall::secs)));
            w.member("now", |w| w.int(self.now.wall.secs()));
            w.member("state", |w| w.int(kind as i64));
            w.member("statename", |w| w.str(kind.name()));
            self.spawn_error(unit);
            w.member("spawnerr", |w| w.str(&self.text));
            w.member("exitstatus", |w| w.int(exit_status(unit)));
            w.member("logfile", |w| w.str(stdout));
            w.member("stdout_logfile", |w| w.str(stdout));
            w.member("stderr_logfile", |w| w.str(stderr));
            w.member("pid", |w| w.int(unit.state.pid().map_or(0, |Pid(pid)| pid.into())));
            self.describe(unit, kind);
            w.member("description", |w| w.str(&self.text));
        });
    }

    /// Writing to a string cannot fail.
    fn put(&mut self, words: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(words);
    }

    fn spawn_error(&mut self, unit: &UnitView) {
        self.text.clear();
        match (&unit.trouble, &unit.state) {
            (Some(Trouble::TooQuick), _) => self.text.push_str(TOO_QUICK),
            (Some(Trouble::BadExit(code)), _) => self.put(format_args!("Bad exit code {code}")),
            (Some(Trouble::Start(error)), _) => self.text.push_str(&error.text),
            // Reasons that Supervisor does not have, such as a broken description.
            (None, State::Fatal { cause }) => self.put(format_args!("{cause}")),
            (None, _) => {}
        }
    }

    fn describe(&mut self, unit: &UnitView, kind: Word) {
        match kind {
            Word::Running => {
                self.text.clear();
                let pid = unit.state.pid().map_or(0, |Pid(pid)| pid);
                let up = self.now.wall.secs() - unit.started.unwrap_or(self.now.wall).secs();
                self.put(format_args!("pid {pid}, uptime "));
                self.uptime(up.max(0));
            }
            Word::Fatal | Word::Backoff => {
                self.spawn_error(unit);
                if self.text.is_empty() {
                    self.put(format_args!("unknown error (try \"tail {}\")", unit.spec.full_name()));
                }
            }
            Word::Stopped | Word::Exited => {
                self.text.clear();
                match unit.started {
                    None => self.text.push_str("Not started"),
                    Some(_) => self.moment(unit.ended.unwrap_or(unit.since)),
                }
            }
            Word::Starting | Word::Stopping | Word::Unknown => self.text.clear(),
        }
    }

    /// `0:00:07`, `1 day, 2:03:04`, `2 days, 0:00:00`
    fn uptime(&mut self, seconds: i64) {
        match seconds / 86_400 {
            0 => {}
            1 => self.text.push_str("1 day, "),
            days => self.put(format_args!("{days} days, ")),
        }
        let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        self.put(format_args!("{h}:{m:02}:{s:02}"));
    }

    /// `Nov 21 12:36 PM` in local time.
    fn moment(&mut self, at: Wall) {
        let Ok(at) = Timestamp::from_second(at.secs()) else { return };
        let zone = self.zone.get_or_insert_with(TimeZone::system);
        let at = zone.to_datetime(at);
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = usize::try_from(at.month() - 1).ok().and_then(|m| MONTHS.get(m)).unwrap_or(&"");
        let half = if at.hour() < 12 { "AM" } else { "PM" };
        let hour = match at.hour() % 12 {
            0 => 12,
            h => h,
        };
        self.put(format_args!("{month} {:02} {hour:02}:{:02} {half}", at.day(), at.minute()));
    }
}

/// Supervisor forgets it at each spawn, and does not keep that of a run that ended too quickly.
fn exit_status(unit: &UnitView) -> i64 {
    match unit.state.kind() {
        Word::Starting | Word::Running | Word::Stopping | Word::Unknown => return 0,
        Word::Stopped | Word::Backoff | Word::Exited | Word::Fatal => {}
    }
    match &unit.trouble {
        Some(Trouble::TooQuick | Trouble::Start(_)) => 0,
        Some(Trouble::BadExit(_)) | None => match unit.last_exit {
            Some(Exit::Code(code)) => code.into(),
            Some(Exit::Signal { .. } | Exit::Unknown) => -1,
            None => 0,
        },
    }
}
