//! Finding the daemon by its configuration, the explanation when there is none, and `supers check`.

use crate::world::{Fake, Ran, World, around, listen, run_in, write};
use std::path::PathBuf;
use std::sync::Arc;
use supers::supers::{Around, Exit};
use supers_config::places::{Places, find};
use supers_config::source::Disk;

struct Folder {
    dir: tempfile::TempDir,
    around: Around,
}

impl Folder {
    fn new() -> Folder {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("etc/super/web.service"), "[Service]\nExecStart=/bin/true\n");
        let around = around(dir.path());
        Folder { dir, around }
    }

    fn places(&self) -> Places {
        find(&self.around.world.asker(None, Some(self.dir.path())), &Disk).unwrap()
    }

    /// Runs below the root.
    fn run(&self, words: &str) -> Ran {
        let root = self.dir.path().display().to_string();
        let mut ran = run_in(&self.around, ["--root", &root].into_iter().chain(words.split_whitespace()));
        for text in [&mut ran.out, &mut ran.err] {
            *text = text.replace(&self.places().id, "$ID");
        }
        ran
    }
}

#[test]
fn the_same_configuration_leads_to_the_same_socket() {
    let f = Folder::new();
    let fake = Arc::new(Fake::default());
    let _server = listen(&fake, &f.places().socket);
    assert_eq!(f.run("pid").all(), "100\n--- 0");
    let folder = f.dir.path().join("etc/super").display().to_string();
    assert_eq!(f.run(&format!("-c {folder} pid")).all(), "100\n--- 0");
    assert_eq!(f.run("-c nowhere pid").exit, Exit::Usage);
}

