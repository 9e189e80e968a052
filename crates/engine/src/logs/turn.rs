//! One turn of one stream: a bounded piece of work, so that streams take turns.

use super::file::{Checked, FileSink, Room};
use super::pump::LaneState;
use super::sink::{Body, Sink};
use super::tap::{Ear, News, Tap};
use super::{SinkId, Tools, ansi, sys};
use crate::failpoint::hit;
use bstr::ByteSlice;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most bytes that one stream moves before the next one has its turn.
const BUDGET: usize = 1 << 20;
/// Read at once where bytes go through our hands, and looked ahead in search of a line end.
pub(super) const COPY: usize = 64 << 10;

/// How a turn ended.
pub(super) enum End {
    /// What was there at its beginning is stored.
    Done,
    /// More was there than one turn moves.
    More,
    /// The beginning of a line, left where it is: other streams write to the same target, and the rest
    /// may be on its way.
    Partial,
    /// The stream has to wait for the engine, or for another stream; it is told when it may go on.
    Waiting,
    /// The target takes nothing. `held` was read and not written.
    Stuck { error: io::Error, held: Vec<u8> },
    /// The target is gone for good; so many bytes with it.
    Gone { error: io::Error, lost: usize },
    /// The target turned out to be the same file as another sink's.
    Taken(SinkId),
}

/// Moves what a FIFO holds. Returns how many bytes left it. Where several streams share the target a
/// turn ends with a line end if it can, unless `everything` is asked for.
pub(super) fn turn(
    lane: &mut LaneState,
    sink: &mut Sink,
    everything: bool,
    tools: &mut Tools,
) -> (usize, End) {
    let stuck = |error| (0, End::Stuck { error, held: Vec::new() });
    let there = usize::try_from(lane.fifo.waiting()).unwrap_or(BUDGET);
    if there == 0 {
        return (0, End::Done);
    }
    match sink.check(tools) {
        Ok(Checked::Ready) => {}
        Ok(Checked::Taken(other)) => return (0, End::Taken(other)),
        Err(error) => return stuck(error),
    }
    if let Body::File(file) = &mut sink.body {
        match file.owed() {
            Some(first) if first != lane.fifo.mark => return (0, End::Waiting),
            Some(_) if !lane.hears() => return rest_of_line(lane, sink, tools),
            // A listener goes on when the engine has heard it.
            Some(_) => file.forgive(),
            None => {}
        }
        file.written_by(lane.fifo.mark);
    }
    if lane.hears() {
        return listen(lane, sink, there, tools);
    }
    // What is told is told in small pieces, so that it can wait in the FIFO.
    let mut most = if lane.tap.is_some() { COPY } else { BUDGET };
    let mut goal = there.min(most);
    if sink.users > 1 && !everything && !matches!(sink.body, Body::Nowhere(_)) {
        most = COPY;
        goal = match whole_lines(lane, there, tools) {
            Ok(0) => return (0, End::Partial),
            Ok(n) => n,
            Err(error) => return stuck(error),
        };
    }
    let (moved, end) = by_splice_or_copy(lane, sink, goal, tools);
    if moved > 0 {
        sink.ring();
    }
    match end {
        End::Done if there > most => (moved, End::More),
        end => (moved, end),
    }
}

/// The first turn after a daemon died in the middle of a line: up to the end of that line, before any other
/// stream writes to the file. All of the line was in the FIFO when the daemon began to move it.
fn rest_of_line(lane: &mut LaneState, sink: &mut Sink, tools: &mut Tools) -> (usize, End) {
    let (goal, whole) = match next_line(lane, COPY as u64, COPY, tools) {
        Ok(ahead) => ahead,
        Err(error) => return (0, End::Stuck { error, held: Vec::new() }),
    };
    let (moved, end) = by_splice_or_copy(lane, sink, goal, tools);
    if moved > 0 {
        sink.ring();
    }
    if !matches!(end, End::Done) {
        return (moved, end);
    }
    if whole || goal < COPY {
        sink.forgive();
    }
    (moved, End::More)
}

/// One turn of a listener's standard output. What it says is told while it is still in the FIFO, and leaves it
/// when the engine has noted it.
fn listen(lane: &mut LaneState, sink: &mut Sink, there: usize, tools: &mut Tools) -> (usize, End) {
    let Some(ear) = lane.ear() else { return (0, End::Done) };
    if ear.deaf {
        (ear.told, ear.noted) = (there, there);
    }
    let Ear { told, noted, .. } = *ear;
    if noted > 0 {
        hit("heard.consume");
        let (moved, end) = by_splice_or_copy(lane, sink, noted, tools);
        hit("heard.consumed");
        if let Some(ear) = lane.ear() {
            (ear.told, ear.noted) = (told.saturating_sub(moved), noted.saturating_sub(moved));
            if ear.told == 0 && moved > 0 {
                tools.news.push(News::Stored);
            }
        }
        if moved > 0 {
            sink.ring();
        }
        return match end {
            End::Done if there > moved => (moved, End::More),
            end => (moved, end),
        };
    }
    if told > 0 {
        return (0, End::Waiting);
    }
    match look_ahead(lane, there.min(COPY), tools).map(<[u8]>::to_vec) {
        Ok(bytes) => {
            if let Some(ear) = lane.ear() {
                ear.told = bytes.len();
            }
            tools.news.push(News::Heard(bytes));
            hit("heard.told");
            (0, End::Waiting)
        }
        Err(error) => (0, End::Stuck { error, held: Vec::new() }),
    }
}

