//! The shell: lines one after another, typed with an editor on a terminal, or read plainly.

use super::completion;
use super::history::History;
use super::input::Next;
use super::interrupt::Interrupt;
use super::link::{Link, SharedInput};
use super::rpc::{CallError, Rpc, list, member};
use super::session::{Ask, Flow, Session};
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::sync::PoisonError;

/// A person, or a file with lines, at standard input.
pub(super) struct Person {
    pub(super) input: SharedInput,
    pub(super) interrupt: Rc<Interrupt>,
}

impl Person {
    fn read(&self) -> Result<Option<String>, CallError> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        match input.line(self.interrupt.fd()) {
            Next::Line(line) => Ok(Some(line)),
            Next::End => Ok(None),
            Next::Stopped => {
                self.interrupt.take();
                Err(CallError::Interrupted)
            }
        }
    }
}

/// Text that waits for an answer on the same line.
fn prompt(text: &str) {
    let mut out = std::io::stdout();
    // Nobody is there to read it when this fails.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

impl Ask for Person {
    fn line(&mut self, question: &str) -> Result<Option<String>, CallError> {
        prompt(question);
        self.read()
    }

    fn secret(&mut self, question: &str) -> Result<Option<String>, CallError> {
        let stdin = rustix::stdio::stdin();
        let before = if isatty(stdin) { tcgetattr(stdin).ok() } else { None };
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            // The password is asked for all the same, only visibly.
            let _ = tcsetattr(stdin, OptionalActions::Flush, &silent);
        }
        let answer = self.line(question);
        if let Some(before) = before {
            let _ = tcsetattr(stdin, OptionalActions::Flush, &before);
            prompt("\n");
        }
        answer
    }
}

/// Runs lines until there are no more. The exit status of a shell is always 0.
pub(super) fn run(
    session: &mut Session<'_>,
    prompt: &str,
    history: &History,
    link: &Link,
    person: &mut Person,
) {
    let prompt = format!("{prompt}> ");
    if session.run_line("status") == Flow::End {
        return;
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut editor = if terminal { editor(history, link).ok() } else { None };
    loop {
        let next = match &mut editor {
            // Pressed while no line was edited: the editor would not see it.
            Some(_) if person.interrupt.take() => return session.say(""),
            Some(editor) => edited(editor, &prompt),
            None => person.line(&prompt),
        };
        match next {
            Ok(Some(line)) => {
                if editor.is_some() && !line.trim().is_empty() {
                    history.keep(&line);
                }
                if session.run_line(&line) == Flow::End {
                    return;
                }
            }
            // The end of the input, or Ctrl-C at the prompt. The editor has ended its line itself.
            Ok(None) | Err(_) if editor.is_some() => return,
            Ok(None) | Err(_) => return session.say(""),
        }
    }
}

type LineEditor = Editor<Tab, MemHistory>;

fn editor(history: &History, link: &Link) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .bracketed_paste(false)
        .build();
    let mut editor = Editor::with_history(config.clone(), MemHistory::with_config(&config))?;
    editor.set_helper(Some(Tab(link.clone())));
    for line in history.load() {
        editor.add_history_entry(line)?;
    }
    Ok(editor)
}

/// A line from the editor; its end and its troubles alike end the shell.
fn edited(editor: &mut LineEditor, prompt: &str) -> Result<Option<String>, CallError> {
    match editor.readline(prompt) {
        Ok(line) => Ok(Some(line)),
        Err(ReadlineError::Interrupted) => Err(CallError::Interrupted),
        Err(_) => Ok(None),
    }
}

/// TAB.
struct Tab(Link);

impl Helper for Tab {}
impl Highlighter for Tab {}
impl Validator for Tab {}

impl Hinter for Tab {
    type Hint = String;
}

impl Completer for Tab {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let mut link = self.0.clone();
        let processes = || {
            // A daemon that does not answer has nothing to offer.
            let all = link.call("supervisor.getAllProcessInfo", &[]).ok();
            let pair = |row| (member(row, "group").to_string(), member(row, "name").to_string());
            all.iter().flat_map(list).map(pair).collect()
        };
        let (start, offered) = completion::complete(line.get(..pos).unwrap_or(line), processes);
        let pair = |name: String| Pair { replacement: format!("{name} "), display: name };
        Ok((start, offered.into_iter().map(pair).collect()))
    }
}
