//! Removal of terminal escape sequences (supervisor-contract 8, `strip_ansi`).

/// Ends of an escape sequence that the ancestor knows.
const ENDS: &[u8] = b"HfABCDRsuJKhlpm";

/// Removes every sequence from `ESC [` through one of [`ENDS`] in place; returns the length that is
/// left. Stateless: a sequence without an end takes the rest of this read with it, as in the ancestor.
pub(super) fn strip(bytes: &mut [u8]) -> usize {
    let (mut from, mut to) = (0, 0);
    while from < bytes.len() {
        if bytes[from..].starts_with(b"\x1b[") {
            match bytes[from + 2..].iter().position(|b| ENDS.contains(b)) {
                Some(n) => from += n + 3,
                None => break,
            }
        } else {
            bytes[to] = bytes[from];
            from += 1;
            to += 1;
        }
    }
    to
}

#[cfg(test)]
mod tests {
    fn stripped(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let n = super::strip(&mut bytes);
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn sequences_go_and_text_stays() {
        assert_eq!(stripped("plain"), "plain");
        assert_eq!(stripped("\x1b[31mred\x1b[0m tail"), "red tail");
        assert_eq!(stripped("a\x1b[2J\x1b[1;1Hb\n"), "ab\n");
        assert_eq!(stripped("\x1b lone escape"), "\x1b lone escape");
        assert_eq!(stripped("cut short\x1b[12;"), "cut short");
        assert_eq!(stripped("\x1b["), "");
        assert_eq!(stripped(""), "");
    }
}
