//! Under what the keeper holds a descriptor.

/// What a descriptor is held as: the top 8 bits say which kind of thing it is, the others which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// Kinds of things that are held. They are told in the order of their numbers: what a daemon needs before it can answer
/// comes before the thousands that it needs later. (2 and 3 were [`Kind::Fifo`] and [`Kind::Run`] once.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A listening socket.
    Socket,
    /// A FIFO of a unit's output.
    Fifo,
    /// The writing end of a run's standard input.
    Run,
    /// The file of records.
    Records,
    /// A program.
    Binary,
    /// An accepted connection.
    Connection,
}

impl Key {
    /// The file of records.
    pub const RECORDS: Key = Key(4 << 56);
    /// A program.
    pub const BINARY: Key = Key(5 << 56);
    const REST: u64 = (1 << 56) - 1;

    /// A listening socket, by the text of its address.
    pub fn socket(text: &[u8]) -> Key {
        Key::of(1, fold(text))
    }

    /// A FIFO, by its file name.
    pub fn fifo(name: &[u8]) -> Key {
        Key::of(7, fold(name))
    }

    /// What belongs to a run.
    pub fn run(run: u64) -> Key {
        Key::of(8, run)
    }

    /// The n-th accepted connection that is handed on.
    pub fn connection(n: usize) -> Key {
        Key::of(6, n as u64)
    }

    /// Which kind; `None` for one that this build does not know.
    pub fn kind(self) -> Option<Kind> {
        Some(match self.0 >> 56 {
            1 => Kind::Socket,
            4 => Kind::Records,
            5 => Kind::Binary,
            6 => Kind::Connection,
            7 => Kind::Fifo,
            8 => Kind::Run,
            _ => return None,
        })
    }

    /// It is one of thousands, and nothing that a daemon needs before it can answer.
    pub fn is_of_a_unit(self) -> bool {
        matches!(self.kind(), Some(Kind::Fifo | Kind::Run))
    }

    /// Which one of its kind: the run's number, a text's hash.
    pub fn rest(self) -> u64 {
        self.0 & Key::REST
    }

    fn of(kind: u64, rest: u64) -> Key {
        Key(kind << 56 | rest & Key::REST)
    }
}

/// FNV-1a, its 64 bits folded to 56.
fn fold(text: &[u8]) -> u64 {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 56) ^ (hash & Key::REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_pinned() {
        assert_eq!(Key::fifo(b"").0, 0x07f2_9ce4_8422_23ee, "the basis, folded");
        assert_eq!(Key::fifo(b"a").0, 0x0763_dc4c_8601_ec23);
        assert_eq!(Key::socket(b"a").rest(), Key::fifo(b"a").rest());
        assert_eq!(Key::run(u64::MAX).0, 0x08ff_ffff_ffff_ffff);
        let kinds = [Kind::Socket, Kind::Fifo, Kind::Run, Kind::Records, Kind::Binary, Kind::Connection];
        let keys =
            [Key::socket(b"x"), Key::fifo(b"x"), Key::run(1), Key::RECORDS, Key::BINARY, Key::connection(7)];
        assert_eq!(keys.map(Key::kind), kinds.map(Some));
        assert_eq!(Key(9 << 56).kind().or(Key(3 << 56).kind()).or(Key(0).kind()), None);
    }
}
