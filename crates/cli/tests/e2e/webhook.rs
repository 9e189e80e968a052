//! Notifications over https: superd, the `supers` that sends for it, and endpoints with certificates of all kinds.

use crate::common::{bare, bins, main_log, start_superd, unit, world};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use supers_engine::webhook::{Answer, Errand, SUBCOMMAND};
use supers_testkit::World;

const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who signs certificates, trusted by whom `SSL_CERT_FILE` leads to its file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(w: &World, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let text = BASE64.encode(issuer.der());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        let file = w.write(format!("{name}.pem"), &pem);
        Authority { issuer, file }
    }

    fn certificate(&self, name: &str, last_year: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(last_year, 1, 1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap())
    }

    /// An endpoint with a certificate for this name.
    fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::with(self.certificate(name, 2100), "HTTP/1.1 204 No Content\r\n\r\n")
    }
}

/// A server on all addresses of this machine's own, and what it was sent.
struct Endpoint {
    port: u16,
    requests: mpsc::Receiver<(String, String)>,
}

impl Endpoint {
    fn with(config: Arc<ServerConfig>, answer: &'static str) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tx, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(request) = serve(stream, config.clone(), answer)
                    && tx.send(request).is_err()
                {
                    return;
                }
            }
        });
        Endpoint { port, requests }
    }

    fn next(&self) -> (String, String) {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }
}

/// One request; nothing when TLS is not agreed upon.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: &str) -> Option<(String, String)> {
    let tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut reader = BufReader::new(tls);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut tls = reader.into_inner();
    tls.write_all(answer.as_bytes()).ok()?;
    tls.conn.send_close_notify();
    tls.flush().ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

/// What `supers` answers to an errand when it is called as superd does.
fn delivered(host: &str, port: u16, timeout: Duration, trusted: &Path) -> Answer {
    let errand = Errand {
        host: host.into(),
        port,
        authority: format!("{host}:{port}"),
        target: "/x".into(),
        headers: vec![("x-test".into(), "1".into())],
        body: "hello".into(),
        timeout,
    };
    let mut command = Command::new(bins().supers);
    command.arg(SUBCOMMAND).env_clear().env("SSL_CERT_FILE", trusted);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&errand).unwrap()).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

fn why(answer: Answer) -> String {
    match answer {
        Answer::Failed(why) => why,
        Answer::Status(status) => panic!("it was taken: {status}"),
    }
}

#[test]
fn whom_supers_believes_and_whom_not() {
    let w = world();
    let (ours, others) = (Authority::new(&w, "ours"), Authority::new(&w, "others"));
    for host in ["localhost", "127.0.0.1"] {
        let endpoint = ours.endpoint(host);
        assert_eq!(delivered(host, endpoint.port, PATIENCE, &ours.file), Answer::Status(204));
        let (head, body) = endpoint.next();
        assert!(head.starts_with("POST /x HTTP/1.1\r\n") && head.contains("x-test: 1\r\n"), "{head}");
        assert_eq!(body, "hello");
        let said = why(delivered(host, endpoint.port, PATIENCE, &others.file));
        assert!(said.starts_with(&format!("the certificate of {host} is signed by nobody")), "{said}");
    }
    let elsewhere = ours.endpoint("hooks.example");
    assert_eq!(
        why(delivered("localhost", elsewhere.port, PATIENCE, &ours.file)),
        "the certificate of localhost is made out to others: hooks.example"
    );
    let old = Endpoint::with(ours.certificate("localhost", 2020), "");
    let said = why(delivered("localhost", old.port, PATIENCE, &ours.file));
    assert!(said.starts_with("the certificate of localhost has expired"), "{said}");
    let said = why(delivered("localhost", old.port, PATIENCE, Path::new("/no/such.pem")));
    assert!(said.starts_with("no trusted certificates were found") && said.contains("such.pem"), "{said}");
    assert!(elsewhere.requests.try_recv().is_err() && old.requests.try_recv().is_err());
}

#[test]
fn statuses_and_servers_that_are_none() {
    let w = world();
    let ours = Authority::new(&w, "ours");
    // No end is announced, and it breaks off: the status counts.
    let answer = "HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nx";
    let failing = Endpoint::with(ours.certificate("localhost", 2100), answer);
    assert_eq!(delivered("localhost", failing.port, PATIENCE, &ours.file), Answer::Status(503));
    let port = supers_testkit::free_port();
    assert_eq!(why(delivered("localhost", port, PATIENCE, &ours.file)), "Connection refused");
    // Nobody answers at all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let said = why(delivered("localhost", port, Duration::from_millis(300), &ours.file));
    assert_eq!(said, "no answer within 0.3 s");
    drop(silent);
    // Somebody who speaks HTTP without TLS.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until it goes, so that the answer is read before the connection breaks.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(
        why(delivered("localhost", port, PATIENCE, &ours.file)),
        "localhost does not speak TLS at this port"
    );
    answering.join().unwrap();
}

