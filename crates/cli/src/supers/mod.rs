//! `supers`: the client. One file a subcommand; what they share is here and in [`exit`], `reach` (the
//! way to the daemon), `rows` (results of orders) and `around` (the environment).

mod add;
mod around;
mod check;
mod complete;
mod completion;
mod convert;
pub mod deliver;
mod doctor;
pub mod exit;
mod history;
mod interrupt;
mod logs;
mod pid;
mod reach;
mod reload;
mod restart;
mod rows;
mod shutdown;
mod signal;
mod start;
mod status;
mod stop;
mod upgrade;
mod version;
mod why;

pub use around::Around;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use exit::Exit;
use exit::Failure;
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use supers_api::{Picture, Remote, term};
use supers_core::control::{Caller, Refusal, Status};
use supers_core::snapshot::DaemonView;
use term::{Style, Tone};

/// Controls superd, the process supervisor
///
/// Without a command it shows the status of all programs. Names are `web`, `web.service`,
/// `group:web`, `group:*`, shell patterns, or `all`.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 a named program is not running, 4 unknown name, 7 no daemon,
/// 130 interrupted (the job goes on). When several apply the one latest in 0 3 1 4 130 7 2 is given.
#[derive(Parser)]
#[command(name = "supers", version, disable_help_subcommand = true)]
struct Cli<Commands: Subcommand = Command> {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Option<Commands>,
}

#[derive(Args)]
struct Globals {
    /// The daemon that runs this configuration
    #[arg(short, long, global = true, value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    /// Look for everything below this folder
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The daemon at this address: unix:///PATH or http://HOST:PORT
    #[arg(short, long, global = true, value_name = "URL", conflicts_with_all = ["config", "root"])]
    server: Option<String>,
    /// User name for the server (or a token in SUPERS_TOKEN)
    #[arg(short = 'u', long = "username", global = true, value_name = "NAME")]
    auth_user: Option<String>,
    /// Password for the server
    #[arg(short = 'p', long = "password", global = true, value_name = "PASSWORD")]
    auth_password: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: When,
}

impl Globals {
    /// `supers` with what leads to the same daemon, for commands that are shown to be typed.
    fn typed(&self) -> String {
        let server = self.server.as_ref().map(|url| format!(" -s {}", quoted(url)));
        typed(self.config.as_deref(), self.root.as_deref()) + &server.unwrap_or_default()
    }

    /// A command from the daemon, which does not know how it was reached.
    fn retyped(&self, hint: &str) -> String {
        match hint.strip_prefix("supers ") {
            Some(rest) => format!("{} {rest}", self.typed()),
            None => hint.to_string(),
        }
    }
}

/// `supers` with what leads to the configuration that was named so.
pub(crate) fn typed(config: Option<&Path>, root: Option<&Path>) -> String {
    let mut text = "supers".to_string();
    for (flag, path) in [("-c", config), ("--root", root)] {
        if let Some(path) = path {
            text += &format!(" {flag} {}", quoted(&path.display().to_string()));
        }
    }
    text
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[derive(Clone, Copy, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    Status(status::Status),
    Start(start::Start),
    Stop(stop::Stop),
    Restart(restart::Restart),
    Add(add::Add),
    Reload(reload::Reload),
    Logs(logs::Logs),
    Why(why::Why),
    History(history::History),
    Signal(signal::Signal),
    Pid(pid::Pid),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Convert(convert::Convert),
    Upgrade(upgrade::Upgrade),
    Shutdown(shutdown::Shutdown),
    Version(version::Version),
    Completion(completion::Completion),
    #[command(name = "__complete", hide = true)]
    Complete(complete::Complete),
}

/// The commonest command alone.
#[derive(Subcommand)]
enum Commonest {
    Status(status::Status),
}

/// Reads the command line. To set up all commands takes longer than a status itself, so the commonest is tried
/// first. What it accepts, all commands together accept alike; help and mistakes are left to them.
fn parse(args: &[OsString]) -> Result<(Globals, Command), clap::Error> {
    if let Ok(Cli { globals, command }) = Cli::<Commonest>::try_parse_from(args) {
        let Commonest::Status(status) = command.unwrap_or(Commonest::Status(status::Status::default()));
        return Ok((globals, Command::Status(status)));
    }
    let Cli { globals, command } = Cli::<Command>::try_parse_from(args)?;
    Ok((globals, command.unwrap_or(Command::Status(status::Status::default()))))
}

/// Where the command writes.
pub struct Streams<'a> {
    /// Results.
    pub out: &'a mut (dyn Write + Send),
    /// Everything else.
    pub err: &'a mut (dyn Write + Send),
}

/// What every subcommand gets.
struct Context<'a> {
    globals: Globals,
    around: &'a Around,
    io: Streams<'a>,
    style: Style,
}

