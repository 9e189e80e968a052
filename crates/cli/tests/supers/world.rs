//! A scripted daemon and a command line in front of it.

pub use crate::fake::Fake;
use bstr::BString;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use supers::supers::{Around, Exit, Streams, run};
use supers::world::World as Place;
use supers_api::door::{Auth, Secret};
use supers_api::{Door, Handle, Limits, Listener, Setup, serve};
use supers_config::Personality;

pub struct World {
    pub fake: Arc<Fake>,
    _server: Handle,
    pub dir: tempfile::TempDir,
    pub around: Around,
}

/// What a run left behind.
pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Everything, for a snapshot.
    pub fn all(&self) -> String {
        let mut text = self.out.clone();
        if !self.err.is_empty() {
            text += &format!("--- stderr\n{}", self.err);
        }
        text + &format!("--- {}", self.exit.code())
    }
}

/// Surroundings below `dir`, for a user without any configuration.
pub fn around(dir: &Path) -> Around {
    use std::os::unix::fs::MetadataExt;
    let env = [("HOME", dir.join("home")), ("XDG_RUNTIME_DIR", dir.join("run"))];
    let env = env.map(|(k, v)| (BString::from(k), BString::from(v.display().to_string())));
    let world = Place {
        personality: Personality::Superd,
        env: env.to_vec(),
        cwd: dir.to_path_buf(),
        exe_dir: None,
        uid: std::fs::metadata(dir).unwrap().uid(),
        hostname: "box".into(),
        flags: supers_config::Flags::default(),
    };
    Around { world, tty: false, patience: Duration::from_secs(20) }
}

/// A server with a unix door at `path`.
pub fn listen(fake: &Arc<Fake>, path: &Path) -> Handle {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(path).unwrap();
    let own_uid = around(path.parent().unwrap()).world.uid;
    start(fake, own_uid, Door::unix("u", vec![]), Listener::Unix(socket))
}

/// A server with a TCP door, and its URL.
pub fn listen_tcp(fake: &Arc<Fake>, auth: Option<Auth>, token: Option<Secret>) -> (String, Handle) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let door = Door { auth, token, ..Door::tcp("t") };
    (url, start(fake, 0, door, Listener::Tcp(socket)))
}

fn start(fake: &Arc<Fake>, own_uid: u32, door: Door, listener: Listener) -> Handle {
    let setup = Setup { own_uid, user_name: |_| None, rest: || {}, limits: Limits::default() };
    serve(fake.clone(), vec![(door, listener)], setup).unwrap()
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake::default());
        let _server = listen(&fake, &dir.path().join("super.sock"));
        let around = around(dir.path());
        World { fake, _server, dir, around }
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.path().join("super.sock").display())
    }

    /// Runs `supers -s URL` with these words.
    pub fn run(&self, words: &str) -> Ran {
        let url = self.url();
        let words = ["-s", url.as_str()].into_iter().chain(words.split_whitespace());
        run_in(&self.around, words)
    }

    /// The same, for a snapshot.
    pub fn all(&self, words: &str) -> String {
        self.run(words).all()
    }
}

/// Runs `supers` with these words; what belongs to this run alone has a name.
pub fn run_in<'a>(around: &Around, words: impl IntoIterator<Item = &'a str>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("supers").chain(words).map(OsString::from);
    let exit = run(args, around, Streams { out: &mut out, err: &mut err });
    let dir = around.world.cwd.display().to_string();
    let tidy = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap().replace(&dir, "$DIR");
        let uid = format!("user id {}", around.world.uid);
        text.replace(&uid, "user id $UID")
            .replace("-s unix://$DIR/super.sock ", "-s $URL ")
            .replace(env!("CARGO_PKG_VERSION"), "$VERSION")
    };
    Ran { exit, out: tidy(out), err: tidy(err) }
}

/// A reader that has gone.
pub struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file with folders on the way.
pub fn write(path: PathBuf, text: &str) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}
