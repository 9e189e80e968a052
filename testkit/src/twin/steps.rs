//! The verbs of a scenario. `twins/README.md` lists them for the reader; the tables here are the truth.

use super::http::{self, Answer};
use super::play::{Player, Stream};
use super::process::{self, show};
use super::shown::{append, file, indent, list, shown, sorted, spoken, stat, unquote};
use super::words::{self, Word};
use super::{events, rpc};
use crate::procs::{self, Process};
use base64::Engine;
use regex::Regex;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

pub(super) type Out = Result<String, String>;

pub(super) fn io(e: std::io::Error) -> String {
    e.to_string()
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| e.to_string())
}

/// First word, and the rest as it is written.
fn first(rest: &str) -> (&str, &str) {
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    (word, rest.trim_start())
}

impl Player {
    pub(crate) fn act(&mut self, verb: &str, rest: &str, block: &str) -> Out {
        if verb == "sorted" {
            let (verb, rest) = first(rest);
            return self.act(verb, rest, block).map(|text| sorted(&text));
        }
        if let Some(out) = self.about_daemon(verb, rest, block) {
            return out;
        }
        if let Some(out) = self.about_files(verb, rest, block) {
            return out;
        }
        if let Some(out) = self.about_answers(verb, rest, block) {
            return out;
        }
        Err(format!("{verb:?} is no step"))
    }

    /// Programs: the daemon and its clients.
    fn about_daemon(&mut self, verb: &str, rest: &str, block: &str) -> Option<Out> {
        Some(match verb {
            "start" => words::texts(rest).and_then(|w| self.start(&w)),
            "start-only" => words::texts(rest).and_then(|w| {
                self.daemon = Some(self.launch("supervisord", &w, Stdio::null())?);
                Ok(String::new())
            }),
            "daemonize" => self.daemonize(rest),
            "exit" => self.exit(),
            "said" => self.said(rest),
            "run" => words::texts(rest).and_then(|w| match w.split_first() {
                Some((program, args)) => self.run(program, args, block),
                None => Err("run what?".into()),
            }),
            "ctl" => words::texts(rest).and_then(|w| self.ctl(&w, block)),
            "ctl-until" => self.ctl_until(rest, block),
            "py" => self.py(block),
            "signal" => self.signal(rest),
            "wrap" => words::texts(rest).map(|w| {
                self.wrap = w;
                String::new()
            }),
            "env" => match rest.split_once('=') {
                Some((name, value)) => {
                    self.env.retain(|(k, _)| k != name);
                    self.env.push((name.into(), value.into()));
                    Ok(String::new())
                }
                None => {
                    self.env.retain(|(k, _)| k != rest);
                    Ok(String::new())
                }
            },
            _ => return None,
        })
    }

    /// Files below the root.
    fn about_files(&mut self, verb: &str, rest: &str, block: &str) -> Option<Out> {
        let (name, more) = first(rest);
        let path = self.path(name);
        let done = |r: std::io::Result<()>| r.map(|()| String::new()).map_err(io);
        Some(match verb {
            "config" => {
                let base = self.root.base(self.listen.as_deref());
                done(fs::write(self.path("supervisord.conf"), base + block))
            }
            "bare" => done(fs::write(self.path("supervisord.conf"), block)),
            "write" => {
                let text = if block.is_empty() { unquote(more) } else { Ok(block.into()) };
                text.and_then(|t| done(fs::write(path, t)))
            }
            "append" => unquote(more).and_then(|t| done(append(&path, &t))),
            "remove" => done(fs::remove_file(path)),
            "mkdir" => done(fs::create_dir_all(path)),
            "chmod" => u32::from_str_radix(name, 8)
                .map_err(|e| e.to_string())
                .and_then(|m| done(fs::set_permissions(self.path(more), fs::Permissions::from_mode(m)))),
            "move" => done(fs::rename(path, self.path(more))),
            "link" => done(symlink(self.path(more), path)),
            "show" => Ok(file(&path)),
            "show-sorted" => {
                let text = process::read(&path);
                let mut lines: Vec<&str> = text.lines().collect();
                lines.sort_unstable();
                Ok(lines.iter().map(|l| format!("  |{l}\n")).collect())
            }
            "grep" => regex(more).map(|r| {
                process::read(&path).lines().filter(|l| r.is_match(l)).map(|l| format!("  |{l}\n")).collect()
            }),
            "size" => {
                Ok(fs::metadata(path).map_or("  absent\n".into(), |m| format!("  {} bytes\n", m.len())))
            }
            "stat" => Ok(stat(&path)),
            "inode" => {
                let now = fs::metadata(path).map(|m| m.ino()).unwrap_or_default();
                let before = self.inodes.insert(name.into(), now);
                Ok(before
                    .map_or(String::new(), |b| format!("  {}\n", if b == now { "same" } else { "another" })))
            }
            "ls" => list(&path),
            "wait-file" => self.wait_file(name, more),
            "wait-exists" => self.until(name, |p| Ok(p.path(name).exists().then(String::new))),
            "wait-gone" => {
                self.until(&format!("{name} gone"), |p| Ok((!p.path(name).exists()).then(String::new)))
            }
            "wait-log" => self.wait_file("supervisord.log", rest),
            "log" => regex(rest).map(|r| {
                let log = process::read(&self.path("supervisord.log"));
                log.lines().filter(|l| r.is_match(l)).map(|l| format!("  |{l}\n")).collect()
            }),
            _ => return None,
        })
    }

