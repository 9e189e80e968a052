//! A small web server for the demonstration: it answers every request with a page that names its
//! process, so that a restart is visible from outside.
//!
//! Usage: `demo-web [PORT | --server.port=PORT]`; the port is 8004 unless given.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// A client that says nothing must not keep the server from the others for long.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any browser sends before the empty line.
const LONGEST_HEAD: u64 = 64 * 1024;

fn main() -> ExitCode {
    let port = match port_from_arguments() {
        Ok(port) => port,
        Err(word) => {
            eprintln!("demo-web: {word:?} is not a port; usage: demo-web [PORT | --server.port=PORT]");
            return ExitCode::from(2);
        }
    };
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(e) => {
            eprintln!("demo-web: cannot listen on 127.0.0.1:{port}: {e}");
            return ExitCode::FAILURE;
        }
    };
    // Port 0 lets the system choose; the line below is then the only place that tells.
    let port = listener.local_addr().map_or(port, |a| a.port());
    println!("demo-web: listening on http://127.0.0.1:{port}/ as pid {}", std::process::id());
    let mut served = 0u64;
    for stream in listener.incoming() {
        // A client that went away is no reason to stop.
        let outcome = stream.and_then(|s| answer(s, served + 1));
        match outcome {
            Ok(line) => {
                served += 1;
                println!("demo-web: request {served}: {line}");
            }
            Err(e) => eprintln!("demo-web: {e}"),
        }
    }
    ExitCode::SUCCESS
}

fn port_from_arguments() -> Result<u16, String> {
    let mut port = 8004;
    for word in std::env::args().skip(1) {
        let number = word.strip_prefix("--server.port=").unwrap_or(&word);
        port = number.parse().map_err(|_| word.clone())?;
    }
    Ok(port)
}

/// Reads one request, answers it, and returns its first line.
fn answer(stream: TcpStream, number: u64) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut first = String::new();
    let mut reader = BufReader::new((&stream).take(LONGEST_HEAD));
    reader.read_line(&mut first)?;
    // The rest of the head is read too: closing a socket with unread bytes resets the connection.
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = format!(
        "<!doctype html><title>demo-web</title>\n<h1>It runs</h1>\n<p>This is pid {}, request {number}.</p>\n",
        std::process::id()
    );
    write!(
        &stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(first.trim_end().to_string())
}
