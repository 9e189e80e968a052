//! What the tests share: a folder, an endpoint that is a list of answers, and what was said.

mod courier;
mod message;
mod messenger;
mod outbox;
mod wire;

use super::courier::{Pace, Post};
use super::message::{Delivery, Fact, Sender, abnormal, delivery};
use super::outbox::Bounds;
use super::{Say, Webhooks};
use crate::logs::mainlog::Level;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use supers_config::Webhooks as Settings;
use supers_config::webhook::Url;
use supers_core::exit::Exit;
use supers_core::ids::{Pid, RunId};
use supers_core::proc::{Cause, Note, State};
use supers_core::spec::Spec;
use supers_core::time::Wall;

/// 2026-11-21 15:20:42.123 UTC.
const AT: Wall = Wall(1_795_274_442_123);

fn settings(url: &str) -> Settings {
    Settings { url: Some(Url::parse(url).unwrap()), ..Settings::default() }
}

fn sender() -> Sender {
    Sender {
        host: "box".into(),
        config: "/etc/super".into(),
        lineage: "1795270000000".into(),
        version: "0.1.0".into(),
    }
}

fn exited(code: u8) -> (Note, State) {
    let exit = Exit::Code(code);
    let lived = std::time::Duration::from_secs(5);
    let cause = Cause::Exit { exit, lived };
    (Note::Exited { exit, expected: false, pid: Pid(4711) }, State::Exited { exit, expected: false, cause })
}

/// The end of this run, to be told to that address.
fn end_of(run: u64, url: &str) -> Delivery {
    let (note, state) = exited(1);
    let what = abnormal(&note, &state, false).unwrap();
    let spec = Spec::new("web");
    let fact = Fact {
        what,
        spec: &spec,
        note: &note,
        state: &state,
        run: RunId(run),
        attempt: 0,
        oom: false,
        at: Wall(AT.0 + i64::try_from(run).unwrap()),
        tail: vec!["boom".into()],
    };
    delivery(&sender(), &settings(url), &fact).unwrap()
}

struct Lab {
    dir: tempfile::TempDir,
    said: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    fn new() -> Lab {
        Lab { dir: tempfile::tempdir().unwrap(), said: Arc::default() }
    }

    fn outbox(&self) -> PathBuf {
        self.dir.path().join("state/outbox")
    }

    fn say(&self) -> Say {
        let said = self.said.clone();
        Arc::new(move |level, text| {
            if level <= Level::Info {
                said.lock().unwrap().push(text.to_string());
            }
        })
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// A daemon's, whose courier is run by the test.
    fn open(&self, bounds: Bounds, post: Post) -> Webhooks {
        let state = self.outbox();
        let hooks = Webhooks::open(state.parent().unwrap(), self.say(), bounds, (post, Pace::default()));
        hooks.shared.started.store(true, Ordering::Release);
        hooks
    }

    /// Names of the files, `settled` and unfinished ones included.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.outbox()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn waiting_files(&self) -> usize {
        self.files().iter().filter(|name| name.ends_with(".json")).count()
    }
}