    /// Calls, events, pages.
    fn about_answers(&mut self, verb: &str, rest: &str, block: &str) -> Option<Out> {
        Some(match verb {
            "via" => {
                self.door = match rest.parse() {
                    Ok(port) => http::Door::Tcp(port),
                    Err(_) => http::Door::Unix(self.path(rest)),
                };
                Ok(String::new())
            }
            "auth" => {
                self.auth = (rest != "none").then(|| rest.to_string());
                Ok(String::new())
            }
            "rpc" => self.rpc(rest).map(|body| indent(&body)),
            "begin" => self.begin(rest),
            "finish" => match self.calls.remove(rest).map(std::thread::JoinHandle::join) {
                Some(Ok(text)) => Ok(indent(&text)),
                _ => Err(format!("{rest} was not begun")),
            },
            "wait" => self.wait_states(rest),
            "wait-rpc" => self.wait_rpc(rest),
            "post" => Ok(self.answer(&self.request("POST", "/RPC2", &[], Some(block.trim_end())), true)),
            "http" => self.http(rest, block, true),
            "http-head" => self.http(rest, block, false),
            "raw" => self.raw(block),
            "page" => self.page(rest),
            "stream" => self.stream(rest),
            "stream-wait" => {
                let (label, text) = first(rest);
                unquote(text).and_then(|text| {
                    self.until(&format!("{text:?} in the stream"), |p| {
                        Ok(p.streamed(label)?.contains(&text).then(String::new))
                    })
                })
            }
            "stream-show" => self.streamed(rest).map(|text| show(&text, "")),
            "events" => self.events(rest),
            "states" => self.states(rest),
            _ => return None,
        })
    }

    fn daemonize(&mut self, rest: &str) -> Out {
        let mut args = vec!["-c".to_string(), self.path("supervisord.conf").display().to_string()];
        args.extend(words::texts(rest)?);
        let out = self.run("supervisord", &args, "")?;
        let pid = self.until("the pid file", |p| {
            let text = process::read(&p.path("supervisord.pid"));
            Ok(text.strip_suffix('\n').and_then(|t| t.parse().ok()))
        })?;
        self.background = Some(pid);
        Ok(out)
    }

    fn exit(&mut self) -> Out {
        let deadline = self.deadline();
        if let Some(pid) = self.background.take() {
            let ended = Process::open(pid).is_none_or(|p| p.wait(deadline.left()));
            return if ended { Ok("  ended\n".into()) } else { Err("the daemon did not end".into()) };
        }
        let daemon = self.daemon.as_mut().ok_or("no daemon was started")?;
        Ok(format!("  exit {}\n", daemon.wait(deadline)?))
    }

    /// Lines of the daemon's outputs that match.
    fn said(&mut self, rest: &str) -> Out {
        let wanted = regex(rest)?;
        let daemon = self.daemon.as_ref().ok_or("no daemon was started")?;
        let part = |text: String| {
            text.lines().filter(|l| wanted.is_match(l)).map(|l| format!("{l}\n")).collect::<String>()
        };
        Ok(show(&part(daemon.stdout()), &part(daemon.stderr())))
    }

