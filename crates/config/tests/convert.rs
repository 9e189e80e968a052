//! Converting: what comes out means what went in, in both directions, or the program is refused by key
//! and line. Random programs, and a corpus of files as people write them (`convert_corpus`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod convert_corpus;

use bstr::BString;
use common::World;
use proptest::prelude::*;
use std::collections::BTreeSet;
use supers_config::convert::{Conversion, Nature, To, convert, nature};
use supers_config::unit::words::expand;
use supers_config::{Choice, Request, Severity};
use supers_core::spec::{Directory, ExitSet, Sink, Spec, Target};

fn run(world: &World, choice: Choice, to: Option<To>) -> Conversion {
    // The common world makes requests for one file only.
    world.with_request("s.conf", |req| convert(&Request { choice, ..req.clone() }, to))
}

fn of_ini(text: &str) -> (World, Conversion) {
    let world = World::new(&[("s.conf", text)]);
    let choice = Choice::File(world.path().join("s.conf"));
    let out = run(&world, choice, None);
    assert_eq!(out.to, To::Unit);
    (world, out)
}

fn of_unit(name: &str, text: &str) -> (World, Conversion) {
    let file = format!("{name}.service");
    let world = World::new(&[(file.as_str(), text)]);
    let choice = Choice::File(world.path().join(file));
    let out = run(&world, choice, None);
    assert_eq!(out.to, To::Ini);
    (world, out)
}

/// Errors as text, without the folder.
fn refusals(world: &World, out: &Conversion) -> String {
    let errors = out.findings.iter().filter(|f| f.severity == Severity::Error);
    let lines: Vec<String> = errors.map(ToString::to_string).collect();
    world.short(&lines.join("\n"))
}

/// The spec without the fields of the list, written down here once more: everything else must be equal.
fn carried(spec: &Spec) -> Spec {
    let mut s = spec.clone();
    for command in s.exec.iter_mut() {
        command.line = BString::default();
        // What the words are when no variable is set: a double dollar is one.
        if std::mem::take(&mut command.expand) {
            command.words = expand(&command.words, &|_| None);
        }
    }
    (s.group, s.program) = (String::new(), String::new());
    (s.restart.startsecs, s.restart.retry, s.restart.limit) = Default::default();
    s.restart.clean.signals.clear();
    s.restart.clean.codes.sort_unstable();
    s.restart.clean.codes.dedup();
    (s.restart.force, s.restart.delay) = (ExitSet::default(), Default::default());
    (s.stop.sweep, s.stop.sweep_stop, s.context.session, s.context.stdin_pipe) = (false, false, false, false);
    s.context.ignore_sigpipe = false;
    (s.context.env.inherit, s.context.env.names, s.context.env.invocation) = (false, false, false);
    let given = |k: &BString| k != "LANG" && k != "PATH" && !k.starts_with(b"SUPERVISOR_");
    s.context.env.vars.retain(|(k, _)| given(k));
    s.context.umask = Some(s.context.umask.unwrap_or(0o022));
    s.context.directory.get_or_insert_with(|| Directory { path: "/".into(), optional: false });
    let own = |sink: &mut Sink| {
        let named = match &sink.target {
            Target::Auto { .. } => true,
            Target::File(path) => path.starts_with(b"/logs/"),
            Target::Null => false,
        };
        if named {
            sink.target = Target::Auto { dir: "".into(), identifier: String::new() };
        }
        (sink.max_bytes, sink.backups) = (0, 0);
    };
    own(&mut s.output.stdout);
    s.output.stderr.iter_mut().for_each(own);
    if s.output.stderr.as_ref() == Some(&s.output.stdout) {
        s.output.stderr = None;
    }
    s
}

