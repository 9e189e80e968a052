//! The hidden `supers __complete WORDS...`: candidates for the last word, one a line. Never complains:
//! a shell would print it into the line that is being typed.

use super::exit::{Exit, Failure};
use super::{Cli, Context};
use clap::{Args, CommandFactory};
use supers_core::control::Status;
use supers_core::snapshot::ProgramView;

#[derive(Args)]
pub(super) struct Complete {
    #[arg(last = true)]
    words: Vec<String>,
}

impl Complete {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let mut root = <Cli>::command();
        root.build();
        let (done, last) = match self.words.split_last() {
            Some((last, done)) => (done, last.as_str()),
            None => (&[][..], ""),
        };
        let sentence = read(&root, done, context);
        let mut found: Vec<String> = match sentence.verb.as_deref() {
            _ if sentence.in_command || sentence.value_due => Vec::new(),
            _ if last.starts_with('-') => flags(&root, sentence.verb.as_deref()),
            None => verbs(&root),
            Some("completion") => ["bash", "zsh", "fish"].map(String::from).to_vec(),
            Some("signal") if sentence.rest == 0 => {
                ["HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"].map(String::from).to_vec()
            }
            Some(
                "status" | "start" | "stop" | "restart" | "logs" | "why" | "history" | "signal" | "pid"
                | "reload",
            ) => context.status().await.map(names).unwrap_or_default(),
            Some(_) => Vec::new(),
        };
        found.retain(|w| w.starts_with(last));
        found.sort();
        found.dedup();
        let text: String = found.into_iter().map(|w| w + "\n").collect();
        context.print(&text)?;
        Ok(Exit::Done)
    }
}

/// What was typed before the word that is completed.
#[derive(Default)]
struct Sentence {
    verb: Option<String>,
    /// Words behind the verb that are no flags.
    rest: usize,
    /// The last flag wants a value.
    value_due: bool,
    /// Behind `--`.
    in_command: bool,
}

/// Reads flags of the sentence into the globals, so that names come from the daemon that is meant.
fn read(root: &clap::Command, words: &[String], context: &mut Context<'_>) -> Sentence {
    let mut s = Sentence::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            s.in_command = true;
            return s;
        }
        if let Some(flag) = word.strip_prefix('-') {
            if takes_value(root, s.verb.as_deref(), flag) {
                match words.next() {
                    Some(value) => remember(context, flag, value),
                    None => s.value_due = true,
                }
            }
        } else if s.verb.is_none() {
            s.verb = Some(word.clone());
        } else {
            s.rest += 1;
        }
    }
    s
}

fn remember(context: &mut Context<'_>, flag: &str, value: &str) {
    match flag {
        "c" | "-config" => context.globals.config = Some(value.into()),
        "-root" => context.globals.root = Some(value.into()),
        "s" | "-server" => context.globals.server = Some(value.into()),
        _ => {}
    }
}

/// The command and, when there is one, the subcommand.
fn levels<'a>(root: &'a clap::Command, verb: Option<&str>) -> impl Iterator<Item = &'a clap::Command> {
    let sub = verb.and_then(|v| root.find_subcommand(v));
    std::iter::once(root).chain(sub)
}

fn takes_value(root: &clap::Command, verb: Option<&str>, flag: &str) -> bool {
    let long = flag.strip_prefix('-');
    let mut args = levels(root, verb).flat_map(|c| c.get_arguments());
    let meant = args.find(|a| match long {
        Some(long) => a.get_long() == Some(long),
        None => a.get_short().is_some_and(|s| flag.len() == 1 && flag.starts_with(s)),
    });
    meant.is_some_and(|a| a.get_action().takes_values())
}

fn flags(root: &clap::Command, verb: Option<&str>) -> Vec<String> {
    let args = levels(root, verb).flat_map(|c| c.get_arguments());
    args.filter(|a| !a.is_hide_set() && (verb.is_none() || a.get_id() != "version"))
        .filter_map(|a| a.get_long())
        .map(|l| format!("--{l}"))
        .collect()
}

fn verbs(root: &clap::Command) -> Vec<String> {
    root.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_string()).collect()
}

fn names(status: Status<'_>) -> Vec<String> {
    let group = |p: &ProgramView<'_>| (p.name != p.group).then(|| format!("{}:*", p.group));
    let groups = status.programs.iter().filter_map(group);
    status.programs.iter().map(|p| p.full_name().into_owned()).chain(groups).collect()
}
