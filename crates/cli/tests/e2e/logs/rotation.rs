//! Rotation by size, on line boundaries, nothing lost or reordered (supervisor-contract 8).

use super::{pieces, same_text, spewed, until_ended, world};

/// Every file but the last is full to the last whole line, and none is too large.
fn check_cuts(pieces: &[String], max: usize) {
    let (last, backups) = pieces.split_last().unwrap();
    assert!(last.len() < max, "{} bytes", last.len());
    for text in backups {
        assert!(text.ends_with('\n'), "cut inside a line: {:?}", &text[text.len() - 20..]);
        assert!((max - 128..=max).contains(&text.len()), "{} bytes", text.len());
    }
}

#[test]
fn at_full_speed_through_many_rotations() {
    let world = world(
        "[program:a]\ncommand={actor} spew 8MiB\nstartsecs=0\nstdout_logfile={root}/a.log\n\
         stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=20\n\
         [program:odd]\ncommand={actor} spew 2MiB\nstartsecs=0\nstdout_logfile={root}/odd.log\n\
         stdout_logfile_maxbytes=100001\nstdout_logfile_backups=50\n",
    );
    until_ended(&world, "a");
    until_ended(&world, "odd");
    let (a, odd) = (pieces(&world, "a.log"), pieces(&world, "odd.log"));
    assert!(a.len() == 9 && odd.len() > 20, "{} and {} files", a.len(), odd.len());
    check_cuts(&a, 1 << 20);
    check_cuts(&odd, 100_001);
    same_text(&a.concat(), &spewed(8 << 20));
    same_text(&odd.concat(), &spewed(2 << 20));
}

#[test]
fn both_streams_together_and_stripped() {
    // The way by read and write.
    let world = world(
        "[supervisord]\nstrip_ansi=true\n\
         [program:a]\ncommand={actor} spew 2MiB\nstartsecs=0\nredirect_stderr=true\n\
         stdout_logfile={root}/a.log\nstdout_logfile_maxbytes=300KB\nstdout_logfile_backups=20\n",
    );
    until_ended(&world, "a");
    let pieces = pieces(&world, "a.log");
    check_cuts(&pieces, 300 << 10);
    same_text(&pieces.concat(), &spewed(2 << 20));
}

#[test]
fn only_so_many_backups() {
    let world = world(
        "[program:a]\ncommand={actor} spew 1MiB\nstartsecs=0\nstdout_logfile={root}/a.log\n\
         stdout_logfile_maxbytes=100KB\nstdout_logfile_backups=3\n",
    );
    until_ended(&world, "a");
    let pieces = pieces(&world, "a.log");
    assert_eq!(pieces.len(), 4);
    check_cuts(&pieces, 100 << 10);
    let all = spewed(1 << 20);
    let kept = pieces.concat();
    same_text(&kept, &all[all.len() - kept.len()..]);
}

#[test]
fn no_backups_and_no_limit() {
    let world = world(
        "[program:cut]\ncommand={actor} spew 1MiB print last\nstartsecs=0\nstdout_logfile={root}/cut.log\n\
         stdout_logfile_maxbytes=100KB\nstdout_logfile_backups=0\n\
         [program:endless]\ncommand={actor} spew 3MiB\nstartsecs=0\nstdout_logfile={root}/endless.log\n\
         stdout_logfile_maxbytes=0\n",
    );
    until_ended(&world, "cut");
    until_ended(&world, "endless");
    let cut = pieces(&world, "cut.log");
    assert_eq!(cut.len(), 1);
    let all = spewed(1 << 20) + "last\n";
    assert!(cut[0].len() < 100 << 10 && all.ends_with(&cut[0]) && cut[0].ends_with("last\n"));
    let endless = pieces(&world, "endless.log");
    assert_eq!(endless.len(), 1);
    same_text(&endless[0], &spewed(3 << 20));
}

#[test]
fn a_long_line_stays_whole() {
    let long = "x".repeat(5000);
    let world = world(&format!(
        "[program:a]\ncommand={{actor}} print before print {long} print after\nstartsecs=0\n\
         stdout_logfile={{root}}/a.log\nstdout_logfile_maxbytes=1000\nstdout_logfile_backups=5\n"
    ));
    until_ended(&world, "a");
    let pieces = pieces(&world, "a.log");
    assert_eq!(pieces.concat(), format!("before\n{long}\nafter\n"));
    assert!(pieces.iter().all(|p| p.is_empty() || p.ends_with('\n')), "{:?}", pieces.len());
}