    fn ctl(&mut self, args: &[String], stdin: &str) -> Out {
        let mut all = vec!["-c".to_string(), self.path("supervisord.conf").display().to_string()];
        all.extend_from_slice(args);
        self.run("supervisorctl", &all, stdin).map(|t| {
            let pid = regex(r"(?m)^  \|[1-9]\d+$").map(|r| r.replace_all(&t, "  |PID").into_owned());
            pid.unwrap_or(t)
        })
    }

    /// `ctl-until TEXT ARGS`: until it printed the text; then an interrupt. The block is typed before.
    fn ctl_until(&mut self, rest: &str, block: &str) -> Out {
        let mut all = words::texts(rest)?;
        let text = if all.is_empty() { return Err("until what?".into()) } else { all.remove(0) };
        let mut args = vec!["-c".to_string(), self.path("supervisord.conf").display().to_string()];
        args.append(&mut all);
        let mut running = self.launch("supervisorctl", &args, Stdio::piped())?;
        let mut stdin = running.stdin();
        if let Some(pipe) = &mut stdin {
            use std::io::Write;
            pipe.write_all(block.as_bytes()).map_err(io)?;
        }
        self.until(&format!("{text:?} of supervisorctl"), |_| match running.ended() {
            Some(_) if !running.stdout().contains(&text) => Err(format!("it ended\n{}", running.report())),
            _ => Ok(running.stdout().contains(&text).then_some(())),
        })?;
        running.signal(libc::SIGINT);
        let code = running.wait(self.deadline())?;
        drop(stdin);
        Ok(format!("{}  exit {code}\n", running.report()))
    }

    /// A script for the genuine installation's Python, with its libraries.
    fn py(&mut self, block: &str) -> Out {
        let script = self.path("out/script.py");
        fs::write(&script, block).map_err(io)?;
        let python = self.root.fill("{python}");
        self.run(&python, &[script.display().to_string()], "")
    }

    /// `signal daemon HUP`, `signal web KILL`.
    fn signal(&mut self, rest: &str) -> Out {
        let (name, signal) = first(rest);
        let number = match signal {
            "HUP" => libc::SIGHUP,
            "INT" => libc::SIGINT,
            "QUIT" => libc::SIGQUIT,
            "KILL" => libc::SIGKILL,
            "USR1" => libc::SIGUSR1,
            "USR2" => libc::SIGUSR2,
            "TERM" => libc::SIGTERM,
            "STOP" => libc::SIGSTOP,
            "CONT" => libc::SIGCONT,
            "SEGV" => libc::SIGSEGV,
            other => return Err(format!("{other:?} is no signal here")),
        };
        let pid = match name {
            "daemon" => self.daemon_pid()?,
            name => {
                let body = self.rpc_body("supervisor.getProcessInfo", &[name.into()]);
                let pid = rpc::member(&body, "pid").and_then(|p| p.parse().ok()).filter(|p| *p > 0);
                pid.ok_or_else(|| format!("{name} has no process: {}", rpc::reply(&body)))?
            }
        };
        // One program to its users, whatever number of processes it is.
        let exe = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let killed = name == "daemon" && number == libc::SIGKILL;
        let others = if killed { procs::descendants(pid) } else { Vec::new() };
        let others: Vec<i32> =
            others.into_iter().filter(|p| exe(*p).is_some() && exe(*p) == exe(pid)).collect();
        let sent = Process::open(pid).is_some_and(|p| p.signal(number));
        for other in others.into_iter().filter_map(Process::open) {
            other.kill();
        }
        if sent { Ok(String::new()) } else { Err(format!("{name} is gone")) }
    }

    /// `wait-file FILE TEXT`, or `wait-file FILE xN TEXT` for N lines that hold it.
    fn wait_file(&mut self, name: &str, what: &str) -> Out {
        let (head, tail) = first(what);
        let (count, text) = match head.strip_prefix('x').and_then(|n| n.parse::<usize>().ok()) {
            Some(n) => (n, tail),
            None => (1, what),
        };
        let seen = regex(text)?;
        self.until(&format!("{what} in {name}"), |p| {
            let all = process::read(&p.path(name));
            Ok((all.lines().filter(|l| seen.is_match(l)).count() >= count).then(String::new))
        })
    }