impl Context<'_> {
    /// A connection to the daemon.
    async fn connect(&self) -> Result<Remote, Failure> {
        reach::way(&self.globals, self.around)?.connect(&self.globals, self.around).await
    }

    /// One request for everything.
    async fn status(&self) -> Result<Status<'static>, Failure> {
        self.status_of(&self.connect().await?).await
    }

    /// The same over a connection that is there.
    async fn status_of(&self, remote: &Remote) -> Result<Status<'static>, Failure> {
        Ok(self.picture_of(remote, false).await?.read()?.into_owned())
    }

    /// The same as it comes. `brief`: only what a table shows.
    async fn picture(&self, brief: bool) -> Result<Picture, Failure> {
        self.picture_of(&self.connect().await?, brief).await
    }

    /// A daemon that was stopped still lets clients connect, so this waits only for so long.
    async fn picture_of(&self, remote: &Remote, brief: bool) -> Result<Picture, Failure> {
        self.in_time(remote.picture(brief)).await
    }

    /// The daemon alone, over a connection that is there; likewise.
    async fn daemon_of(&self, remote: &Remote) -> Result<DaemonView, Failure> {
        self.in_time(remote.daemon()).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Refusal>>) -> Result<T, Failure> {
        let patience = self.around.patience;
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::NoDaemon(format!(
                "superd lets clients connect but did not answer within {} s; is it stopped, or the machine overloaded?",
                patience.as_secs_f32()
            ))),
        }
    }

    /// Text to standard output, at once.
    fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.io.out.write_all(text.as_bytes())?;
        Ok(self.io.out.flush()?)
    }

    /// A line to standard error.
    fn complain(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.io.err.write_all(format!("supers: {text}\n").as_bytes())?)
    }

    /// One JSON document to standard output.
    fn print_json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string(value).map_err(std::io::Error::from)?;
        text.push('\n');
        self.print(&text)
    }
}

/// The daemon sees by itself who asks.
fn caller() -> Caller {
    Caller::default()
}

/// Runs `supers` with these arguments, the program's name first; the exit code. By another name it is
/// another client.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.collect();
    if crate::supervisorctl::is_meant(&args) {
        return crate::supervisorctl::main(args.into_iter());
    }
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    run(args.into_iter(), &Around::real(), Streams { out: &mut out, err: &mut err }).code()
}

/// The same with given surroundings.
pub fn run<'a>(args: impl Iterator<Item = OsString>, around: &'a Around, mut io: Streams<'a>) -> Exit {
    let args: Vec<OsString> = args.collect();
    let (globals, command) = match parse(&args) {
        Ok(parsed) => parsed,
        Err(e) => return usage(&e, around, &mut io),
    };
    let colour = match globals.color {
        When::Always => true,
        When::Never => false,
        When::Auto => around.tty && around.var("NO_COLOR").is_none(),
    };
    let mut context = Context { globals, around, io, style: Style { colour } };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&mut context, &Failure::Io(e)),
    };
    match runtime.block_on(dispatch(&mut context, command)) {
        Ok(exit) => exit,
        Err(failure) => fail(&mut context, &failure),
    }
}