/// Each piece means what its source does, and what the file means once it is on disk.
fn proven(out: &Conversion) -> Result<(), TestCaseError> {
    prop_assert_eq!(&out.bugs, &Vec::<String>::new());
    for piece in &out.pieces {
        let (source, meant) = &piece.proof;
        prop_assert_eq!(carried(source), carried(meant), "{}", piece.text);
        let world = World::new(&[(piece.file.as_str(), piece.text.as_str())]);
        let loaded = world.folder();
        prop_assert!(!loaded.config.has_errors(), "{:?}", loaded.config.findings);
        prop_assert_eq!(loaded.config.programs.len(), 1);
        prop_assert_eq!(loaded.config.programs[0].spec.as_ref(), meant);
    }
    Ok(())
}

fn lines(choices: Vec<BoxedStrategy<String>>) -> impl Strategy<Value = String> {
    let each = choices.into_iter().map(|line| prop_oneof![2 => Just(String::new()), 1 => line].boxed());
    each.collect::<Vec<_>>()
        .prop_map(|lines| lines.into_iter().filter(|l| !l.is_empty()).map(|l| l + "\n").collect())
}

fn one_of(texts: &[&str]) -> BoxedStrategy<String> {
    proptest::sample::select(texts.iter().map(|t| (*t).to_string()).collect::<Vec<_>>()).boxed()
}

/// Keys with values that a unit file can say.
fn ini_lines() -> impl Strategy<Value = String> {
    lines(vec![
        one_of(&["autorestart=true", "autorestart=false", "autorestart=unexpected"]),
        one_of(&["startsecs=0", "startsecs=1"]),
        "exitcodes=0(,[1-9][0-9]?){0,3}".boxed(),
        one_of(&["stopsignal=INT", "stopsignal=9", "stopsignal=SIGUSR2", "stopsignal=34", "stopsignal=64"]),
        (1u32..100_000).prop_map(|n| format!("stopwaitsecs={n}")).boxed(),
        one_of(&["stopasgroup=true", "killasgroup=true"]),
        one_of(&["user=www-data", "user=33", "user=root"]),
        "directory=/[a-z%é]{1,6}( [a-z]{1,3})?".prop_map(|t| t.replace('%', "%%")).boxed(),
        "umask=0?[0-7]{3}".boxed(),
        "environment=A=\"[a-z $%\\\\']{0,12}\",B_2='[a-z\"/=,]{0,8}'"
            .prop_map(|t| t.replace('%', "%%"))
            .boxed(),
        one_of(&["redirect_stderr=true"]),
        one_of(&[
            "stdout_logfile=NONE",
            "stdout_logfile=/tmp/o.log",
            "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0",
        ]),
        one_of(&["stderr_logfile=OFF", "stderr_logfile=/tmp/e 100%%.log", "stderr_logfile=/tmp/o.log"]),
    ])
}

fn ini_command() -> impl Strategy<Value = String> {
    let word = prop_oneof!["[a-z0-9/=:$%{}\\\\;#@!+é-]{1,8}", "'[a-z $%\"\\\\]{0,8}'", "\"[a-z $%;']{0,8}\""];
    let program = prop_oneof!["/[a-z$% ]{0,6}[a-z]".prop_map(|p| format!("\"{p}\"")), "[-@:+!a-z]{0,3}[a-z]"];
    (program, proptest::collection::vec(word, 0..5))
        .prop_map(|(p, words)| format!("{p} {}", words.join(" ")).replace('%', "%%"))
}

/// Directives with values that an INI file can say.
fn unit_lines() -> impl Strategy<Value = String> {
    lines(vec![
        one_of(&["Restart=always", "Restart=no", "Restart=on-failure", "Type=exec"]),
        one_of(&["RestartSec=0", "RestartSec=100ms"]),
        "SuccessExitStatus=[1-9][0-9]?( [1-9][0-9]?){0,2}".boxed(),
        one_of(&["KillSignal=INT", "KillSignal=9", "KillSignal=SIGUSR2"]),
        (1u32..100_000).prop_map(|n| format!("TimeoutStopSec={n}")).boxed(),
        one_of(&["KillMode=mixed", "KillMode=process", "KillMode=control-group"]),
        one_of(&["User=www-data", "User=33"]),
        "WorkingDirectory=/[a-z%é]{1,6}( [a-z]{1,3})?".prop_map(|t| t.replace('%', "%%")).boxed(),
        "UMask=0[0-7]{3}".boxed(),
        "Environment=\"A=[a-z $%/,]{0,12}\" B_2=[a-z=']{0,1}[a-z]{1,4}"
            .prop_map(|t| t.replace('%', "%%").replace('\'', ""))
            .boxed(),
        one_of(&["IgnoreSIGPIPE=no", "IgnoreSIGPIPE=yes"]),
        one_of(&["StandardOutput=null", "StandardOutput=append:/tmp/o 100%%.log", "StandardOutput=journal"]),
        one_of(&["StandardError=null", "StandardError=append:/tmp/e.log", "StandardError=journal"]),
    ])
}

