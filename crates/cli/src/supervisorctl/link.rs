//! The real daemon behind [`Daemon`]: a runtime around [`Http`], with Ctrl-C and standard input.

use super::http::Http;
use super::input::{Input, Next};
use super::interrupt::Interrupt;
use super::rpc::{CallError, Daemon, Followed, Rpc, Value, Visited, code, text};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use std::cell::RefCell;
use std::io::Write;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Standard input, which a visit reads in a thread of its own.
pub(super) type SharedInput = Arc<Mutex<Input>>;

/// What the link is made of.
struct Parts {
    runtime: Runtime,
    http: Http,
    interrupt: Rc<Interrupt>,
    input: SharedInput,
}

/// A way to a daemon. Its copies share the connection: the shell's completion uses one.
#[derive(Clone)]
pub(super) struct Link(Rc<RefCell<Parts>>);

impl Link {
    /// # Errors
    /// The system has no descriptors left.
    pub(super) fn new(http: Http, interrupt: Rc<Interrupt>, input: SharedInput) -> std::io::Result<Link> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        Ok(Link(Rc::new(RefCell::new(Parts { runtime, http, interrupt, input }))))
    }
}

impl Rpc for Link {
    fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let mut parts = self.0.borrow_mut();
        let Parts { runtime, http, interrupt, .. } = &mut *parts;
        runtime.block_on(interrupt.or(http.call(method, params))).unwrap_or(Err(CallError::Interrupted))
    }
}

impl Daemon for Link {
    fn url(&self) -> String {
        self.0.borrow().http.url.clone()
    }

    fn open(&mut self, url: &str) {
        self.0.borrow_mut().http.open(url);
    }

    fn login(&mut self, username: &str, password: &str) {
        self.0.borrow_mut().http.login(username, password);
    }

    fn follow(&mut self, path: &str, out: &mut dyn Write) -> Followed {
        let parts = self.0.borrow();
        let copied = copy(parts.http.another(), path, out);
        parts.runtime.block_on(parts.interrupt.or(copied)).unwrap_or(Followed::Interrupted)
    }

    fn visit(&mut self, process: &str, out: &mut dyn Write, err: &mut dyn Write) -> Visited {
        let mut parts = self.0.borrow_mut();
        let Parts { runtime, http, interrupt, input } = &mut *parts;
        let Ok((stop, stopper)) = rustix::pipe::pipe() else {
            return Visited::Failed(CallError::Connection("no descriptor is left".into()));
        };
        // Full: reading waits, and with it whoever writes to us.
        let (lines_in, mut lines) = mpsc::channel(16);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    let next = input.line(Some(stop.as_fd()));
                    let more = matches!(next, Next::Line(_));
                    if lines_in.blocking_send(next).is_err() || !more {
                        return;
                    }
                }
            });
            let visited = runtime.block_on(interrupt.or(visit(http, process, &mut lines, out, err)));
            // Both ends of waiting for the thread: it may be reading, or sending.
            drop(lines);
            drop(stopper);
            visited.unwrap_or(Visited::Left)
        })
    }
}

/// Copies the answer of a GET until it ends or nobody reads us.
async fn copy(mut http: Http, path: &str, out: &mut dyn Write) -> Followed {
    let mut body = match http.get(path).await {
        Ok(response) if response.status() == StatusCode::OK => response.into_body(),
        Ok(response) => return Followed::Refused(response.status().as_u16()),
        Err(e) => return Followed::Unreachable(e),
    };
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref()
            && out.write_all(data).and_then(|()| out.flush()).is_err()
        {
            return Followed::Interrupted;
        }
    }
    Followed::Closed
}

/// Both streams to `out` and lines to the process.
async fn visit(
    http: &mut Http,
    process: &str,
    lines: &mut mpsc::Receiver<Next>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Visited {
    // Full: the streams wait, and with them only their own connections.
    let (pieces_in, mut pieces) = mpsc::channel(16);
    for channel in ["stdout", "stderr"] {
        let path = format!("/logtail/{process}/{channel}");
        tokio::spawn(forward(http.another(), path, pieces_in.clone()));
    }
    drop(pieces_in);
    loop {
        tokio::select! {
            // What was written before a line was typed stands before what it causes.
            biased;
            Some(piece) = pieces.recv() => {
                let written = match piece {
                    Ok(bytes) => out.write_all(&bytes).and_then(|()| out.flush()),
                    Err(text) => err.write_all(text.as_bytes()),
                };
                if written.is_err() {
                    return Visited::Left;
                }
            }
            next = lines.recv() => {
                let Some(Next::Line(line)) = next else { return Visited::Left };
                let params = [text(process), text(&format!("{line}\n"))];
                match http.call("supervisor.sendProcessStdin", &params).await {
                    Ok(_) => {}
                    Err(e) if e.code() == Some(code::NOT_RUNNING) => return Visited::Gone,
                    Err(e) => return Visited::Failed(e),
                }
            }
        }
    }
}

/// A piece of a stream, or why there is none.
type Piece = Result<Bytes, String>;

/// A stream, piece by piece.
async fn forward(mut http: Http, path: String, pieces: mpsc::Sender<Piece>) {
    let mut body = match http.get(&path).await {
        Ok(response) if response.status() == StatusCode::OK => response.into_body(),
        Ok(response) => {
            let status = response.status().as_u16();
            let text = format!("{}{path} Cannot read, status code {status}\n", http.url);
            // Nobody waits for it any more when this fails.
            return drop(pieces.send(Err(text)).await);
        }
        Err(e) => {
            let text = format!("{}{path} Cannot connect, error: {e}\n", http.url);
            return drop(pieces.send(Err(text)).await);
        }
    };
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data()
            && pieces.send(Ok(data)).await.is_err()
        {
            return;
        }
    }
}
