//! What the pump passes on besides bytes: the text that taps found, as long as the engine keeps up.

use super::LogFact;
use super::fact::{TEXT, Text};
use super::mainlog::Level;
use super::pump::{Phase, Pump};
use super::tap::{News, Tap};
use crate::clock;
use bstr::ByteSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use supers_core::control::Stream;

impl Pump {
    /// The engine has not taken what it was told.
    fn behind(&self) -> bool {
        !self.late.is_empty() || self.tools.shared.text.load(Ordering::Acquire) >= TEXT
    }

    /// True when a stream must be left alone because the engine is behind; it is remembered then.
    pub(super) fn starves(&mut self, id: u32) -> bool {
        if !self.lane(id).is_some_and(|lane| lane.tap.as_ref().is_some_and(|tap| tap.tells())) {
            return false;
        }
        if self.behind() {
            // Before the second look: who takes text after it rings the bell.
            self.tools.shared.starving.store(true, Ordering::Release);
        }
        let behind = self.behind();
        if let Some(lane) = self.lane(id) {
            lane.starving = behind;
            if behind {
                lane.phase = Phase::Waiting;
            }
        }
        self.starved |= behind;
        behind
    }

    /// The engine has caught up: streams that were left alone have their turns.
    pub(super) fn feed(&mut self) {
        if !self.starved || self.behind() {
            return;
        }
        self.starved = false;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(lane) = lane
                && std::mem::take(&mut lane.starving)
                && lane.phase == Phase::Waiting
            {
                lane.phase = Phase::Hot;
                self.hot.push_back(index as u32);
            }
        }
    }

    /// Passes on what the tap of a stream found in its last turn.
    pub(super) fn pass_on(&mut self, id: u32) {
        if self.tools.news.is_empty() {
            return;
        }
        let found = std::mem::take(&mut self.tools.news);
        let Some(lane) = self.lanes.get_mut(id as usize).and_then(Option::as_mut) else { return };
        let unit = lane.unit;
        let Some(tap) = lane.tap.take() else { return };
        let shared = Arc::clone(&self.tools.shared);
        for news in found {
            let text = |bytes| Text::counted(bytes, &shared);
            let channel = tap.channel;
            match news {
                News::Heard(bytes) => self.tell(LogFact::Heard { unit, text: text(bytes) }),
                News::Stored => self.tell(LogFact::Stored { unit }),
                News::Output(bytes) => self.tell(LogFact::Output { unit, channel, text: text(bytes) }),
                News::Captured(bytes) => self.tell(LogFact::Captured { unit, channel, text: text(bytes) }),
                News::Line(line) => self.send_line(&tap, &line),
                News::Copy(bytes) => self.copy_to_main(&tap, &bytes),
            }
        }
        if let Some(lane) = self.lane(id) {
            lane.tap = Some(tap);
        }
    }

    fn send_line(&mut self, tap: &Tap, line: &[u8]) {
        if !self.outside.syslog.send(clock::now().wall, &[tap.name.as_bytes(), b" ", line]) {
            self.tools.shared.syslog_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn copy_to_main(&self, tap: &Tap, text: &[u8]) {
        if let Some(main) = &self.outside.main {
            let name = &tap.name;
            let stream = match tap.channel {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            let text = format!("'{name}' {stream} output:\n{}", text.as_bstr());
            main.log(Level::Debug, clock::now().wall, &text);
        }
    }

    /// A run is over: what the tap of its stream held back is no beginning of anything.
    pub(super) fn end_run(&mut self, id: u32) {
        let Pump { lanes, sinks, tools, .. } = self;
        let Some(lane) = lanes.get_mut(id as usize).and_then(Option::as_mut) else { return };
        let Some(tap) = &mut lane.tap else { return };
        let mut text = Vec::new();
        tap.finish(&mut text, &mut tools.news);
        let (unit, sink_id) = (lane.unit, lane.sink);
        let Some(sink) = sinks.get_mut(sink_id as usize).and_then(Option::as_mut) else { return };
        let mut failed = None;
        match &mut sink.stuck {
            Some(stuck) => stuck.held.extend_from_slice(&text),
            None => {
                let (done, result) = sink.write(&text, tools);
                sink.ring();
                let gone = result.as_ref().is_err_and(|e| sink.gone(e));
                if gone {
                    tools.shared.dropped.fetch_add((text.len() - done) as u64, Ordering::Relaxed);
                }
                failed = result.err().filter(|_| !gone).map(|e| (e, text.split_off(done)));
                lane.fifo.busy.store(failed.is_some(), Ordering::SeqCst);
            }
        }
        self.pass_on(id);
        if let Some((error, held)) = failed {
            self.stop(id, unit, sink_id, &error, held);
        }
    }
}
