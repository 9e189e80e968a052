//! getAllConfigInfo: what the last parse of the configuration says, running or not.

use super::names;
use crate::xmlrpc::Writer;
use bstr::{BStr, BString, ByteSlice};
use std::collections::HashMap;
use supers_core::inside::Inside;
use supers_core::signal::Signal;
use supers_core::snapshot::UnitView;
use supers_core::spec::{Sink, Spec, Target};

/// One struct a process, sorted by its name.
pub(super) fn write_all(inside: &dyn Inside, w: &mut Writer) {
    let snapshot = inside.snapshot();
    let parsed = inside.last_parse();
    let mut specs: Vec<&Spec> = parsed.iter().map(|spec| &**spec).collect();
    specs.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.group.cmp(&b.group)));
    let units: HashMap<(&str, &str), &UnitView> =
        snapshot.units().map(|u| ((u.spec.group.as_str(), u.spec.name.as_str()), &**u)).collect();
    let mut users = HashMap::new();
    w.array(|w| {
        for spec in specs {
            let in_use = names::has_group(&snapshot, &spec.group);
            let unit = units.get(&(spec.group.as_str(), spec.name.as_str())).copied();
            let user = spec.context.user.as_deref();
            let uid = user.and_then(|name| *users.entry(name).or_insert_with(|| inside.user_id(name)));
            // A newer parse has not chosen its AUTO names yet.
            let unit = unit.filter(|unit| std::ptr::eq(&*unit.spec, spec));
            write(spec, unit, in_use, uid, w);
        }
    });
}

fn write(spec: &Spec, unit: Option<&UnitView>, in_use: bool, uid: Option<u32>, w: &mut Writer) {
    let or_none = |w: &mut Writer, text: Option<&BStr>| w.str(text.unwrap_or(b"none".as_bstr()));
    let command = spec.exec.first().map(|command| command.line.as_bstr());
    let directory = spec.context.directory.as_ref().map(|d| d.path.as_bstr());
    let url = spec.server_url.as_deref().map(BStr::new);
    let signal = spec.stop.signals.first().copied().unwrap_or(Signal::TERM);
    let retries = spec.restart.retry.as_ref().and_then(|r| r.limit).unwrap_or(0);
    let seconds = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    let fallback = Sink::default();
    let stderr = spec.output.stderr.as_ref();
    w.structure(|w| {
        w.member("autostart", |w| w.bool(spec.autostart));
        w.member("directory", |w| or_none(w, directory));
        w.member("uid", |w| match uid {
            Some(uid) => w.int(uid.into()),
            None => w.str("none"),
        });
        w.member("command", |w| w.str(command.unwrap_or_default()));
        w.member("exitcodes", |w| {
            w.array(|w| spec.restart.clean.codes.iter().for_each(|code| w.int((*code).into())));
        });
        w.member("group", |w| w.str(&spec.group));
        w.member("group_prio", |w| w.int(spec.group_priority.into()));
        w.member("inuse", |w| w.bool(in_use));
        w.member("killasgroup", |w| w.bool(spec.stop.kill_group));
        w.member("name", |w| w.str(&spec.name));
        w.member("process_prio", |w| w.int(spec.priority.into()));
        w.member("redirect_stderr", |w| w.bool(stderr.is_none()));
        w.member("startretries", |w| w.int(retries.into()));
        w.member("startsecs", |w| w.int(seconds(spec.restart.startsecs)));
        sink(w, "stdout", &spec.output.stdout, unit.map(|u| &u.logs[0]));
        w.member("stopsignal", |w| w.int(signal.number().into()));
        w.member("stopwaitsecs", |w| w.int(spec.stop.wait.map_or(0, seconds)));
        sink(w, "stderr", stderr.unwrap_or(&fallback), unit.map(|u| &u.logs[1]));
        w.member("serverurl", |w| or_none(w, url));
    });
}

/// The members of one stream.
fn sink(w: &mut Writer, stream: &str, sink: &Sink, path: Option<&BString>) {
    let log = match &sink.target {
        Target::Null => b"none".as_bstr(),
        Target::File(path) => path.as_bstr(),
        // Its name is made when the group is added.
        Target::Auto { .. } => path.filter(|p| !p.is_empty()).map_or(b"auto".as_bstr(), |p| p.as_bstr()),
    };
    let size = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut member =
        |name: &str, fill: &dyn Fn(&mut Writer)| w.member(&format!("{stream}_{name}"), |w| fill(w));
    member("capture_maxbytes", &|w| w.int(size(sink.capture_max)));
    member("events_enabled", &|w| w.bool(sink.events));
    member("logfile", &|w| w.str(log));
    member("logfile_backups", &|w| w.int(sink.backups.into()));
    member("logfile_maxbytes", &|w| w.int(size(sink.max_bytes)));
    member("syslog", &|w| w.bool(sink.syslog));
}
