//! Whatever the bytes, reading ends well; whatever the words, writing and reading them is the identity.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bstr::{BStr, BString, ByteSlice};
use common::World;
use proptest::prelude::*;
use supers_config::emit::{Options, unit_file};
use supers_config::unit::{envfile, words};

/// Text that looks enough like a configuration to get past the first checks.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("[program:p]\n".to_string()),
        Just("[Service]\n".to_string()),
        Just("[supervisord]\n".to_string()),
        Just("command=".to_string()),
        Just("environment=".to_string()),
        Just("numprocs=".to_string()),
        Just("%(process_num)".to_string()),
        Just("ExecStart=".to_string()),
        Just("Environment=".to_string()),
        Just("LimitNOFILE=".to_string()),
        Just("RestartSec=".to_string()),
        "[\\[\\]=:%\\\\\"'$(){};#a-z0-9 \n\t]{0,12}",
        "\\PC{0,6}",
    ];
    prop_oneof![
        4 => proptest::collection::vec(piece, 0..24).prop_map(|v| v.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

/// Words without zero bytes, as the kernel takes them; the program is a bare name or absolute.
fn command() -> impl Strategy<Value = Vec<BString>> {
    let odd = prop_oneof![
        "\\PC{0,12}".prop_map(String::into_bytes),
        "[$%;\"'\\\\{}@:+! \n\t#-]{0,8}".prop_map(String::into_bytes),
        proptest::collection::vec(1u8.., 0..8),
    ];
    let program = prop_oneof!["[-@:+!a-z$%\"'\\\\ ]{0,4}[a-z]", "/[a-z $%;\"'\\\\é-]{0,8}[a-z]",];
    (program, proptest::collection::vec(odd, 0..6)).prop_map(|(program, rest)| {
        let mut words = vec![BString::from(program)];
        words.extend(rest.into_iter().map(BString::from));
        words
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(text in texts()) {
        let world = World::new(&[]);
        world.put("superd.conf", &text);
        world.put("a.conf", &text);
        world.put("u.service", &text);
        let loaded = world.folder();
        prop_assert!(loaded.config.programs.iter().any(|p| p.spec.program == "u"));
        for p in &loaded.config.programs {
            let runs = p.spec.refused.is_none();
            let ready = p.spec.exec.iter().all(|c| c.fault.is_some() || !c.words.is_empty());
            prop_assert!(!runs || (ready && !p.spec.exec.is_empty()));
        }
        prop_assert_eq!(world.among("u.service").config.programs.len(), 1);
        envfile::parse(&text);
    }

    #[test]
    fn a_written_command_reads_back(command in command(), value in "\\PC{0,10}", key in "[A-Z_]{1,6}") {
        let options = Options {
            description: Some(value.clone()),
            environment: vec![(key.as_str().into(), value.as_str().into())],
            ..Options::default()
        };
        let world = World::new(&[("u.service", &unit_file("u", &command, &options))]);
        let loaded = world.folder();
        prop_assert_eq!(world.findings(&loaded), "");
        let spec = &loaded.config.programs[0].spec;
        prop_assert_eq!(spec.exec.len(), 1);
        let read = &spec.exec[0];
        prop_assert!(read.expand && !read.ignore_failure && !read.privileged && read.argv0.is_none());
        let unset = |_: &BStr| None;
        prop_assert_eq!(words::expand(&read.words, &unset), command);
        let var = spec.context.env.vars.iter().find(|(k, _)| *k == key.as_bytes().as_bstr());
        prop_assert_eq!(var.map(|v| v.1.to_string()), Some(value));
    }

    #[test]
    fn expanding_never_panics(words in command(), value in "\\PC{0,20}") {
        let all = |_: &BStr| Some(BString::from(value.as_str()));
        let out = words::expand(&words, &all);
        prop_assert_eq!(&out[0], &words[0]);
    }
}