/// A program that fails once, whose end is told to this port.
fn notifying(w: &World, port: u16) {
    let url = format!("https://me:geheim@localhost:{port}/hook?key=geheim");
    w.write("units/superd.conf", &format!("[webhook]\nurl={url}\n"));
    unit(w, "bad", "exit 3", "");
}

/// Deliveries that wait.
fn waiting(w: &World) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![w.path("var")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let in_outbox = path.parent().is_some_and(|p| p.ends_with("outbox"));
            match path.is_dir() {
                true => folders.push(path),
                false if in_outbox && path.extension().is_some_and(|e| e == "json") => found.push(path),
                false => {}
            }
        }
    }
    found
}

#[test]
fn the_end_of_a_program_is_told_over_https() {
    for args in [&[][..], &["--no-keeper"]] {
        let mut w = world();
        let ours = Authority::new(&w, "ours");
        let endpoint = ours.endpoint("localhost");
        notifying(&w, endpoint.port);
        w.env("SSL_CERT_FILE", ours.file.to_str().unwrap());
        w.superd_with(args);
        let (head, body) = endpoint.next();
        assert!(head.starts_with("POST /hook?key=geheim HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: localhost:{}\r\n", endpoint.port)), "{head}");
        assert!(head.contains("authorization: Basic bWU6Z2VoZWlt\r\n"), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["unit"], &body["exit"]["code"]), (&"bad".into(), &3.into()), "{body}");
        w.until_fact("its file is gone", || waiting(&w).is_empty().then_some(()));
        assert!(endpoint.requests.try_recv().is_err(), "told twice");
        assert!(!main_log(&w).contains("webhook:"), "{}", main_log(&w));
    }
}

#[test]
fn what_an_impostor_is_sent_waits_for_the_right_one() {
    let mut w = world();
    let (ours, others) = (Authority::new(&w, "ours"), Authority::new(&w, "others"));
    let impostor = others.endpoint("localhost");
    notifying(&w, impostor.port);
    w.env("SSL_CERT_FILE", ours.file.to_str().unwrap());
    w.superd();
    let line =
        format!("webhook: localhost:{}: the certificate of localhost is signed by nobody", impostor.port);
    w.until_fact("a line in the log", || main_log(&w).contains(&line).then_some(()));
    assert_eq!(waiting(&w).len(), 1);
    assert!(impostor.requests.try_recv().is_err());
    assert!(!main_log(&w).contains("geheim"));
}

#[test]
fn without_supers_it_waits_and_is_said() {
    let mut w = world();
    let ours = Authority::new(&w, "ours");
    let endpoint = ours.endpoint("localhost");
    notifying(&w, endpoint.port);
    let alone = w.path("bin");
    fs::create_dir(&alone).unwrap();
    // By another process, or it might be still open for writing when it is executed.
    let (from, to) = (bins().superd, alone.join("superd"));
    assert!(Command::new("cp").arg(from).arg(&to).status().unwrap().success());
    let mut command = bare(&w, &to, &[]);
    // By that name it has no TLS either.
    std::os::unix::fs::symlink("superd", alone.join("supers")).unwrap();
    // And not with a PATH in which this machine may have one.
    command.args(w.command_superd(&[]).get_args()).env("PATH", &alone).env("SSL_CERT_FILE", &ours.file);
    start_superd(&mut w, command);
    let lack = "https needs the program supers (not a link to superd), which is neither in superd's folder nor in PATH";
    let tried = format!("webhook: localhost:{}: {lack}", endpoint.port);
    w.until_fact("a failed try", || main_log(&w).contains(&tried).then_some(()));
    assert!(main_log(&w).contains(&format!("webhook: {lack}; notifications wait")), "{}", main_log(&w));
    let notes = |w: &World| w.supers(&["status"]).stderr;
    assert!(notes(&w).contains(lack), "{}", notes(&w));
    assert_eq!(waiting(&w).len(), 1);
    // Somebody installs it.
    fs::remove_file(alone.join("supers")).unwrap();
    std::os::unix::fs::symlink(bins().supers, alone.join("supers")).unwrap();
    assert!(endpoint.next().1.contains("\"bad\""));
    w.until_fact("its file is gone", || waiting(&w).is_empty().then_some(()));
    w.supers_ok(&["reload"]);
    w.until_fact("the note is taken back", || (!notes(&w).contains(lack)).then_some(()));
}