fn by_splice_or_copy(lane: &mut LaneState, sink: &mut Sink, goal: usize, tools: &mut Tools) -> (usize, End) {
    if let Body::File(file) = &mut sink.body
        && !lane.strip
        && lane.tap.as_deref().is_none_or(Tap::only_hears)
    {
        match by_splice(lane, file, goal, tools) {
            // A file system that cannot splice; seen with odd ones only.
            (0, End::Stuck { error, .. }) if error.kind() == io::ErrorKind::InvalidInput => {}
            done => return done,
        }
    }
    by_copy(lane, sink, goal, tools)
}

fn by_splice(lane: &LaneState, file: &mut FileSink, goal: usize, tools: &mut Tools) -> (usize, End) {
    let stuck = |error| End::Stuck { error, held: Vec::new() };
    let mut moved = 0;
    while moved < goal {
        let (want, line_end) = match file.room() {
            Room::Bytes(room) => (usize::try_from(room).unwrap_or(goal).min(goal - moved), false),
            Room::Line(most) => match next_line(lane, most, goal - moved, tools) {
                Ok(ahead) => ahead,
                Err(e) => return (moved, stuck(e)),
            },
        };
        let (target, pos) = file.target();
        hit("splice.before");
        let spliced = sys::splice(lane.fifo.file(), target, pos, want);
        hit("splice.after");
        match spliced {
            // Cannot be: only we take bytes out.
            Ok(0) => break,
            Ok(n) => {
                moved += n;
                file.advance(n as u64, line_end && n == want, tools);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return (moved, stuck(e)),
        }
    }
    (moved, End::Done)
}

/// How many of the bytes that are there end with a line end. All of them when there is none and it is
/// no use to wait: the line is long, or nothing more came for a while.
fn whole_lines(lane: &LaneState, there: usize, tools: &mut Tools) -> io::Result<usize> {
    let bytes = look_ahead(lane, there.min(COPY), tools)?;
    Ok(match bytes.rfind_byte(b'\n') {
        Some(at) => at + 1,
        None if there >= COPY || lane.waited => bytes.len(),
        None => 0,
    })
}

/// How many bytes there are up to and with the next line end, and whether there is one; at most `most`.
fn next_line(lane: &LaneState, most: u64, goal: usize, tools: &mut Tools) -> io::Result<(usize, bool)> {
    let len = usize::try_from(most).unwrap_or(COPY).min(goal).min(COPY);
    let bytes = look_ahead(lane, len, tools)?;
    Ok(bytes.find_byte(b'\n').map_or((bytes.len(), false), |at| (at + 1, true)))
}

/// The first bytes in a FIFO, at most [`COPY`]; they stay there.
fn look_ahead<'a>(lane: &LaneState, len: usize, tools: &'a mut Tools) -> io::Result<&'a [u8]> {
    let (read, write) = match &mut tools.peek {
        Some(pipe) => pipe,
        none => none.insert(sys::pipe()?),
    };
    let n = sys::tee(lane.fifo.file(), &*write, len)?;
    tools.scratch.resize(COPY, 0);
    let bytes = &mut tools.scratch[..n];
    if let Err(e) = read.read_exact(bytes) {
        // What is left in it would be taken for the next stream's.
        tools.peek = None;
        return Err(e);
    }
    Ok(bytes)
}

fn by_copy(lane: &mut LaneState, sink: &mut Sink, goal: usize, tools: &mut Tools) -> (usize, End) {
    let fifo = Arc::clone(&lane.fifo);
    let mut bytes = std::mem::take(&mut tools.copy);
    bytes.resize(COPY, 0);
    let mut moved = 0;
    let mut end = End::Done;
    while moved < goal {
        // Before the read: a byte is always either in the pipe or announced.
        fifo.busy.store(true, Ordering::SeqCst);
        let n = match fifo.file().read(&mut bytes[..COPY.min(goal - moved)]) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => {
                end = End::Stuck { error, held: Vec::new() };
                break;
            }
        };
        moved += n;
        let mut text = std::mem::take(&mut tools.text);
        text.clear();
        let out = match &mut lane.tap {
            Some(tap) => {
                tap.take(&bytes[..n], &mut text, &mut tools.news);
                &text[..]
            }
            None if lane.strip => {
                let len = ansi::strip(&mut bytes[..n]);
                &bytes[..len]
            }
            None => &bytes[..n],
        };
        let (done, result) = sink.write(out, tools);
        let rest = &out[done..];
        let failed = match result {
            Ok(()) => None,
            Err(error) if sink.gone(&error) => Some(End::Gone { error, lost: rest.len() }),
            Err(error) => Some(End::Stuck { error, held: rest.to_vec() }),
        };
        tools.text = text;
        if let Some(failed) = failed {
            end = failed;
            break;
        }
    }
    // What is held stays announced until the target takes it.
    let held = matches!(&end, End::Stuck { held, .. } if !held.is_empty());
    if !held && !lane.holds() {
        fifo.busy.store(false, Ordering::SeqCst);
    }
    tools.copy = bytes;
    (moved, end)
}
