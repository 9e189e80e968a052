//! One session: a daemon, a place to write to, and the exit status so far.

use super::names;
use super::rpc::{CallError, Daemon, Value, code};
use super::{daemon, fg, groups, help, logs, orders, pid, status};
use std::io::Write;

/// Exit codes (supervisor-contract 13).
pub(super) mod exit {
    pub(in crate::supervisorctl) const GENERIC: i32 = 1;
    pub(in crate::supervisorctl) const INVALID_ARGS: i32 = 2;
    pub(in crate::supervisorctl) const UNIMPLEMENTED: i32 = 3;
    pub(in crate::supervisorctl) const STATUS_NOT_RUNNING: i32 = 3;
    pub(in crate::supervisorctl) const STATUS_UNKNOWN: i32 = 4;
    pub(in crate::supervisorctl) const UNREACHABLE: i32 = 4;
    pub(in crate::supervisorctl) const OTHER_VERSION: i32 = 5;
    pub(in crate::supervisorctl) const NOT_RUNNING: i32 = 7;
    pub(in crate::supervisorctl) const INTERRUPTED: i32 = 130;
}

/// The version of the calls that we speak.
const API_VERSION: &str = "3.0";

/// Questions to the person in front.
pub trait Ask {
    /// A line after this prompt, without its end; `None` at the end of the input.
    ///
    /// # Errors
    /// Ctrl-C.
    fn line(&mut self, prompt: &str) -> Result<Option<String>, CallError>;
    /// The same without showing what is typed.
    ///
    /// # Errors
    /// Ctrl-C.
    fn secret(&mut self, prompt: &str) -> Result<Option<String>, CallError>;
}

/// What a command came to. An error is printed as one line.
pub(super) type Done = Result<(), CallError>;

/// Whether more lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    Go,
    /// `exit`, `quit`, the end of the input, or Ctrl-C.
    End,
}

/// A daemon, what is around it, and the exit status so far.
pub struct Session<'a> {
    /// The daemon.
    pub daemon: &'a mut dyn Daemon,
    /// Where text goes.
    pub out: &'a mut dyn Write,
    /// Where troubles of a stream go.
    pub err: &'a mut dyn Write,
    /// Who answers questions.
    pub ask: &'a mut dyn Ask,
    /// Somebody is there to be asked.
    pub interactive: bool,
    /// The exit status: the last problem wins.
    pub status: i32,
}

