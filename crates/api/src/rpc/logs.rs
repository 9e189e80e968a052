//! Reading and clearing logs. A long read is made in pieces, so that others get their turn between them
//! and only the answer itself is held in memory.

use super::MAX_ANSWER;
use super::dispatch::{Args, Cx};
use super::fault::{Code, log, refused, write_row};
use super::names;
use crate::xmlrpc::{Fault, Writer};
use supers_core::control::Stream;
use supers_core::inside::{Cut, LogFault, LogOf, Piece};

/// Bytes that are read at once.
const PIECE: i64 = 1 << 20;

/// Size of the file, and whether [`Cut::Tail`] left something out.
type Seen = (u64, bool);

impl Cx<'_> {
    /// `path` is for the fault; empty when there is none.
    pub(super) async fn read(self, of: LogOf, path: &str, cut: Cut, w: &mut Writer) -> Result<(), Fault> {
        match self.cut(of, cut, w).await? {
            Ok(_) => Ok(()),
            Err(why) => Err(log(&why, path)),
        }
    }

    pub(super) async fn read_unit(
        self,
        stream: Stream,
        args: &Args<'_>,
        w: &mut Writer,
    ) -> Result<(), Fault> {
        let cut = Cut::Read { offset: args.number(1)?, length: args.number(2)? };
        let unit = names::one(&self.inside.snapshot(), args.text(0)?)?;
        let [stdout, stderr] = &*unit.logs;
        let path = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        self.read(LogOf::Unit(unit.id, stream), &path.to_string(), cut, w).await
    }

    pub(super) async fn tail_unit(
        self,
        stream: Stream,
        args: &Args<'_>,
        w: &mut Writer,
    ) -> Result<(), Fault> {
        let cut = Cut::Tail { offset: args.number(1)?, length: args.number(2)? };
        let unit = names::one(&self.inside.snapshot(), args.text(0)?)?;
        w.begin_array();
        let start = w.len();
        let (size, overflow) = match self.cut(LogOf::Unit(unit.id, stream), cut, w).await? {
            Ok(seen) => seen,
            Err(LogFault::NoFile | LogFault::BadArguments) => {
                w.back_to(start);
                w.str("");
                (0, false)
            }
            Err(why @ LogFault::Failed(_)) => return Err(log(&why, "")),
        };
        w.int(i64::try_from(size).unwrap_or(i64::MAX));
        w.bool(overflow);
        w.end_array();
        Ok(())
    }

    /// Writes a part of a log as one string.
    async fn cut(self, of: LogOf, cut: Cut, w: &mut Writer) -> Result<Result<Seen, LogFault>, Fault> {
        if !is_long(cut) {
            return Ok(self.piece(of, cut).await?.map(|piece| {
                w.str(&piece.bytes);
                (piece.size, piece.overflow)
            }));
        }
        // How long the file is decides where to begin.
        let size = match self.piece(of, Cut::Read { offset: 0, length: 1 }).await? {
            Ok(piece) => piece.size,
            Err(why) => return Ok(Err(why)),
        };
        let (start, length, overflow) = match cut.range(size) {
            Ok(range) => range,
            Err(why) => return Ok(Err(why)),
        };
        self.pieces(of, start, length, w).await?;
        Ok(Ok((size, overflow)))
    }

    /// Writes `length` bytes from `start`, or fewer when the file has become shorter meanwhile.
    async fn pieces(self, of: LogOf, start: u64, length: u64, w: &mut Writer) -> Result<(), Fault> {
        let (mut at, mut left) = (start, length);
        let mut held: Vec<u8> = Vec::new();
        w.reserve(usize::try_from(length).unwrap_or(MAX_ANSWER).min(MAX_ANSWER.saturating_sub(w.len())));
        w.begin_str();
        while left > 0 {
            let offset = i64::try_from(at).unwrap_or(i64::MAX);
            let now = i64::try_from(left).unwrap_or(PIECE).min(PIECE);
            let Ok(piece) = self.piece(of, Cut::Read { offset, length: now }).await? else { break };
            let got = piece.bytes.len() as u64;
            if got == 0 {
                break;
            }
            held.extend_from_slice(&piece.bytes);
            let keep = w.piece(&held);
            held.drain(..held.len() - keep);
            if w.len() > MAX_ANSWER {
                let text = format!("{length} bytes are too many for one answer; read the log in parts");
                return Err(Code::Failed.of(&text));
            }
            at += got;
            left = left.saturating_sub(got);
            tokio::task::yield_now().await;
        }
        w.end_str(&held);
        Ok(())
    }

    async fn piece(self, of: LogOf, cut: Cut) -> Result<Result<Piece, LogFault>, Fault> {
        self.inside.read_log(of, cut).await.map_err(|r| refused(&r))
    }

    pub(super) async fn clear_main(self, w: &mut Writer) -> Result<(), Fault> {
        let cleared = self.inside.clear_log(LogOf::Main).await.map_err(|r| refused(&r))?;
        cleared.map_err(|why| log(&why, ""))?;
        w.bool(true);
        Ok(())
    }

    pub(super) async fn clear_unit(self, name: &str, w: &mut Writer) -> Result<(), Fault> {
        let unit = names::one(&self.inside.snapshot(), name)?;
        self.clear(&unit).await?;
        w.bool(true);
        Ok(())
    }

    pub(super) async fn clear_all(self, w: &mut Writer) -> Result<(), Fault> {
        w.begin_array();
        for unit in names::all(&self.inside.snapshot()) {
            let cleared = self.clear(&unit).await;
            write_row(w, &unit, cleared);
        }
        w.end_array();
        Ok(())
    }

    /// Both logs. One that is not there is as empty as it can be.
    async fn clear(self, unit: &names::Unit) -> Result<(), Fault> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let cleared =
                self.inside.clear_log(LogOf::Unit(unit.id, stream)).await.map_err(|r| refused(&r))?;
            match cleared {
                Ok(()) | Err(LogFault::NoFile | LogFault::BadArguments) => {}
                Err(LogFault::Failed(_)) => return Err(Code::Failed.of(&unit.spec.full_name())),
            }
        }
        Ok(())
    }
}

/// More than one piece, or nobody knows.
fn is_long(cut: Cut) -> bool {
    match cut {
        // Wrong arguments are the reader's to refuse: it first looks whether there is a file.
        Cut::Read { offset, length: 0 } => !(-PIECE..0).contains(&offset),
        Cut::Read { length, .. } | Cut::Tail { length, .. } => length > PIECE,
    }
}
