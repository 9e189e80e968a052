//! The hidden `supers __deliver`: sends one notification over https for superd, which does not speak TLS. The errand
//! is on standard input, the answer goes to standard output; both are JSON of the engine's `webhook`.
//!
//! superd answers to the name `supers` too and holds all other subcommands. Only the main of `supers` may call this
//! one, or the TLS library becomes a part of superd.

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::sync::Arc;
use supers_engine::webhook::{Answer, Errand, SUBCOMMAND, read_away};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A longer errand is none of superd's.
const LONGEST: u64 = 16 << 20;

/// Whether this command line, the program's name first, asks for a delivery.
pub fn is_meant(args: &[OsString]) -> bool {
    matches!(args, [_, word] if word == SUBCOMMAND)
}

/// Delivers; the exit code.
pub fn main() -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    match runtime.and_then(|runtime| runtime.block_on(deliver())) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(e) => {
            // superd passes it on.
            let _ = writeln!(io::stderr(), "supers {SUBCOMMAND}: {e}");
            1
        }
    }
}

/// True when there was an answer.
async fn deliver() -> io::Result<bool> {
    let mut text = Vec::new();
    io::stdin().lock().take(LONGEST).read_to_end(&mut text)?;
    let errand: Errand = serde_json::from_slice(&text)?;
    // superd looks at the time as well. It may be gone.
    let limit = Instant::now() + errand.timeout;
    let exchange = async { errand.post(connect(&errand).await?).await };
    let body = match timeout_at(limit, exchange).await {
        Ok(Ok(response)) => {
            // At once: whatever happens to us now, the answer is known.
            say(&Answer::Status(response.status().as_u16()))?;
            response.into_body()
        }
        Ok(Err(why)) => return say(&Answer::Failed(why)).map(|()| false),
        Err(_) => return say(&Answer::Failed(errand.too_late())).map(|()| false),
    };
    let _ = timeout_at(limit, read_away(body)).await;
    Ok(true)
}

fn say(answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    let mut out = io::stdout();
    out.write_all(&text)?;
    out.flush()
}

/// A connection to somebody who has proved to be that host.
async fn connect(errand: &Errand) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(errand.host.clone())
        .map_err(|_| format!("no certificate can be made out to the name {}", errand.host))?;
    let connector = TlsConnector::from(Arc::new(settings()?));
    let stream = errand.connect().await?;
    connector.connect(name, stream).await.map_err(|e| untrusted(&e, &errand.host))
}

fn settings() -> Result<ClientConfig, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
        return Err(format!(
            "no trusted certificates were found{why}; install the package ca-certificates, or set SSL_CERT_FILE for superd"
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|e| format!("TLS cannot be used: {e}"))?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Why there is no TLS.
fn untrusted(e: &io::Error, host: &str) -> String {
    let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => distrusted(why, host),
        Some(rustls::Error::InvalidMessage(_)) => format!("{host} does not speak TLS at this port"),
        Some(other) => format!("no TLS connection to {host}: {other}"),
        None if e.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{host} closed the connection before TLS was agreed upon")
        }
        None => format!("no TLS connection to {host}: {}", supers_os::error_text(e)),
    }
}

fn distrusted(why: &CertificateError, host: &str) -> String {
    match why {
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} is signed by nobody whom this machine trusts; SSL_CERT_FILE of superd can name others"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired, or this machine's clock is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet, or this machine's clock is wrong")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            // A list of names may be long; the first ones tell who it is.
            let names: Vec<&str> = presented.iter().take(4).map(|name| plain(name)).collect();
            format!("the certificate of {host} is made out to others: {}", names.join(", "))
        }
        CertificateError::NotValidForName => format!("the certificate of {host} is made out to others"),
        // A type of the library, which may grow.
        other => format!("the certificate of {host} is not accepted: {other}"),
    }
}

/// `DnsName("hooks.example")` as people write it.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}
