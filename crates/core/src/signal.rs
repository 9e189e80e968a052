//! Signal numbers and names (Linux numbering).

use core::fmt;
use serde::{Deserialize, Serialize};

/// A signal that can be sent, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signal(u8);

const NAMES: [(&str, u8); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

impl Signal {
    /// SIGHUP
    pub const HUP: Signal = Signal(1);
    /// SIGINT
    pub const INT: Signal = Signal(2);
    /// SIGQUIT
    pub const QUIT: Signal = Signal(3);
    /// SIGABRT
    pub const ABRT: Signal = Signal(6);
    /// SIGKILL
    pub const KILL: Signal = Signal(9);
    /// SIGUSR1
    pub const USR1: Signal = Signal(10);
    /// SIGUSR2
    pub const USR2: Signal = Signal(12);
    /// SIGPIPE
    pub const PIPE: Signal = Signal(13);
    /// SIGTERM
    pub const TERM: Signal = Signal(15);
    /// SIGTTOU
    pub const TTOU: Signal = Signal(22);
    /// SIGCONT
    pub const CONT: Signal = Signal(18);

    /// The signal with this number, when 1 to 64.
    pub fn from_number(n: i64) -> Option<Signal> {
        u8::try_from(n).ok().filter(|n| (1..=64).contains(n)).map(Signal)
    }

    /// A name with or without `SIG` in any case, or a number (supervisor-contract 3). `RTMIN`, `RTMAX`,
    /// `RTMIN+3` and `RTMAX-1` are the real-time signals as programs with glibc count them.
    pub fn parse(text: &str) -> Option<Signal> {
        let text = text.trim();
        if let Ok(n) = text.parse::<i64>() {
            return Signal::from_number(n);
        }
        let bare = match text.get(..3) {
            Some(p) if p.eq_ignore_ascii_case("SIG") => &text[3..],
            _ => text,
        };
        let known = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(bare)).map(|(_, n)| *n);
        let alias = || match () {
            () if bare.eq_ignore_ascii_case("CLD") => Some(17),
            () if bare.eq_ignore_ascii_case("POLL") => Some(29),
            () if bare.eq_ignore_ascii_case("IOT") => Some(6),
            () => None,
        };
        known.or_else(alias).or_else(|| real_time(bare)).map(Signal)
    }

    /// The kernel's number.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

/// The kernel's first two, 32 and 33, belong to glibc.
fn real_time(bare: &str) -> Option<u8> {
    let (base, rest) = bare.get(..5).zip(bare.get(5..))?;
    let offset = |sign: char| match rest {
        "" => Some(0),
        _ => {
            let digits = rest.strip_prefix(sign).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok().filter(|n: &u8| *n <= 30)
        }
    };
    match () {
        () if base.eq_ignore_ascii_case("RTMIN") => offset('+').map(|n| 34 + n),
        () if base.eq_ignore_ascii_case("RTMAX") => offset('-').map(|n| 64 - n),
        () => None,
    }
}

impl fmt::Display for Signal {
    /// `SIGTERM`; `SIG40` for those without a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, n)| *n == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "SIG{}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_and_numbers() {
        for text in ["TERM", "term", "SIGTERM", "sigterm", "15", " 15 "] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(Signal::parse("SIGCLD").map(Signal::number), Some(17));
        assert_eq!(Signal::parse("POLL").map(Signal::number), Some(29));
        assert_eq!(Signal::parse("IOT"), Some(Signal::ABRT));
        for (text, n) in
            [("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmin+30", 64), ("RTMAX", 64), ("sigRTMAX-30", 34)]
        {
            assert_eq!(Signal::parse(text).map(Signal::number), Some(n), "{text}");
        }
        for text in ["RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMIN+", "RTMIN++1", "RTMI", "RTMINx"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
        for text in ["", "SIG", "TERMX", "0", "65", "-1", "SIGSIGTERM"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
        assert_eq!(Signal::parse("64").map(|s| s.to_string()).as_deref(), Some("SIG64"));
        for (name, n) in NAMES {
            assert_eq!(Signal::parse(name).map(Signal::number), Some(i32::from(n)));
            assert_eq!(Signal(n).to_string(), alloc::format!("SIG{name}"));
        }
    }
}
