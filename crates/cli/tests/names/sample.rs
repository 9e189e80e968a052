//! `echo_supervisord_conf`.

use crate::beside::{Case, STOP, Stage};

fn sample(stage: &Stage) -> String {
    let program = stage.program("echo_supervisord_conf");
    let end = stage.command(&program, stage.dir.path()).output().unwrap();
    assert!(end.status.success());
    String::from_utf8(end.stdout).unwrap()
}

/// With each option set that the sample only shows, but for those that need something of this machine.
fn all_set(text: &str) -> String {
    let absent = ["user=", "chown=", "/a/path", "files =", "programs=", "progname"];
    let line = |line: &str| match line.strip_prefix(';') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            if absent.iter().any(|a| rest.contains(a)) || rest.starts_with("[include]") {
                format!("{line}\n")
            } else {
                format!("{rest}\n")
            }
        }
        Some(_) | None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn the_sample_is_read_by_both() {
    let stage = Stage::new();
    let text = sample(&stage);
    let stop = |text: &str| text.replace("minfds=1024", STOP.trim_end());
    let cases: Vec<Case> = [stop(&text), stop(&all_set(&text))]
        .into_iter()
        .map(|text| Case {
            args: ["-n", "-c", "s.conf"].map(String::from).into(),
            files: vec![("s.conf".into(), text)],
        })
        .collect();
    for case in &cases {
        let folder = stage.dir.path();
        std::fs::write(folder.join("s.conf"), &case.files[0].1).unwrap();
        let end = stage.command(&stage.program("supervisord"), folder).args(&case.args).output().unwrap();
        let err = String::from_utf8(end.stderr).unwrap();
        assert!(err.contains("number of file descriptors"), "{err}\n{}", case.files[0].1);
    }
    let differences = stage.differences(&cases);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The same sections and options as the genuine sample, whatever is said about them.
#[test]
fn the_sample_shows_what_the_genuine_one_shows() {
    let stage = Stage::new();
    let genuine = stage
        .command(&crate::beside::genuine().join("echo_supervisord_conf"), stage.dir.path())
        .output()
        .unwrap();
    let names = |text: &str| -> Vec<String> {
        let name = |line: &str| {
            let line = line.strip_prefix(';').unwrap_or(line);
            let word = line.split(['=', ' ']).next().unwrap_or_default();
            let is_key =
                line.contains('=') && word.bytes().all(|b| b.is_ascii_lowercase() || b"_.".contains(&b));
            (line.starts_with('[') || (is_key && !word.is_empty())).then(|| word.to_string())
        };
        text.lines().filter_map(name).collect()
    };
    let genuine = names(&String::from_utf8(genuine.stdout).unwrap());
    let ours = names(&sample(&stage));
    let missing: Vec<&String> = genuine.iter().filter(|n| !ours.contains(n)).collect();
    assert!(genuine.len() > 100 && missing.is_empty(), "{missing:?}");
}
