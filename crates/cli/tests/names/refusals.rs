//! Complaints, word for word.

use crate::beside::{STOP, Stage};
use crate::cases;

#[test]
fn files_are_judged_as_the_genuine_program_judges_them() {
    let cases = cases::files();
    assert!(cases.len() > 250, "{}", cases.len());
    let differences = Stage::new().differences(&cases);
    assert!(differences.is_empty(), "{} of {}\n{}", differences.len(), cases.len(), differences.join("\n"));
}

#[test]
fn command_lines_are_judged_as_the_genuine_program_judges_them() {
    let cases = cases::lines();
    let differences = Stage::new().differences(&cases);
    assert!(differences.is_empty(), "{} of {}\n{}", differences.len(), cases.len(), differences.join("\n"));
}

/// The genuine program blames the section of the program it found before.
#[test]
fn an_unknown_program_is_blamed_on_its_group() {
    let stage = Stage::new();
    let text = format!("[supervisord]\n{STOP}[program:p]\ncommand=x\n[group:g]\nprograms=p,q\n");
    std::fs::write(stage.dir.path().join("s.conf"), text).unwrap();
    let program = stage.program("supervisord");
    let end = stage.command(&program, stage.dir.path()).args(["-n", "-c", "s.conf"]).output().unwrap();
    let want = format!(
        "Error: [group:g] names unknown program or fcgi-program q\nFor help, use {} -h\n",
        program.display()
    );
    assert_eq!((end.status.code(), String::from_utf8(end.stderr).unwrap()), (Some(2), want));
}

#[test]
fn help_goes_to_standard_output() {
    let stage = Stage::new();
    let program = stage.program("supervisord");
    let end = stage.command(&program, stage.dir.path()).arg("-h").output().unwrap();
    let out = String::from_utf8(end.stdout).unwrap();
    assert_eq!((end.status.code(), end.stderr.as_slice()), (Some(0), &b""[..]));
    assert!(out.contains(&format!("Usage: {} [options]", program.display())), "{out}");
}

#[test]
fn a_leading_as_is_the_same_as_a_link() {
    let stage = Stage::new();
    let mut command = stage.command(env!("CARGO_BIN_EXE_superd").as_ref(), stage.dir.path());
    let end = command.args(["--as", "supervisord", "-v"]).output().unwrap();
    assert_eq!(String::from_utf8(end.stdout).unwrap(), "4.3.0\n");
}

#[test]
fn the_go_ports_command_line_is_recognised() {
    let stage = Stage::new();
    for (name, args) in [("go-supervisord", &["-v"][..]), ("supervisord", &["ctl", "status"])] {
        let end = stage.command(&stage.program(name), stage.dir.path()).args(args).output().unwrap();
        let err = String::from_utf8(end.stderr).unwrap();
        assert_eq!(end.status.code(), Some(2));
        assert!(err.contains("its rules come in a later version"), "{err}");
    }
}