async fn dispatch(context: &mut Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Status(c) => c.run(context).await,
        Command::Start(c) => c.run(context).await,
        Command::Stop(c) => c.run(context).await,
        Command::Restart(c) => c.run(context).await,
        Command::Add(c) => c.run(context).await,
        Command::Reload(c) => c.run(context).await,
        Command::Logs(c) => c.run(context).await,
        Command::Why(c) => c.run(context).await,
        Command::History(c) => c.run(context).await,
        Command::Signal(c) => c.run(context).await,
        Command::Pid(c) => c.run(context).await,
        Command::Check(c) => c.run(context),
        Command::Doctor(c) => c.run(context),
        Command::Convert(c) => c.run(context),
        Command::Upgrade(c) => c.run(context).await,
        Command::Shutdown(c) => c.run(context).await,
        Command::Version(c) => c.run(context).await,
        Command::Completion(c) => c.run(context),
        Command::Complete(c) => c.run(context).await,
    }
}

/// Help and version are results; anything else is a mistake.
fn usage(e: &clap::Error, around: &Around, io: &mut Streams<'_>) -> Exit {
    let colour = around.tty && around.var("NO_COLOR").is_none();
    let text = if colour { e.render().ansi().to_string() } else { e.render().to_string() };
    // A closed pipe changes nothing about the answer.
    if e.use_stderr() {
        drop(io.err.write_all(text.as_bytes()));
        Exit::Usage
    } else {
        drop(io.out.write_all(text.as_bytes()));
        Exit::Done
    }
}

#[derive(Serialize)]
struct Trouble<'a> {
    error: TroubleDetail<'a>,
}

#[derive(Serialize)]
struct TroubleDetail<'a> {
    kind: &'a str,
    text: &'a str,
}

fn fail(context: &mut Context<'_>, failure: &Failure) -> Exit {
    if let Some((kind, text)) = failure.message() {
        let json = context.globals.json;
        // Who reads JSON finds the reason where the result would be.
        let said = if json {
            context.print_json(&Trouble { error: TroubleDetail { kind, text: &text } })
        } else {
            let word = context.style.paint(Tone::Bad, "supers:");
            context.io.err.write_all(format!("{word} {text}\n").as_bytes()).map_err(Failure::from)
        };
        // Nowhere is left to say that it could not be said.
        drop(said);
    }
    failure.exit()
}

/// `1 error`, `2 errors`.
fn plural(n: usize, one: &str) -> String {
    if n == 1 { format!("{n} {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, Commonest, parse, quoted};
    use clap::Parser;
    use std::ffi::OsString;

    /// The shorter way through the command line must lead to the same place.
    #[test]
    fn the_commonest_command_is_read_like_all() {
        let lines = [
            "supers",
            "supers status",
            "supers --json -c start",
            "supers -s unix:///x status web start --color never",
            "supers status -- --json",
            "supers start web",
            "supers status --no-wait",
            "supers stat",
            "supers --help",
        ];
        let mut short = 0;
        for line in lines {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            short += usize::from(Cli::<Commonest>::try_parse_from(&args).is_ok());
            let wanted = Cli::<Command>::try_parse_from(&args).map(|cli| (cli.globals, cli.command));
            match (parse(&args), wanted) {
                (Ok((globals, Command::Status(status))), Ok((all, command))) => {
                    assert_eq!(
                        (globals.json, globals.config, globals.server),
                        (all.json, all.config, all.server)
                    );
                    let names = match command {
                        None => Vec::new(),
                        Some(Command::Status(status)) => status.names,
                        Some(_) => panic!("{line}: not status"),
                    };
                    assert_eq!(status.names, names, "{line}");
                }
                (Ok((_, command)), Ok((_, all))) => {
                    assert!(matches!((command, all), (Command::Start(_), Some(Command::Start(_)))), "{line}");
                }
                (Err(e), Err(all)) => assert_eq!(e.to_string(), all.to_string()),
                (one, all) => panic!("{line}: {} and {}", one.is_ok(), all.is_ok()),
            }
        }
        assert_eq!(short, 5);
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("/etc/super"), "/etc/super");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
