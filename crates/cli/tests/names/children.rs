//! What a program is started with, under both: expansions, continuation lines, comments, numbers of
//! processes, groups, merged files, environment.

use crate::beside::{Stage, genuine};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

const CONF: &str = r#"
[supervisord]
environment=GLOB="g %%%%",SUPERVISOR_ENABLED="x"
[unix_http_server]
file=%(here)s/s.sock
[include]
files=inc/*.ini none/*.ini
[program:a]
command=PYTHON %(here)s/show.py %(program_name)s %(group_name)s %(process_num)02d %(numprocs)d
  %(ENV_GLOB)s %(ENV_OWN)s "two words"  ; cut off
  'q"q' a\ b 50%% a;b
  ; remark

  last
environment=OWN="o%(process_num)d",Q='a"b',T="%(here)s",C=x:y/z-(1),
  M=2
numprocs=2
numprocs_start=3
process_name=%(program_name)s_%(process_num)d
directory=/tmp
umask=027
stdout_logfile=%(here)s/%(ENV_OUT)s.%(process_num)d
autorestart=false
startsecs=0
[group:g]
programs=a, c
"#;

const INCLUDED: &str = r"
[program:b]
Command: PYTHON %(here)s/../show.py
serverurl=http://me
autorestart=false
startsecs=0
[program:c]
command=PYTHON %(here)s/../show.py %(group_name)s %(ENV_OWN)s
autorestart=false
startsecs=0
environment=OWN=1
[program:c]
environment=OWN=2
[supervisord]
environment=GLOB=2
";

/// The lines of all four, sorted.
fn started(stage: &Stage, program: &Path, more: &[&str]) -> Vec<String> {
    let folder = stage.dir.path();
    // Open for both, so that it never ends and nobody waits for a reader.
    let pipe = File::options().read(true).write(true).open(folder.join("pipe")).unwrap();
    let mut command = stage.command(program, folder);
    let words = ["-n", "-s", "-c", "s.conf", "-j", "pid", "-q", ".", "-l", "main.log"];
    let mut daemon = command.env("OUT", "log").args(words).args(more).spawn().unwrap();
    let (said, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().take(4) {
            let _ = said.send(line.unwrap());
        }
    });
    let next = |n| lines.recv_timeout(Duration::from_secs(30)).map_err(|e| format!("line {n}: {e}"));
    let mut all: Vec<Result<String, String>> = (0..4).map(next).collect();
    let pid = supers_os::Pid(daemon.id().cast_signed());
    supers_os::reap::kill(pid, supers_os::Signal::TERM).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    all.sort();
    let log = || fs::read_to_string(folder.join("main.log")).unwrap_or_default();
    all.into_iter().map(|line| line.unwrap_or_else(|e| panic!("{e}\n{}", log()))).collect()
}

#[test]
fn children_see_what_they_see_under_the_genuine_program() {
    let stage = Stage::new();
    let folder = stage.dir.path();
    let python = genuine().join("python3").display().to_string();
    fs::create_dir(folder.join("inc")).unwrap();
    fs::write(folder.join("s.conf"), CONF.replace("PYTHON", &python)).unwrap();
    fs::write(folder.join("inc/x.ini"), INCLUDED.replace("PYTHON", &python)).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/names/show.py"), folder.join("show.py"))
        .unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    let theirs = started(&stage, &genuine().join("supervisord"), &[]);
    let root = folder.display().to_string();
    let ours = started(&stage, &stage.program("supervisord"), &["--root", &root]);
    assert_eq!(theirs, ours);
    assert!(
        theirs.iter().any(|l| l.contains(r#""two words", "q\"q", "a b", "50%", "a;b", "last"]"#)),
        "{theirs:#?}"
    );
}
