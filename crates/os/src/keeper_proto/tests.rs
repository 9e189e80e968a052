use super::*;
const ENDS: [Exit; 5] = [
    Exit::Unknown,
    Exit::Code(0),
    Exit::Code(255),
    Exit::Signal { signal: Signal::KILL, core: false },
    Exit::Signal { signal: Signal::ABRT, core: true },
];

#[test]
fn every_message_comes_back_as_it_was() {
    let mut said = vec![
        ToDaemon::Hello { starts: 3, keeper_pid: 77, rolled_back: false, piles: true, standby: false },
        ToDaemon::Hello { starts: 3, keeper_pid: 77, rolled_back: true, piles: false, standby: true },
        ToDaemon::Held { key: Key::run(9).0 },
        ToDaemon::HeldEnd,
        ToDaemon::Prepare,
        ToDaemon::Prepared { standby: Standby::None, number: 0 },
        ToDaemon::Prepared { standby: Standby::Prepared, number: 7 },
        ToDaemon::Prepared { standby: Standby::Ended, number: u64::MAX },
        ToDaemon::Signal { signal: Signal::HUP, sender: 5 },
        ToDaemon::Nudge,
        ToDaemon::Living { pid: 9, run: u64::MAX },
        ToDaemon::LivingEnd,
    ];
    said.extend(ENDS.map(|exit| ToDaemon::Exit { pid: 1, run: 1 << 40, exit }));
    said.extend(ENDS.map(|exit| ToDaemon::Stranger { pid: i32::MAX, exit }));
    for m in said {
        assert_eq!(ToDaemon::decode(&m.encode()), Some(m));
    }
    let heard = [
        ToKeeper::Born { run: 1 << 63, pid: 3 },
        ToKeeper::Ask { pid: 4 },
        ToKeeper::Ack { pid: 5, run: 6 },
        ToKeeper::List,
        ToKeeper::Ready { detach: true },
        ToKeeper::Ready { detach: false },
        ToKeeper::Final { code: 255 },
        ToKeeper::Again,
        ToKeeper::Store { key: u64::MAX },
        ToKeeper::Forget { key: Key::RECORDS.0 },
        ToKeeper::Fetch,
        ToKeeper::Upgrade,
        ToKeeper::Inherit,
        ToKeeper::Prepare { number: 1 << 40 },
        ToKeeper::Prepared,
        ToKeeper::Pulse { thread: 77 },
    ];
    for m in heard {
        assert_eq!(ToKeeper::decode(&m.encode()), Some(m));
    }
}

#[test]
fn numbers_are_pinned() {
    let kind = |m: [u8; SIZE]| (u16::from_ne_bytes([m[0], m[1]]), u16::from_ne_bytes([m[2], m[3]]));
    assert_eq!(kind(ToDaemon::Exit { pid: 1, run: 1, exit: Exit::Unknown }.encode()), (1, 3));
    assert_eq!(kind(ToKeeper::Born { pid: 1, run: 1 }.encode()), (1, 1));
    assert_eq!(kind(ToKeeper::Final { code: 1 }.encode()), (1, 6));
    assert_eq!(kind(ToKeeper::Store { key: 1 }.encode()), (1, 32));
    assert_eq!(kind(ToKeeper::Upgrade.encode()), (1, 35));
    assert_eq!(kind(ToDaemon::HeldEnd.encode()), (1, 33));
    assert_eq!(kind(ToKeeper::Prepare { number: 1 }.encode()), (1, 37));
    assert_eq!(kind(ToDaemon::Prepare.encode()), (1, 36));
}

