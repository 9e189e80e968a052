//! Unit files, and the two little languages that are read at each start: words of commands, and files of
//! variables.

use crate::folder::{check, loaded, meaning, outline, same};
use crate::{Kind, kind_of};
use bstr::{BStr, BString, ByteSlice};
use supers_config::Personality;
use supers_config::unit::{envfile, words};

/// The name of the file.
const FILE: &str = "u.service";

pub(crate) const WORDS: &[&str] = &[
    "[Unit]\n",
    "[Service]\n",
    "[Install]\n",
    "ExecStart=/bin/cat ",
    "ExecStart=\n",
    "\nExecStop=",
    "\nExecReload=",
    "\nEnvironment=",
    "\nEnvironmentFile=-/etc/x",
    "\nPassEnvironment=PASS",
    "\nRestart=on-failure",
    "\nRestartSec=",
    "\nTimeoutStopSec=",
    "\nLimitNOFILE=",
    "\nKillSignal=",
    "\nKillMode=",
    "\nType=",
    "\nUser=",
    "\nWorkingDirectory=",
    "\nStandardOutput=",
    "\nUMask=",
    "\nNice=",
    "\nAfter=",
    "\nRequires=",
    "\nSuccessExitStatus=",
    "\nX-a=",
    "\\\n",
    "\\",
    "\\x41",
    "\\u00e9",
    "\\U00110000",
    "\\0",
    "%i",
    "%%",
    "%n",
    "$A",
    "${A}",
    "$$",
    "\"",
    "'",
    " ; ",
    "-",
    "@",
    "infinity",
    "1min 2.5s",
    "99999999999999999999y",
    "3:4",
    "\r\n",
    "\n#",
    "\n;",
    "=",
    "\u{a0}",
];

/// Exactly one unit, with or without its findings, which lie inside the file; line ends of another system
/// and a comment more change nothing; variables end up in words without one being made or lost.
pub fn unit(data: &[u8]) -> Kind {
    let ours = loaded(FILE, data, Personality::Superd);
    check(&ours, FILE, data);
    assert_eq!(ours.config.programs.len(), 1, "one file, one unit");

    let variables = envfile::parse(data);
    at_start(data, &ours.config.programs, &variables);
    let kind = kind_of(&(outline(&ours), variables.len().min(5)));

    let wanted = meaning(ours, FILE, 0);
    if !data.contains(&b'\r') {
        let got = meaning(loaded(FILE, &data.replace("\n", "\r\n"), Personality::Superd), FILE, 0);
        same("CR LF", &got, &wanted);
    }
    // A file with nothing in it is masked, and one with a comment is not.
    if !data.starts_with(b"\xef\xbb\xbf") && !data.is_empty() {
        let more = [b"# a comment\n", data].concat();
        let got = meaning(loaded(FILE, &more, Personality::Superd), FILE, 1);
        same("a comment", &got, &wanted);
    }
    kind
}

/// What is done with the words when the unit starts.
fn at_start(data: &[u8], programs: &[supers_config::Program], variables: &[(BString, BString)]) {
    for (key, value) in variables {
        assert!(!key.is_empty() && !key.contains(&b'='), "a variable named {key:?}");
        assert!(value.len() <= data.len());
    }
    let lookup = |name: &BStr| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
    for command in programs.iter().flat_map(|p| p.spec.exec.iter()) {
        let words = words::expand(&command.words, &lookup);
        assert_eq!(words.first(), command.words.first(), "variables name no program");
    }
}