fn unit_command() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-z0-9/=:%{}#@!+é-]{1,8}",
        "\"[a-z %;#']{0,8}\"",
        "'[a-z %\"]{0,6}'",
        "\\$\\$[a-z]{1,3}"
    ];
    ("/[a-z]{1,6}", proptest::collection::vec(word, 0..5))
        .prop_map(|(p, words)| format!("{p} {}", words.join(" ")).replace('%', "%%"))
}

#[test]
fn an_address_for_notifications_is_left_to_the_reader() {
    let (_world, out) = of_ini("[program:p]\ncommand=/bin/true\nwebhook=http://host/key?token=x\n");
    let (_other, back) = of_unit("u", "[Service]\nExecStart=/bin/true\nX-Webhook=none\n");
    for (out, key, hint) in [(&out, "webhook", "X-Webhook="), (&back, "X-Webhook", "webhook=")] {
        assert_eq!(out.pieces.len(), 1);
        assert!(!out.pieces[0].text.contains("token"), "{}", out.pieces[0].text);
        let found = out.findings.iter().find(|f| f.message.starts_with(&format!("{key}: the address")));
        let found = found.unwrap_or_else(|| panic!("{:?}", out.findings));
        assert!(found.hint.as_ref().is_some_and(|h| h.contains(hint)), "{found:?}");
    }
}