#[test]
fn passengers_arrive_and_unwanted_ones_are_closed() {
    let (a, b) = socket::pair().unwrap();
    let (mut read, write) = io::pipe().unwrap();
    send_fd(a.as_fd(), &ToKeeper::Store { key: 5 }, write.as_fd()).unwrap();
    let Letter { word, passenger, .. } = hear_daemon(b.as_fd()).unwrap().unwrap();
    assert_eq!(word, ToKeeper::Store { key: 5 });
    io::Write::write_all(&mut std::fs::File::from(passenger.unwrap()), b"x").unwrap();
    // With an unknown kind, more than one, and to somebody who does not expect any.
    let mut odd = ToKeeper::List.encode();
    odd[2..4].copy_from_slice(&999u16.to_ne_bytes());
    socket::send_fds(a.as_fd(), &odd, &[write.as_fd()]).unwrap();
    socket::send_fds(a.as_fd(), &ToKeeper::List.encode(), &[write.as_fd(), write.as_fd()]).unwrap();
    let letter = hear_daemon(b.as_fd()).unwrap().unwrap();
    assert!(letter.word == ToKeeper::List && letter.passenger.is_some());
    drop(letter);
    tell_daemon_fd(a.as_fd(), &ToDaemon::Held { key: 6 }, write.as_fd()).unwrap();
    assert_eq!(recv(b.as_fd()).unwrap(), Some(ToDaemon::Held { key: 6 }));
    drop(write);
    let mut text = String::new();
    io::Read::read_to_string(&mut read, &mut text).unwrap();
    assert_eq!(text, "x", "and no copy is left");
}

#[test]
fn unknown_kinds_and_sizes_are_skipped() {
    let (a, b) = socket::pair().unwrap();
    let mut odd = ToKeeper::List.encode();
    odd[2..4].copy_from_slice(&999u16.to_ne_bytes());
    socket::send(a.as_fd(), &odd).unwrap();
    socket::send(a.as_fd(), b"short").unwrap();
    send(a.as_fd(), &ToKeeper::Ask { pid: 8 }).unwrap();
    let letter = hear_daemon(b.as_fd()).unwrap().unwrap();
    assert!(letter.word == ToKeeper::Ask { pid: 8 } && letter.passenger.is_none());
    drop(a);
    assert!(hear_daemon(b.as_fd()).unwrap().is_none());
}

#[test]
fn hello_is_the_first_word_but_for_one_on_standby() {
    let (a, b) = socket::pair().unwrap();
    let (mut read, write) = io::pipe().unwrap();
    tell_daemon_fd(a.as_fd(), &ToDaemon::Prepare, write.as_fd()).unwrap();
    let Ok(First::Prepare(Some(records))) = wait_first(b.as_fd()) else { panic!("no standby") };
    drop((records, write));
    assert_eq!(io::Read::read(&mut read, &mut [0]).unwrap(), 0);
    tell_daemon(a.as_fd(), &ToDaemon::Prepare).unwrap();
    assert!(matches!(wait_first(b.as_fd()), Ok(First::Prepare(None))));
    let hello = Hello { starts: 2, keeper_pid: 10, rolled_back: true, piles: false, standby: true };
    let Hello { starts, keeper_pid, rolled_back, piles, standby } = hello;
    tell_daemon(a.as_fd(), &ToDaemon::Hello { starts, keeper_pid, rolled_back, piles, standby }).unwrap();
    assert!(matches!(wait_first(b.as_fd()), Ok(First::Hello(heard)) if heard == hello));
    tell_daemon(a.as_fd(), &ToDaemon::Nudge).unwrap();
    assert!(wait_first(b.as_fd()).is_err());
    drop(a);
    assert_eq!(wait_first(b.as_fd()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_keeper_that_died_with_the_last_word_unread_is_noticed() {
    for heard in [true, false] {
        let (keeper, daemon) = socket::pair().unwrap();
        tell_daemon(keeper.as_fd(), &ToDaemon::Nudge).unwrap();
        send(daemon.as_fd(), &ToKeeper::Again).unwrap();
        if heard {
            assert!(matches!(hear_daemon(keeper.as_fd()), Ok(Some(Letter { word: ToKeeper::Again, .. }))));
        }
        drop(keeper);
        let end = wait_for_the_end(daemon.as_fd()).map_err(|e| e.kind());
        assert_eq!(end, if heard { Ok(()) } else { Err(io::ErrorKind::ConnectionReset) });
    }
}