    fn request(&self, method: &str, path: &str, headers: &[(String, String)], body: Option<&str>) -> Vec<u8> {
        let mut headers = headers.to_vec();
        if let Some(auth) = &self.auth {
            let code = base64::engine::general_purpose::STANDARD.encode(auth);
            headers.push(("Authorization".into(), format!("Basic {code}")));
        }
        if body.is_some() && !headers.iter().any(|(k, _)| k == "Content-Type") {
            headers.push(("Content-Type".into(), "text/xml".into()));
        }
        http::request(method, path, &headers, body.map(str::as_bytes))
    }

    fn call(&self, method: &str, params: &[serde_json::Value]) -> Answer {
        let bytes = self.request("POST", "/RPC2", &[], Some(&rpc::call(method, params)));
        http::exchange(&self.door, &bytes, self.deadline())
    }

    fn rpc_body(&self, method: &str, params: &[serde_json::Value]) -> String {
        String::from_utf8_lossy(&self.call(method, params).body).into_owned()
    }

    fn rpc(&self, rest: &str) -> Out {
        let words = words::split(rest)?;
        let (method, params) = words.split_first().ok_or("call what?")?;
        let params: Vec<_> = params.iter().map(Word::value).collect();
        Ok(spoken(&self.call(&method.text, &params)))
    }

    /// `begin LABEL METHOD ARGS`: the call goes on while other steps are done.
    fn begin(&mut self, rest: &str) -> Out {
        let (label, call) = first(rest);
        let words = words::split(call)?;
        let (method, params) = words.split_first().ok_or("call what?")?;
        let params: Vec<_> = params.iter().map(Word::value).collect();
        let bytes = self.request("POST", "/RPC2", &[], Some(&rpc::call(&method.text, &params)));
        let (door, deadline) = (self.door.clone(), self.deadline());
        let thread = std::thread::spawn(move || spoken(&http::exchange(&door, &bytes, deadline)));
        self.calls.insert(label.into(), thread);
        Ok(String::new())
    }

    /// `wait web RUNNING db STOPPED`.
    fn wait_states(&mut self, rest: &str) -> Out {
        let words = words::texts(rest)?;
        for pair in words.chunks(2) {
            let [name, state] = pair else { return Err("a name and a state".into()) };
            let mut last = String::new();
            let found = self.until(&format!("{name} {state}"), |p| {
                let answer = p.call("supervisor.getProcessInfo", &[name.as_str().into()]);
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                last = rpc::member(&body, "statename").unwrap_or_else(|| spoken(&answer));
                Ok((last == *state).then_some(()))
            });
            found.map_err(|e| format!("{e}; last: {last}"))?;
        }
        Ok(String::new())
    }

    /// `wait-rpc REGEX METHOD ARGS`: until the reply matches; it is not shown.
    fn wait_rpc(&mut self, rest: &str) -> Out {
        let (pattern, call) = first(rest);
        let pattern = regex(pattern)?;
        self.until(rest, |p| Ok(pattern.is_match(&p.rpc(call)?).then(String::new)))
    }

    /// `http GET /path Name:value`; the block is the body.
    fn http(&mut self, rest: &str, block: &str, body: bool) -> Out {
        let words = words::texts(rest)?;
        let [method, path, headers @ ..] = words.as_slice() else { return Err("a method and a path".into()) };
        let header = |w: &String| w.split_once(':').map(|(k, v)| (k.to_string(), v.trim().to_string()));
        let headers: Vec<_> = headers.iter().filter_map(header).collect();
        let send = (!block.is_empty()).then(|| block.trim_end());
        Ok(self.answer(&self.request(method, path, &headers, send), body))
    }

    fn answer(&self, bytes: &[u8], body: bool) -> String {
        let answer = http::exchange(&self.door, bytes, self.deadline());
        shown(&answer, body)
    }

    /// The block as it is: its head with CR LF, an empty line, its body. Then the answers, and who hung up.
    fn raw(&mut self, block: &str) -> Out {
        let (head, body) = block.split_once("\n\n").unwrap_or((block.trim_end(), ""));
        let text = format!("{}\r\n\r\n{}", head.replace('\n', "\r\n"), body.trim_end_matches('\n'));
        let mut line = self.door.open(self.deadline().left()).map_err(io)?;
        line.send(text.as_bytes()).map_err(io)?;
        let answer = line.answer(false);
        let end = if line.closes() { "closed" } else { "open" };
        Ok(format!("{}  -- {end}\n", shown(&answer, true)))
    }

