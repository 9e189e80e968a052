//! Supervisor's pages (supervisor-contract 14).

use crate::fake::{NOW, exited, row, running};
use crate::world::{Reply, World, request};
use supers_core::control::{Outcome, Refusal};
use supers_core::exit::{Exit, Stage, StartError};
use supers_core::ids::RunId;
use supers_core::inside::Unrunnable;
use supers_core::proc::{Cause, State, Trouble};
use supers_core::snapshot::UnitView;
use supers_core::time::Wall;

async fn get(w: &World, path: &str) -> Reply {
    with(w, &format!("GET {path}"), &[], "").await
}

async fn with(w: &World, line: &str, headers: &[&str], body: &str) -> Reply {
    let mut wire = w.tcp().await;
    wire.send(&request(line, headers, body)).await;
    wire.answer().await
}

/// The message of a redirect, as it stands in its address.
async fn message(w: &World, path: &str) -> String {
    let reply = get(w, path).await;
    assert_eq!(reply.status, "301 Moved Permanently", "{path}: {reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let to = reply.header("location").unwrap();
    let coded = to.strip_prefix("http://localhost/?message=").unwrap();
    coded.replace("%20", " ").replace("%3A", ":").replace("%5B", "[").replace("%5D", "]")
}

/// A world with a unit in each state.
fn states() -> World {
    let w = World::supervisor();
    let unit = |name: &str, state: State, trouble: Option<Trouble>| UnitView {
        state,
        trouble,
        ended: Some(NOW.wall),
        ..running(name, name, 0, 9)
    };
    let asked = || State::Stopped { cause: Cause::Asked };
    let error = StartError { stage: Stage::Exec, errno: 2, text: "can't find command '/x'".into() };
    *w.fake.units.lock().unwrap() = vec![
        running("run", "run", 11, 93_784),
        running("g", "a<b&c", 12, 7),
        unit("stopped", asked(), None),
        UnitView {
            started: None,
            ended: None,
            ..unit("never", State::Stopped { cause: Cause::Never }, None)
        },
        unit("exited", State::Exited { exit: Exit::Code(0), expected: true, cause: exited(0) }, None),
        unit("fatal", State::Fatal { cause: exited(1) }, Some(Trouble::TooQuick)),
        unit(
            "backoff",
            State::Backoff { until: NOW.mono, attempt: 1, cause: exited(1) },
            Some(Trouble::Start(error)),
        ),
        unit(
            "starting",
            State::Starting { run: RunId(1), pid: None, index: 0, begun: NOW.mono, until: None },
            None,
        ),
    ];
    w
}

#[tokio::test]
async fn the_table() {
    let w = states();
    let reply = get(&w, "/").await;
    for (header, value) in [
        ("content-type", "text/html;charset=utf-8"),
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        assert_eq!(reply.header(header), Some(value));
    }
    let page = reply.body;
    assert!(page.contains("<title>Supervisor Status</title>") && page.contains("9.8.7"), "{page}");
    for action in ["refresh", "restartall", "stopall"] {
        assert!(page.contains(&format!("<a href=\"index.html?action={action}\">")), "{page}");
    }
    let short = {
        let at = jiff::Timestamp::from_second(NOW.wall.secs()).unwrap();
        at.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %d %I:%M %p").to_string()
    };
    // In the order of group and name.
    let rows: Vec<&str> = page.split("<tr class=").skip(1).collect();
    let names = ["backoff", "exited", "fatal", "g%3Aa%3Cb%26c", "never", "run", "starting", "stopped"];
    let expected = [
        ("statuserror\">backoff", "can&#39;t find command &#39;/x&#39;", ""),
        ("statusnominal\">exited", &short, "start"),
        ("statuserror\">fatal", "Exited too quickly (process log may have details)", "start"),
        ("statusrunning\">running", "pid 12, uptime 0:00:07", "restart stop"),
        ("statusnominal\">stopped", "Not started", "start"),
        ("statusrunning\">running", "pid 11, uptime 1 day, 2:03:04", "restart stop"),
        ("statusnominal\">starting", "", ""),
        ("statusnominal\">stopped", &short, "start"),
    ];
    assert_eq!(rows.len(), names.len());
    for ((row, name), (class, description, actions)) in rows.iter().zip(names).zip(expected) {
        assert!(row.contains(&format!("class=\"{class}</span>")), "{row}");
        assert!(row.contains(&format!("<td><span>{description}</span></td>")), "{description}: {row}");
        assert!(row.contains(&format!("href=\"tail.html?processname={name}\"")), "{row}");
        assert!(row.contains(&format!("href=\"logtail/{name}\" name=\"Tail -f Stdout\"")), "{row}");
        assert!(row.contains(&format!("href=\"logtail/{name}/stderr\" name=\"Tail -f Stderr\"")), "{row}");
        for action in ["start", "stop", "restart", "clearlog"] {
            let link = format!("href=\"index.html?processname={name}&amp;action={action}\"");
            let offered = action == "clearlog" || actions.split(' ').any(|a| a == action);
            assert_eq!(row.contains(&link), offered, "{action}: {row}");
        }
    }
    assert!(rows[3].contains(">g:a&lt;b&amp;c</a>"), "{}", rows[3]);
    assert_eq!(get(&w, "/index.html").await.body, page);
    assert!(!page.contains("status_msg"));
    let shown = get(&w, "/?message=%3Cb%3E+a%22").await.body;
    assert!(shown.contains("<div class=\"status_msg\">&lt;b&gt; a&quot;</div>"), "{shown}");
}

#[tokio::test]
async fn actions_and_their_messages() {
    let w = World::supervisor();
    let full = {
        let at = jiff::Timestamp::from_second(NOW.wall.secs()).unwrap();
        at.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
    };
    assert_eq!(message(&w, "/?action=refresh").await, format!("Page refreshed at {full}"));
    assert_eq!(w.fake.take_calls(), "");
    assert_eq!(message(&w, "/index.html?action=stopall").await, format!("All stopped at {full}"));
    assert_eq!(message(&w, "/index.html?action=restartall").await, format!("All restarted at {full}"));
    for (query, text) in [
        ("processname=shop:cart&action=start", "Process shop:cart started"),
        ("processname=db&action=start", "ERROR: Process db: already started"),
        ("processname=db&action=stop", "Process db stopped"),
        ("processname=shop:cart&action=stop", "unexpected rpc fault [70] NOT_RUNNING: shop:cart"),
        ("processname=db&action=restart", "Process db restarted"),
        ("processname=shop%3Aweb&action=clearlog", "Log for shop:web cleared"),
        ("processname=none&action=start", "No such process named none"),
        ("processname=shop&action=stop", "No such process named shop"),
        ("processname=shop:%2A&action=stop", "No such process named shop:%2A"),
    ] {
        assert_eq!(message(&w, &format!("/index.html?{query}")).await, text);
    }
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    http: Stop ["all"] wait=true timeout=None
    http: Stop ["all"] wait=true timeout=None
    http: Start ["all"] wait=true timeout=None
    http: Start ["shop:cart"] wait=true timeout=None
    http: Start ["db"] wait=true timeout=None
    http: Stop ["db"] wait=true timeout=None
    http: Stop ["shop:cart"] wait=true timeout=None
    http: Stop ["db"] wait=true timeout=None
    http: Start ["db"] wait=true timeout=None
    clear Unit(UnitId(0), Stdout)
    clear Unit(UnitId(0), Stderr)
    "#);
    for (outcome, text) in [
        (Outcome::Failed, "ERROR: Process shop:cart: spawn error"),
        (Outcome::Superseded, "ERROR: Process shop:cart: abnormal termination"),
    ] {
        w.fake.script_rows([row("shop:cart", outcome, 0)]);
        assert_eq!(message(&w, "/?processname=shop:cart&action=start").await, text);
    }
    for (why, text) in [
        (Unrunnable::Missing("x".into()), "ERROR: Process db: no such file"),
        (Unrunnable::NotExecutable("x".into()), "ERROR: Process db: file not executable"),
    ] {
        w.fake.unrunnable.lock().unwrap().insert("db".into(), why);
        assert_eq!(message(&w, "/?processname=db&action=start").await, text);
    }
    *w.fake.refuse.lock().unwrap() = Some(Refusal::ShuttingDown);
    let text = "unexpected rpc fault [6] SHUTDOWN_STATE";
    assert_eq!(message(&w, "/?processname=shop:web&action=stop").await, text);
    w.fake.take_calls();
    for query in ["action=dance", "action=start", "processname=db&action=dance", "processname=&action=stop"] {
        assert_eq!(get(&w, &format!("/?{query}")).await.status, "500 Internal Server Error", "{query}");
    }
    assert_eq!(w.fake.take_calls(), "");
}

#[tokio::test]
async fn forms() {
    let w = World::supervisor();
    let form = "processname=shop%3Acart&action=start";
    let reply = with(&w, "POST /index.html?action=dance", &["Host: localhost:9001"], form).await;
    assert_eq!(
        reply.header("location"),
        Some("http://localhost:9001/?message=Process%20shop%3Acart%20started")
    );
    for (line, headers, body, status) in [
        ("POST /", &[][..], "", "411 Length Required"),
        ("POST /ok.html", &[], "", "411 Length Required"),
        ("PUT /", &[], "x", "400 Bad Request"),
        ("DELETE /", &[], "", "400 Bad Request"),
        ("POST /", &["Origin: http://evil.example"], form, "403 Forbidden"),
    ] {
        assert_eq!(with(&w, line, headers, body).await.status, status, "{line}");
    }
    let head = {
        let mut wire = w.tcp().await;
        wire.send(&request("HEAD /?processname=db&action=stop", &[], "")).await;
        wire.head().await
    };
    assert_eq!(head.status, "400 Bad Request");
    assert_eq!(w.fake.take_calls(), "http: Start [\"shop:cart\"] wait=true timeout=None");
}

#[tokio::test]
async fn pages_of_other_sites_can_link_but_not_act() {
    let w = World::supervisor();
    for header in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Origin: http://evil.example",
        "Origin: null",
        "Referer: http://evil.example/page",
    ] {
        for path in ["/?action=stopall", "/index.html?processname=db&action=stop", "//?action=stopall"] {
            let reply = with(&w, &format!("GET {path}"), &[header], "").await;
            assert!(!reply.status.starts_with("301"), "{header} {path}: {reply:?}");
        }
        for path in ["/", "/?message=x", "/tail.html?processname=db", "/ok.html"] {
            let reply = with(&w, &format!("GET {path}"), &[header], "").await;
            assert_eq!(reply.status, "200 OK", "{header} {path}");
        }
    }
    for path in ["/", "/?action=stopall", "/tail.html?processname=db"] {
        let reply = with(&w, &format!("GET {path}"), &["Host: rebound.example"], "").await;
        assert_eq!(reply.status, "421 Misdirected Request", "{path}");
    }
    assert_eq!(w.fake.take_calls(), "");
    for header in
        ["Sec-Fetch-Site: none", "Sec-Fetch-Site: same-origin", "Referer: http://localhost/?message=x"]
    {
        let reply = with(&w, "GET /?processname=db&action=stop", &[header], "").await;
        assert_eq!(reply.status, "301 Moved Permanently", "{header}");
    }
}

