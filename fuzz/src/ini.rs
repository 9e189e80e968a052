//! Supervisor's INI files.

use crate::folder::{check, loaded, meaning, outline, same};
use crate::{Kind, kind_of};
use supers_config::Personality;

/// The name of the file.
const FILE: &str = "s.conf";

pub(crate) const WORDS: &[&str] = &[
    "[supervisord]\n",
    "[program:p]\ncommand=/bin/cat\n",
    "[program:",
    "[eventlistener:e]\nevents=TICK_5\n",
    "[fcgi-program:f]\nsocket=tcp://localhost:9002\n",
    "[group:g]\nprograms=p\n",
    "[unix_http_server]\nfile=/run/x.sock\n",
    "[inet_http_server]\nport=*:9001\n",
    "[supervisorctl]\n",
    "[rpcinterface:supervisor]\n",
    "[include]\nfiles=*.ini\n",
    "[DEFAULT]\n",
    "\n[",
    "]\n",
    "\ncommand=",
    "\nenvironment=",
    "\nprocess_name=%(program_name)s_%(process_num)02d",
    "\nnumprocs=3",
    "\nnumprocs_start=",
    "\npriority=",
    "\nexitcodes=0,2",
    "\nstopsignal=TERM",
    "\nautorestart=unexpected",
    "\nstdout_logfile=AUTO",
    "\nstdout_logfile_maxbytes=1MB",
    "\nstdout_capture_maxbytes=1KB",
    "\nredirect_stderr=true",
    "\nuser=www-data",
    "\numask=022",
    "\npassword={SHA}",
    "\nsocket_owner=root:adm",
    "\nsocket_mode=0700",
    "\nresult_handler=a:b",
    "\nbuffer_size=",
    "%(ENV_PASS)s",
    "%(here)s",
    "%(group_name)s",
    "%(process_num)9999d",
    "%(process_num)",
    "%%",
    "%",
    "\n ",
    "\n\t; c",
    " ;",
    " #",
    "\r\n",
    "\u{feff}",
    "\u{a0}",
    "\u{2028}",
    "\u{85}",
    "\"",
    "'",
    "\\",
    "=",
    ":",
    ",",
    "true",
    "9223372036854775808",
    "-1",
];

/// Findings lie inside the file; line ends of another system and a comment more change nothing; and a
/// daemon of the ancestor's kind has no program but those of a sound file.
pub fn ini(data: &[u8]) -> Kind {
    let data = &harmless(data);
    let ours = loaded(FILE, data, Personality::Superd);
    check(&ours, FILE, data);
    let ancestor = loaded(FILE, data, Personality::Supervisord);
    check(&ancestor, FILE, data);

    let kind = kind_of(&(outline(&ours), outline(&ancestor), ours.fatal, ancestor.fatal));
    let wanted = meaning(ours, FILE, 0);
    if !data.contains(&b'\r') {
        let other = bstr::ByteSlice::replace(data.as_slice(), "\n", "\r\n");
        let got = meaning(loaded(FILE, &other, Personality::Superd), FILE, 0);
        same("CR LF", &got, &wanted);
    }
    if !data.starts_with(b"\xef\xbb\xbf") {
        let more = [b"; a comment\n", data.as_slice()].concat();
        let got = meaning(loaded(FILE, &more, Personality::Superd), FILE, 1);
        same("a comment", &got, &wanted);
    }
    kind
}

/// Without includes that could reach a file outside of the folder, and without thousands of processes.
fn harmless(data: &[u8]) -> Vec<u8> {
    use bstr::ByteSlice;
    let far = data.contains(&b'/') || data.contains(&b'~') || data.contains(&b'%') || data.contains_str("..");
    let mut data = if far { data.replace("[include", "[includ ") } else { data.to_vec() };
    let mut digits = 0;
    // More than three digits in a file with numprocs make a test of patience only.
    if data.to_ascii_lowercase().contains_str("numprocs") {
        data.retain(|b| {
            digits = if b.is_ascii_digit() { digits + 1 } else { 0 };
            digits <= 3
        });
    }
    data
}