    /// What scripts look for on a page: links, classes of states, messages.
    fn page(&mut self, rest: &str) -> Out {
        let answer = http::exchange(&self.door, &self.request("GET", rest, &[], None), self.deadline());
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let links = regex(r#"href="((?:index\.html\?|tail\.html|logtail/)[^"]*)"[^>]*>([^<]*)<"#)?;
        let classes = regex(r#"class="(status[a-z]+)"[^>]*>([^<]*)<"#)?;
        let messages = regex(r#"(?s)class="status_msg"[^>]*>(.*?)</div>"#)?;
        let mut out = shown(&answer, false);
        for (kind, pattern) in [("message", messages), ("class", classes), ("link", links)] {
            for caps in pattern.captures_iter(&body) {
                let texts: Vec<&str> = caps.iter().skip(1).flatten().map(|m| m.as_str().trim()).collect();
                out.push_str(&format!("  {kind} {}\n", texts.join(" | ").replace("&gt;", ">")));
            }
        }
        Ok(out)
    }

    /// `stream LABEL /logtail/web`: reads on in the background.
    fn stream(&mut self, rest: &str) -> Out {
        let (label, path) = first(rest);
        let mut line = self.door.open(self.deadline().left()).map_err(io)?;
        line.send(&self.request("GET", path, &[], None)).map_err(io)?;
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, into) = (line.copy().map_err(io)?, Arc::clone(&taken));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if let Ok(mut all) = into.lock() {
                    all.extend_from_slice(&buffer[..n]);
                }
            }
        });
        self.streams.insert(label.into(), Stream { line, taken });
        Ok(String::new())
    }

    /// What a stream brought: its data when it is chunked.
    fn streamed(&self, label: &str) -> Out {
        let stream = self.streams.get(label).ok_or_else(|| format!("{label} was not opened"))?;
        let bytes = stream.taken.lock().map(|b| b.clone()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.split_once("\r\n\r\n") {
            Some((head, _)) if head.to_lowercase().contains("transfer-encoding: chunked") => {
                Ok(String::from_utf8_lossy(&http::unchunk(&bytes[head.len() + 4..]).0).into_owned())
            }
            Some((_, body)) => Ok(body.into()),
            None => Ok(String::new()),
        }
    }

    /// `events REGEX`: all events that were not shown yet, up to the first that matches, as they came.
    fn events(&mut self, rest: &str) -> Out {
        let (file, rest) = match rest.strip_prefix('@') {
            Some(named) => first(named),
            None => ("events", rest),
        };
        let last = regex(rest)?;
        let from = self.shown.get(file).copied().unwrap_or(0);
        let path = self.path(file);
        let result = self.until(&format!("an event with {rest}"), |_| {
            let all = events::read(&path);
            let found = all.iter().skip(from).position(|e| last.is_match(&e.text()));
            Ok(found.map(|at| all[from..=from + at].to_vec()))
        });
        let came = || events::read(&path).iter().skip(from).map(|e| e.text() + "\n").collect::<String>();
        let all = result.map_err(|e| format!("{e}; those that came:\n{}", came()))?;
        self.shown.insert(file.into(), from + all.len());
        Ok(indent(&all.iter().map(|e| e.show(&self.root.places())).collect::<String>()))
    }

    /// `states web RUNNING`: the states of a program that were not shown yet, up to this one.
    fn states(&mut self, rest: &str) -> Out {
        let (name, last) = first(rest);
        let key = format!("states of {name}");
        let from = self.shown.get(&key).copied().unwrap_or(0);
        let path = self.path("events");
        let look = || -> Vec<(String, String)> {
            events::read(&path).iter().filter_map(|e| e.state_of(name)).skip(from).collect()
        };
        let result = self.until(&format!("{name} {last}"), |_| {
            let all = look();
            let found = all.iter().position(|(state, _)| state == last);
            Ok(found.map(|at| all[..=at].to_vec()))
        });
        let all = result.map_err(|e| format!("{e}; those that came: {:?}", look()))?;
        self.shown.insert(key, from + all.len());
        Ok(all.iter().map(|(_, text)| format!("  {text}\n")).collect())
    }
}