impl Session<'_> {
    /// A line of text. That nobody reads it changes nothing about what is to be done.
    pub(super) fn say(&mut self, text: &str) {
        self.say_all(&format!("{text}\n"));
    }

    /// Whole lines.
    pub(super) fn say_all(&mut self, lines: &str) {
        drop(self.out.write_all(lines.as_bytes()));
        drop(self.out.flush());
    }

    /// A line to standard error.
    pub(super) fn complain(&mut self, text: &str) {
        drop(self.err.write_all(format!("{text}\n").as_bytes()));
    }

    /// A problem and its line.
    pub(super) fn fail(&mut self, status: i32, text: &str) {
        self.say(text);
        self.status = status;
    }

    /// A mistake in the arguments: the sentence and the command's help lines.
    pub(super) fn misused(&mut self, command: &str, status: i32, text: &str) {
        self.fail(status, text);
        self.say(help::of(command).unwrap_or_default());
    }

    /// For commands without arguments: false, and said why, when there are some.
    pub(super) fn no_arguments(&mut self, command: &str, args: &str) -> bool {
        if !args.is_empty() {
            self.misused(command, exit::GENERIC, &format!("Error: {command} accepts no arguments"));
        }
        args.is_empty()
    }

    pub(super) fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.daemon.call(&format!("supervisor.{method}"), params)
    }

    /// Whether the daemon is there and speaks our version; otherwise that was said.
    pub(super) fn upcheck(&mut self) -> Result<bool, CallError> {
        let answer = self.call("getVersion", &[]);
        let url = self.daemon.url();
        match answer {
            Ok(Value::Str(version)) if version == API_VERSION => return Ok(true),
            Ok(other) => {
                let version = other.as_str().unwrap_or("unknown");
                self.fail(
                    exit::OTHER_VERSION,
                    &format!(
                        "Sorry, this version of supervisorctl expects to talk to a server with API version \
                         {API_VERSION}, but the remote version is {version}."
                    ),
                );
            }
            Err(e) if e.code() == Some(code::UNKNOWN_METHOD) => self.fail(
                exit::UNIMPLEMENTED,
                "Sorry, supervisord responded but did not recognize the supervisor namespace commands that \
                 supervisorctl uses to control it.  Please check that the [rpcinterface:supervisor] section is \
                 enabled in the configuration file (see sample.conf).",
            ),
            Err(CallError::Refused) => self.fail(exit::UNREACHABLE, &format!("{url} refused connection")),
            Err(CallError::NoFile) => self.fail(exit::NOT_RUNNING, &format!("{url} no such file")),
            Err(e) => return Err(e),
        }
        Ok(false)
    }

    /// `Really ... y/N? `; without anybody to ask the answer is yes.
    pub(super) fn confirm(&mut self, question: &str) -> Result<bool, CallError> {
        if !self.interactive {
            return Ok(true);
        }
        let answer = self.ask.line(question)?.ok_or(CallError::EndOfInput)?;
        Ok(answer.to_lowercase().starts_with('y'))
    }

    /// Does what a line says.
    pub fn run_line(&mut self, line: &str) -> Flow {
        loop {
            let done = match self.dispatch(line) {
                Ok(flow) => return flow,
                Err(e) if e.is_unauthorised() => self.unauthorised(e),
                Err(e) => Err(e),
            };
            match done {
                // With name and password the line has another chance.
                Ok(()) => {}
                Err(CallError::Interrupted) => {
                    self.say("");
                    self.status = exit::INTERRUPTED;
                    return Flow::End;
                }
                Err(e) => {
                    self.fail(exit::GENERIC, &format!("error: {e}: file: supervisorctl line: 0"));
                    return Flow::Go;
                }
            }
        }
    }

    fn unauthorised(&mut self, refused: CallError) -> Done {
        self.say("Server requires authentication");
        if !self.interactive {
            return Err(refused);
        }
        let username = self.ask.line("Username:")?.ok_or(CallError::EndOfInput)?;
        let password = self.ask.secret("Password:")?.ok_or(CallError::EndOfInput)?;
        self.say("");
        self.daemon.login(&username, &password);
        Ok(())
    }

    fn dispatch(&mut self, line: &str) -> Result<Flow, CallError> {
        let line = line.trim();
        let unfolded = line.strip_prefix('?').map(|topic| format!("help {topic}"));
        let full = unfolded.as_deref().unwrap_or(line);
        let end = full.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(full.len());
        let (command, args) = full.split_at(end);
        let args = args.trim();
        match command {
            _ if full.is_empty() => {}
            "exit" | "quit" | "EOF" => {
                self.say("");
                return Ok(Flow::End);
            }
            "help" => self.help(args),
            "status" => status::status(self, args)?,
            "pid" => pid::pid(self, args)?,
            "start" => orders::start(self, args)?,
            "stop" => orders::stop(self, args)?,
            "restart" => orders::restart(self, args)?,
            "signal" => orders::signal(self, args)?,
            "clear" => logs::clear(self, args)?,
            "tail" => logs::tail(self, args)?,
            "maintail" => logs::maintail(self, args)?,
            "fg" => fg::fg(self, args)?,
            "avail" => groups::avail(self, args)?,
            "reread" => groups::reread(self, args)?,
            "update" => groups::update(self, args)?,
            "add" => groups::add(self, args)?,
            "remove" => groups::remove(self, args)?,
            "version" => daemon::version(self, args)?,
            "open" => daemon::open(self, args)?,
            "shutdown" => daemon::shutdown(self, args)?,
            "reload" => daemon::reload(self, args)?,
            _ => self.fail(exit::GENERIC, &format!("*** Unknown syntax: {full}")),
        }
        Ok(Flow::Go)
    }

    fn help(&mut self, topic: &str) {
        match (topic, help::of(topic)) {
            ("", _) => self.say(help::TOPICS),
            (_, Some(text)) => self.say(text),
            (_, None) => self.say(&format!("*** No help on {topic}")),
        }
    }
}

/// `group:name` of a struct that has both.
pub(super) fn full_name(row: &Value) -> String {
    names::join(super::rpc::member(row, "group"), super::rpc::member(row, "name"))
}