#[test]
fn nobody_there() {
    let f = Folder::new();
    insta::assert_snapshot!(f.run("status").all(), @r#"
    --- stderr
    supers: cannot reach superd
      tried $DIR/run/super/$ID/super.sock: no such socket
        (using the folder $DIR/etc/super, the default place)
      superd is not running ($DIR/run/super/$ID/superd.pid does not exist)
      to start it: superd -d --root $DIR
    --- 7
    "#);
    insta::assert_snapshot!(f.run("-c etc/super stop web").err, @r#"
    supers: cannot reach superd
      tried $DIR/run/super/$ID/super.sock: no such socket
        (using the folder $DIR/etc/super, named with -c)
      superd is not running ($DIR/run/super/$ID/superd.pid does not exist)
      to start it: superd -d -c etc/super --root $DIR
    "#);
    insta::assert_snapshot!(f.run("--json status").out, @r#"{"error":{"kind":"no-daemon","text":"cannot reach superd\n  tried $DIR/run/super/$ID/super.sock: no such socket\n    (using the folder $DIR/etc/super, the default place)\n  superd is not running ($DIR/run/super/$ID/superd.pid does not exist)\n  to start it: superd -d --root $DIR"}}"#);
    insta::assert_snapshot!(f.run("version").all(), @r#"
    supers $VERSION
    configuration: using the folder $DIR/etc/super, the default place
    --- stderr
    supers: cannot reach superd
      tried $DIR/run/super/$ID/super.sock: no such socket
        (using the folder $DIR/etc/super, the default place)
      superd is not running ($DIR/run/super/$ID/superd.pid does not exist)
      to start it: superd -d --root $DIR
    --- 7
    "#);
}

#[test]
fn a_socket_without_a_listener() {
    let f = Folder::new();
    let places = f.places();
    std::fs::create_dir_all(&places.runtime).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&places.socket).unwrap());
    insta::assert_snapshot!(f.run("status").err, @r#"
    supers: cannot reach superd
      tried $DIR/run/super/$ID/super.sock: nobody listens there
        (using the folder $DIR/etc/super, the default place)
      superd is not running ($DIR/run/super/$ID/superd.pid does not exist)
      to start it: superd -d --root $DIR
    "#);
    // This test's own name begins like those of the daemon.
    let pid = std::process::id().to_string();
    write(places.pid_file, &pid);
    insta::assert_snapshot!(f.run("status").err.replace(&pid, "$PID"), @r#"
    supers: cannot reach superd
      tried $DIR/run/super/$ID/super.sock: nobody listens there
        (using the folder $DIR/etc/super, the default place)
      superd runs as pid $PID ($DIR/run/super/$ID/superd.pid)
      but does not listen there; it may be starting or stopping: try again, or look into its log
    "#);
}

#[test]
fn nothing_at_an_address() {
    let f = Folder::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run_in(&f.around, ["-s", &format!("http://{gone}"), "status"]);
    insta::assert_snapshot!(ran.all().replace(&gone.to_string(), "$ADDR"), @r#"
    --- stderr
    supers: cannot reach superd
      tried http://$ADDR: nobody listens there
        (named with -s)
      is superd running there? Its address is what `supers version` on its machine shows
    --- 7
    "#);
}

#[test]
fn a_server_that_is_none_of_ours() {
    let w = World::new();
    let socket = w.dir.path().join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nno\n").unwrap();
    });
    let ran = run_in(&w.around, ["-s", &format!("unix://{}", socket.display()), "status"]);
    insta::assert_snapshot!(ran.all(), @r#"
    --- stderr
    supers: the server answered 404 Not Found; is it superd that listens there?
    --- 1
    "#);
    other.join().unwrap();
}

#[test]
fn a_daemon_that_does_not_answer() {
    let mut w = World::new();
    w.around.patience = std::time::Duration::from_millis(20);
    let socket = w.dir.path().join("silent.sock");
    // Its queue takes the connection; nobody ever will.
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let url = format!("unix://{}", socket.display());
    for words in ["status", "pid", "version", "logs db"] {
        let ran = run_in(&w.around, ["-s", &url].into_iter().chain(words.split(' ')));
        assert_eq!(ran.exit, Exit::NoDaemon, "{words}");
        assert!(ran.err.contains("did not answer within 0.02 s"), "{words}: {}", ran.err);
    }
}

#[test]
fn check() {
    let f = Folder::new();
    insta::assert_snapshot!(f.run("check").all(), @r#"
    $DIR/etc/super: 1 program, 0 errors, 0 warnings
    --- 0
    "#);
    let bad: PathBuf = write(f.dir.path().join("bad/x.service"), "[Service]\nExecStrat=/bin/true\n");
    let ran = f.run(&format!("check {}", bad.parent().unwrap().display()));
    insta::assert_snapshot!(ran.all(), @r#"
    $DIR/bad/x.service: error: the unit has no ExecStart=
      hint: add ExecStart=/path/to/program to [Service]
    $DIR/bad/x.service:2:1: warning: unknown key `ExecStrat` in [Service], ignored
      hint: did you mean `ExecStart`?
    $DIR/bad: 1 program, 1 error, 1 warning
    --- 1
    "#);
    let json = f.run(&format!("check --json {}", bad.display()));
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.exit, report["ok"].as_bool()), (Exit::Failed, Some(false)));
    assert!(report["findings"][0]["message"].is_string(), "{report}");
    assert_eq!(f.run("check nowhere").exit, Exit::Usage);
    let web =
        write(f.dir.path().join("two/web.service"), "[Unit]\nRequires=db.service\n[Service]\nExecStart=x\n");
    write(f.dir.path().join("two/db.service"), "[Unit]\nRequires=gone.service\n[Service]\nExecStart=x\n");
    insta::assert_snapshot!(f.run(&format!("check {}", web.display())).all(), @r#"
    $DIR/two/web.service: 1 program, 0 errors, 0 warnings
    --- 0
    "#);
    write(web.clone(), "");
    insta::assert_snapshot!(f.run(&format!("check {}", web.display())).all(), @r#"
    $DIR/two/web.service: warning: masked: the file is empty
    $DIR/two/web.service: 1 program, 0 errors, 1 warning
    --- 0
    "#);
}