#[tokio::test]
async fn ends_of_logs() {
    let w = World::supervisor();
    let text = format!("{}<last>\n", "x".repeat(3000));
    w.fake.files.lock().unwrap().insert(Some(0), text.into_bytes());
    for (query, shown, limit) in [
        ("processname=shop:web", 1024, 1024),
        ("processname=shop:web&limit=2000", 2000, 2000),
        ("processname=shop:web&limit=10", 1024, 1024),
        ("processname=shop:web&limit=x", 1024, 1024),
    ] {
        let page = get(&w, &format!("/tail.html?{query}")).await.body;
        let log = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
        assert_eq!(log, format!("{}&lt;last&gt;\n", "x".repeat(shown - 7)), "{query}");
        let refresh = format!("href=\"tail.html?processname=shop%3Aweb&amp;limit={limit}\"");
        assert!(page.contains(&refresh), "{page}");
        assert!(page.contains("<title>Supervisor tail of process shop:web</title>"), "{page}");
    }
    for (query, text) in [
        ("", "No process name found"),
        ("?processname=db", "No file for db"),
        ("?processname=no%3Cne", "ERROR: unexpected rpc fault [10] BAD_NAME: no&lt;ne"),
    ] {
        let reply = get(&w, &format!("/tail.html{query}")).await;
        assert_eq!(reply.status, "200 OK");
        assert!(reply.body.contains(&format!("<pre>{text}</pre>")), "{}", reply.body);
    }
}

