//! `supers logs`: output of one program as it is, or of several with their names before each line.

use super::exit::{Exit, Failure};
use super::term::Tone;
use super::{Context, Style};
use bstr::ByteSlice;
use clap::Args;
use serde::Serialize;
use std::sync::Arc;
use supers_api::Remote;
use supers_api::select::{select, unknown};
use supers_core::control::{Control, LogChunk, LogFrom, LogRequest, Refusal, Status, Stream};
use tokio::sync::mpsc;

/// Show the last output of programs
#[derive(Args)]
pub(super) struct Logs {
    /// Programs, patterns, or all
    #[arg(required = true)]
    names: Vec<String>,
    /// Go on as more is written
    #[arg(short, long)]
    follow: bool,
    /// Begin this many lines before the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: u64,
    /// The error output, where it is kept apart
    #[arg(long)]
    stderr: bool,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Piece<'a> {
    name: &'a str,
    stream: Stream,
    offset: u64,
    text: String,
}

/// A piece of one of several flows, by the index of its program.
type Arrival = (usize, Result<Option<LogChunk>, Refusal>);

impl Logs {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let remote = context.connect().await?;
        let names = self.full_names(&context.status_of(&remote).await?)?;
        let single = names.len() == 1 && !context.globals.json;
        match names.first() {
            None => Ok(Exit::Done),
            Some(name) if single => self.show_one(context, &remote, name).await,
            Some(_) if self.follow => self.show_mixed(context, Arc::new(remote), names).await,
            Some(_) => self.show_in_turn(context, &remote, names).await,
        }
    }

    fn full_names(&self, status: &Status<'_>) -> Result<Vec<String>, Failure> {
        let mut names: Vec<String> = Vec::new();
        for name in &self.names {
            let found = select(&status.programs, name);
            if found.is_empty() && name != "all" {
                return Err(unknown(&status.programs, name).into());
            }
            for p in found {
                let name = p.full_name().into_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    fn request(&self, name: &str) -> LogRequest {
        LogRequest {
            name: name.into(),
            stream: self.stream(),
            from: LogFrom::Lines(self.lines),
            follow: self.follow,
        }
    }

    fn stream(&self) -> Stream {
        if self.stderr { Stream::Stderr } else { Stream::Stdout }
    }

    /// Bytes as they are, at once.
    async fn show_one(
        &self,
        context: &mut Context<'_>,
        remote: &Remote,
        name: &str,
    ) -> Result<Exit, Failure> {
        let mut flow = remote.logs(self.request(name)).await?;
        while let Some(chunk) = flow.next().await? {
            context.io.out.write_all(&chunk.bytes)?;
            context.io.out.flush()?;
        }
        Ok(Exit::Done)
    }

    /// One program after another.
    async fn show_in_turn(
        &self,
        context: &mut Context<'_>,
        remote: &Remote,
        names: Vec<String>,
    ) -> Result<Exit, Failure> {
        let mut printer = Printer::new(names, self.stream(), context.style, context.globals.json);
        for i in 0..printer.names.len() {
            let mut flow = remote.logs(self.request(&printer.names[i])).await?;
            while let Some(chunk) = flow.next().await? {
                printer.print(context, i, &chunk)?;
            }
            printer.finish(context, i)?;
        }
        Ok(Exit::Done)
    }

    /// All at once, a line at a time, for ever.
    async fn show_mixed(
        &self,
        context: &mut Context<'_>,
        remote: Arc<Remote>,
        names: Vec<String>,
    ) -> Result<Exit, Failure> {
        // Full: the flows wait, and with them only their own connections.
        let (tx, mut rx) = mpsc::channel::<Arrival>(64);
        for (i, name) in names.iter().enumerate() {
            let (tx, remote, request) = (tx.clone(), remote.clone(), self.request(name));
            tokio::spawn(async move { forward(&remote, request, i, &tx).await });
        }
        drop(tx);
        let mut printer = Printer::new(names, self.stream(), context.style, context.globals.json);
        while let Some((i, arrival)) = rx.recv().await {
            match arrival? {
                Some(chunk) => printer.print(context, i, &chunk)?,
                None => printer.finish(context, i)?,
            }
        }
        Ok(Exit::Done)
    }
}

async fn forward(remote: &Remote, request: LogRequest, i: usize, tx: &mpsc::Sender<Arrival>) {
    let mut flow = match remote.logs(request).await {
        Ok(flow) => flow,
        // Nobody listens any more when sending fails; then there is nothing left to do.
        Err(refusal) => return drop(tx.send((i, Err(refusal))).await),
    };
    loop {
        let next = flow.next().await;
        let last = !matches!(next, Ok(Some(_)));
        if tx.send((i, next)).await.is_err() || last {
            return;
        }
    }
}

/// A line longer than this is shown in pieces.
const MAX_LINE: usize = 1 << 20;

/// Puts whole lines of several programs together.
struct Printer {
    names: Vec<String>,
    /// What stands before each line.
    heads: Vec<Vec<u8>>,
    /// The unfinished line of each program.
    rests: Vec<Vec<u8>>,
    stream: Stream,
    json: bool,
}

impl Printer {
    fn new(names: Vec<String>, stream: Stream, style: Style, json: bool) -> Printer {
        let width = names.iter().map(|n| super::term::columns(n)).max().unwrap_or(0);
        let head = |(i, name): (usize, &String)| {
            let gap = " ".repeat(width - super::term::columns(name));
            format!("{}{gap} | ", style.paint(Tone::Name(i), name)).into_bytes()
        };
        let heads = names.iter().enumerate().map(head).collect();
        let rests = vec![Vec::new(); names.len()];
        Printer { names, heads, rests, stream, json }
    }

    fn print(&mut self, context: &mut Context<'_>, i: usize, chunk: &LogChunk) -> Result<(), Failure> {
        if self.json {
            let text = chunk.bytes.to_str_lossy().into_owned();
            let (name, stream) = (self.names[i].as_str(), self.stream);
            return context.print_json(&Piece { name, stream, offset: chunk.offset, text });
        }
        let rest = &mut self.rests[i];
        rest.extend_from_slice(&chunk.bytes);
        let whole = match rest.rfind_byte(b'\n') {
            Some(at) => at + 1,
            None if rest.len() >= MAX_LINE => rest.len(),
            None => return Ok(()),
        };
        let lines: Vec<u8> = rest.drain(..whole).collect();
        self.write(context, i, &lines)
    }

    /// The last line, which has no end.
    fn finish(&mut self, context: &mut Context<'_>, i: usize) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.rests[i]);
        if rest.is_empty() { Ok(()) } else { self.write(context, i, &rest) }
    }

    fn write(&self, context: &mut Context<'_>, i: usize, lines: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(lines.len() * 2);
        for line in lines.lines() {
            out.extend_from_slice(&self.heads[i]);
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        context.io.out.write_all(&out)?;
        Ok(context.io.out.flush()?)
    }
}
