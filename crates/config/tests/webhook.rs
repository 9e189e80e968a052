//! `[webhook]`, `webhook=` and `X-Webhook=`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::World;
use insta::assert_snapshot;
use std::time::Duration;
use supers_config::Webhooks;
use supers_config::webhook::Events;

fn shown(hooks: &Webhooks, program: &str) -> String {
    hooks.url_of(program).map_or("none".into(), ToString::to_string)
}

#[test]
fn a_section_for_all_and_keys_for_some() {
    let world = World::new(&[
        (
            "superd.conf",
            "[webhook]\nurl=http://all:8080/%(host_node_name)s\ntimeout=3\nsecret=%(ENV_PASS)s\nevents=exit,fatal\n\
             [program:a]\ncommand=a\n[program:b]\ncommand=b\nnumprocs=2\nprocess_name=b%(process_num)d\n\
             webhook=http://own/%(program_name)s\n[program:c]\ncommand=c\nwebhook=none\n\
             [program:d]\ncommand=d\nwebhook=\n",
        ),
        ("u.service", "[Service]\nExecStart=/u\nX-Webhook=https://units/%n\n"),
        ("v.service", "[Unit]\nX-Webhook=none\n[Service]\nExecStart=/v\n"),
        ("w.service", "[Service]\nExecStart=/w\nX-Webhook=http://w\n"),
        ("w.service.d/x.conf", "[Service]\nX-Webhook=\n"),
    ]);
    let loaded = world.folder();
    assert_eq!(world.findings(&loaded), "");
    let hooks = &loaded.config.settings.webhooks;
    let all = ["a", "b", "c", "d", "u", "v", "w"].map(|p| format!("{p} {}", shown(hooks, p))).join("\n");
    assert_snapshot!(all, @r"
    a http://all:8080/box.example
    b http://own/b
    c none
    d http://all:8080/box.example
    u https://units/u.service
    v none
    w http://all:8080/box.example
    ");
    assert_eq!(hooks.timeout, Duration::from_secs(3));
    assert_eq!(hooks.secret.as_ref().map(|s| s.reveal()), Some(&b"through"[..]));
    assert_eq!(hooks.events, Events { exit: true, start: false, fatal: true });
    // Whom it tells is no part of how a unit lives: a reload that changes it restarts nothing.
    assert!(!format!("{:?}", loaded.config.programs).contains("own/b"));
}

#[test]
fn nothing_said_is_nothing_told() {
    let world = World::new(&[("s.conf", "[supervisord]\n[program:p]\ncommand=p\n")]);
    assert_eq!(world.file("s.conf").config.settings.webhooks, Webhooks::default());
    assert_eq!(world.ancestor("s.conf").config.settings.webhooks, Webhooks::default());
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_the_programs_run() {
    let world = World::new(&[
        (
            "superd.conf",
            "[webhook]\nurl=ftp://hooks/x\ntimeout=0\nevents=crash\nurll=x\n\
             [program:p]\ncommand=p\nwebhook=hooks/x\n",
        ),
        ("u.service", "[Service]\nExecStart=/u\nX-Webhook=hooks/u\n"),
    ]);
    let loaded = world.folder();
    assert_snapshot!(world.findings(&loaded), @r"
    superd.conf:2:5: error: url=: notifications are sent by http or https
      hint: expected https://HOST[:PORT][/PATH], or the same with http
    superd.conf:3:9: error: timeout=: expected a number of seconds from 1 to 300
    superd.conf:4:8: error: events=: `crash` is no event; expected abnormal, exit, start or fatal
    superd.conf:5:1: warning: unknown key `urll` in [webhook], ignored
      hint: did you mean `url`?
    superd.conf:8:9: error: webhook=: this is no URL
      hint: expected https://HOST[:PORT][/PATH], or the same with http
    u.service:3:11: error: X-Webhook=: this is no URL
      hint: expected https://HOST[:PORT][/PATH], or the same with http
    ");
    assert!(!loaded.fatal);
    assert!(loaded.config.programs.iter().all(|p| p.spec.refused.is_none()));
    assert_eq!(loaded.config.settings.webhooks.url, None);

    let world = World::new(&[("s.conf", "[supervisord]\n[webhook]\nsecret=x\n[program:p]\ncommand=p\n")]);
    assert_snapshot!(world.findings(&world.file("s.conf")), @r"
    s.conf:2:1: error: [webhook] has no url: nobody is notified
      hint: add url=https://HOST[:PORT][/PATH]
    ");
    let ancestor = world.ancestor("s.conf");
    assert!(!ancestor.fatal && ancestor.config.has_errors());
}