#[tokio::test]
async fn what_never_changes() {
    let w = World::supervisor();
    assert_eq!(get(&w, "/ok.html").await.short(), "200 OK\nOK");
    assert_eq!(get(&w, "/%6fk.html?x=y").await.header("content-type"), Some("text/plain"));
    let style = get(&w, "/stylesheets/supervisor.css").await;
    assert_eq!((style.status.as_str(), style.header("content-type")), ("200 OK", Some("text/css")));
    for class in ["statusrunning", "statuserror", "statusnominal"] {
        assert!(style.body.contains(class));
    }
    for (path, kind) in [("/images/icon.png", "image/png"), ("/images/supervisor.gif", "image/gif")] {
        let mut wire = w.tcp().await;
        wire.send(&request(&format!("HEAD {path}"), &[], "")).await;
        assert_eq!(wire.head().await.header("content-type"), Some(kind));
    }
    for path in ["/none", "/images/", "/images/../server.rs", "/../etc/passwd", "/%2e%2e/x", "/index.html/"] {
        let reply = get(&w, path).await;
        assert_eq!(reply.status, "404 Not Found", "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html"));
    }
    // A time that no calendar has does no harm.
    w.fake.units.lock().unwrap()[0].started = Some(Wall(i64::MIN / 4));
    assert_eq!(get(&w, "/").await.status, "200 OK");
}