#[test]
fn a_command_without_a_program_is_refused() {
    for command in ["''", "\"\" x"] {
        let (world, out) = of_ini(&format!("[program:p]\ncommand={command}\n"));
        let refused = refusals(&world, &out);
        assert!(refused.contains("it cannot be run: its first word is empty"), "{refused}");
        assert!(out.pieces.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ini_to_unit(command in ini_command(), rest in ini_lines()) {
        let (world, out) = of_ini(&format!("[program:p]\ncommand={command}\n{rest}"));
        let faulty = refusals(&world, &out);
        // Random quotes and comment signs make commands that cannot be split; those are refused by name.
        if !faulty.is_empty() {
            prop_assert!(faulty.contains("it cannot be run"), "{faulty}");
            return Ok(());
        }
        prop_assert_eq!(out.pieces.len(), 1, "{:?}", out.findings);
        proven(&out)?;
        // And back: what a unit of ours says can always be said in an INI file, but for bytes it cannot hold.
        let (world, back) = of_unit("p", &out.pieces[0].text);
        let refused = refusals(&world, &back);
        prop_assert!(back.pieces.len() == 1 || refused.contains("no INI file can hold"), "{refused}");
        proven(&back)?;
        for piece in &back.pieces {
            let (mut first, mut last) = (carried(&out.pieces[0].proof.0), carried(&piece.proof.1));
            // Two streams that the daemon names have become one.
            (first.output.stderr, last.output.stderr) = (None, None);
            prop_assert_eq!(first, last);
        }
    }

    #[test]
    fn unit_to_ini(command in unit_command(), rest in unit_lines()) {
        let (world, out) = of_unit("p", &format!("[Service]\nExecStart={command}\n{rest}"));
        prop_assert_eq!(refusals(&world, &out), "");
        prop_assert_eq!(out.pieces.len(), 1, "{:?}", out.findings);
        proven(&out)?;
    }

    /// Whatever the values, a program is converted and proven, or refused with a line; the converter never
    /// contradicts itself.
    #[test]
    fn anything(
        command in "[ -~é]{0,16}",
        ini in "(environment=[A-Z]{0,2}=[ -~é]{0,12}\n|directory=[ -~]{1,9}\n|stdout_logfile=[ -~]{1,9}\n|user=[a-z0-9-]{1,8}\n|exitcodes=[0-9, ]{0,6}\n|stopwaitsecs=[0-9]\n|umask=[0-9]{1,4}\n|priority=[0-9]\n|numprocs=2\nprocess_name=a%\\(process_num\\)d\n){0,3}",
        unit in "(Environment=[ -~é]{0,16}\n|WorkingDirectory=[ -~]{1,9}\n|StandardOutput=append:/tmp/[ -~]{1,6}\n|KillMode=none\n|TimeoutStopSec=[0-9.]{1,3}\n|UMask=[0-9]{1,4}\n|RestartSec=[0-9]\n|LimitNOFILE=1\n|SendSIGKILL=no\n|SuccessExitStatus=[0-9HUP]{1,3}\n|RestartForceExitStatus=SIG[A-Z]{3}\n|Restart=on-failure\n){0,4}",
    ) {
        let (_, out) = of_ini(&format!("[program:p]\ncommand={command}\n{ini}"));
        proven(&out)?;
        prop_assert!(!out.pieces.is_empty() || out.findings.iter().any(|f| f.severity == Severity::Error));
        let (_, out) = of_unit("p", &format!("[Service]\nExecStart={command}\n{unit}"));
        proven(&out)?;
        prop_assert!(!out.pieces.is_empty() || out.findings.iter().any(|f| f.severity == Severity::Error));
    }
}

#[test]
fn the_corpus() {
    let mut got = String::new();
    for (name, text) in convert_corpus::INI {
        let (world, out) = of_ini(text);
        proven(&out).unwrap();
        got += &convert_corpus::summary(name, &out, &refusals(&world, &out));
    }
    for (name, text) in convert_corpus::UNITS {
        let (world, out) = of_unit(name, text);
        proven(&out).unwrap();
        got += &convert_corpus::summary(name, &out, &refusals(&world, &out));
    }
    let want = include_str!("convert_corpus/expected.txt");
    let first = got.lines().zip(want.lines()).find(|(g, w)| g != w);
    assert!(got == want, "first difference {first:?} in\n{got}");
}

#[test]
fn a_unit_in_full() {
    let (world, out) = of_ini(
        "[supervisord]\nenvironment=TZ=UTC\n[unix_http_server]\nfile=/run/s.sock\n[program:web]\n\
         command=/usr/bin/gunicorn app:app --bind 0.0.0.0:80 \"--fmt=%%(h)s $x\"\ndirectory=/srv/web\nuser=www-data\n\
         autorestart=true\nstopsignal=QUIT\nstopasgroup=true\nexitcodes=0,2\nredirect_stderr=true\n\
         stdout_logfile=/tmp/web.log\nstdout_logfile_maxbytes=0\nenvironment=A=\"1 2\",HOME=%(ENV_HOME)s\n",
    );
    proven(&out).unwrap();
    let warnings: Vec<String> = out.findings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(world.short(&warnings.join("\n")), @r#"
    s.conf:1:1: warning: not about a program, and not converted: [supervisord] [unix_http_server]
      hint: keep them in superd.conf beside the units
    s.conf:16:1: warning: environment: %(ENV_HOME)s is replaced by the value it has here and now
    "#);
    let text = out.pieces[0].text.lines().filter(|l| !l.starts_with("# Not")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(world.short(&text), @r#"
    # Converted by `supers convert` from web in s.conf:5.

    [Unit]
    Description=web
    StartLimitIntervalSec=4
    StartLimitBurst=4

    [Service]
    ExecStart=:/usr/bin/gunicorn app:app --bind 0.0.0.0:80 "--fmt=%%(h)s $x"
    Restart=always
    SuccessExitStatus=2
    RestartSec=0
    KillSignal=SIGQUIT
    TimeoutStopSec=10
    User=www-data
    WorkingDirectory=/srv/web
    Environment="A=1 2"
    Environment="HOME=/root"
    Environment="TZ=UTC"
    IgnoreSIGPIPE=no
    StandardOutput=append:/tmp/web.log

    [Install]
    WantedBy=default.target
    "#);
}

#[test]
fn a_program_in_full() {
    let (world, out) = of_unit(
        "app",
        "[Unit]\nDescription=My app\nAfter=network.target\n[Service]\nExecStart=/usr/bin/app -x 'a ; b' $$HOME\n\
         User=www-data\nRestart=on-failure\nRestartSec=0\nStartLimitIntervalSec=0\nKillMode=mixed\nPrivateTmp=yes\n\
         Environment=\"A=x y\"\nStandardOutput=null\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n",
    );
    proven(&out).unwrap();
    let text = out.pieces[0].text.lines().filter(|l| !l.starts_with("; Not")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(world.short(&text), @r#"
    ; Converted by `supers convert` from app in app.service:4.
    ; Of the original: not applied yet, the unit runs without: PrivateTmp
    ; Description: My app
    ; WantedBy: multi-user.target
    ; Alias, lost: other
    [program:app]
    command=/usr/bin/app -x 'a ''; b' $HOME
    startsecs=0
    stopwaitsecs=90
    killasgroup=true
    user=www-data
    directory=/
    umask=022
    environment=A="x y"
    stdout_logfile=NONE
    redirect_stderr=true
    "#);
}

#[test]
fn one_file_a_process_and_no_two_of_one_name() {
    let program = "numprocs=2\nprocess_name=w%(process_num)d\ncommand=x %(process_num)d\n";
    let (world, out) = of_ini(&format!("[program:a]\n{program}[program:b]\n{program}"));
    let names: Vec<&str> = out.pieces.iter().map(|p| p.file.as_str()).collect();
    assert_eq!(names, ["w0.service", "w1.service"]);
    assert!(out.pieces[1].text.contains("ExecStart=x 1\n"));
    assert!(out.pieces[0].notes.contains(&Nature::Names));
    assert_eq!(
        refusals(&world, &out),
        "s.conf:7:1: error: another program is called w0 too\ns.conf:7:1: error: another program is called w1 too"
    );
}

#[test]
fn a_folder_is_converted_away_from_what_it_is() {
    let files = [("a.service", "[Service]\nExecStart=/a\n"), ("b.conf", "[program:b]\ncommand=b\n")];
    let world = World::new(&files);
    let dir = || Choice::Dir(world.path().into());
    let names = |out: &Conversion| out.pieces.iter().map(|p| p.file.clone()).collect::<Vec<_>>();
    assert_eq!(names(&run(&world, dir(), None)), ["a.conf"]);
    assert_eq!(names(&run(&world, dir(), Some(To::Unit))), ["b.service"]);
}

#[test]
fn the_list_has_each_entry_once_and_both_sides_are_used() {
    let all: BTreeSet<Nature> = nature::LIST.iter().map(|r| r.nature).collect();
    assert_eq!(all.len(), nature::LIST.len());
    let mut seen = BTreeSet::new();
    for (_, text) in convert_corpus::INI {
        seen.extend(of_ini(text).1.pieces.into_iter().flat_map(|p| p.notes).map(|n| (n, To::Unit as u8)));
    }
    for (name, text) in convert_corpus::UNITS {
        seen.extend(
            of_unit(name, text).1.pieces.into_iter().flat_map(|p| p.notes).map(|n| (n, To::Ini as u8)),
        );
    }
    for row in nature::LIST {
        assert_eq!(seen.contains(&(row.nature, To::Unit as u8)), !row.to_unit.is_empty(), "{row:?}");
        assert_eq!(seen.contains(&(row.nature, To::Ini as u8)), !row.to_ini.is_empty(), "{row:?}");
    }
}
