//! `%i`, `%H` and the like in unit files.

use crate::load::Request;
use bstr::{BString, ByteSlice};

/// The unit that the specifiers are about.
#[derive(Clone, Debug)]
pub(crate) struct Specifiers {
    /// Without suffix: `foo@bar`.
    name: String,
    prefix: String,
    instance: String,
    host: String,
    user: BString,
    home: BString,
    shell: BString,
}

impl Specifiers {
    /// For the unit with this name (without `.service`).
    pub(crate) fn new(name: &str, req: &Request<'_>) -> Specifiers {
        let (prefix, instance) = name.split_once('@').unwrap_or((name, ""));
        let var = |key: &str| req.env.iter().rev().find(|(k, _)| k.as_bstr() == key).map(|(_, v)| v.clone());
        let home = req.home.as_deref().map(crate::source::bytes_of);
        Specifiers {
            name: name.into(),
            prefix: prefix.into(),
            instance: instance.into(),
            host: req.hostname.clone(),
            user: var("USER").or_else(|| var("LOGNAME")).unwrap_or_else(|| "root".into()),
            home: home.unwrap_or_else(|| "/root".into()),
            shell: var("SHELL").unwrap_or_else(|| "/bin/sh".into()),
        }
    }

    /// Replaces the specifiers. Unknown ones stay as written, as in systemd; the second part lists
    /// them.
    ///
    /// # Errors
    /// A specifier that systemd knows and we do not.
    pub(crate) fn expand(&self, text: &[u8]) -> Result<(BString, Vec<String>), String> {
        let mut out = Vec::new();
        let mut unknown = Vec::new();
        let mut bytes = text.iter().copied();
        while let Some(b) = bytes.next() {
            if b != b'%' {
                out.push(b);
                continue;
            }
            let Some(letter) = bytes.next() else {
                out.push(b'%');
                break;
            };
            match self.one(letter) {
                Some(value) => out.extend_from_slice(&value),
                None if b"aAbBgGMmoqvwWdD".contains(&letter) => {
                    return Err(format!("the specifier %{} comes in a later version", char::from(letter)));
                }
                None => {
                    unknown.push(format!("%{}", char::from(letter)));
                    out.extend([b'%', letter]);
                }
            }
        }
        Ok((out.into(), unknown))
    }

    fn one(&self, letter: u8) -> Option<BString> {
        let short = |name: &str| name.split('.').next().unwrap_or("").to_string();
        Some(match letter {
            b'%' => "%".into(),
            b'i' => self.instance.as_str().into(),
            b'I' => unescape(&self.instance, false),
            b'p' => self.prefix.as_str().into(),
            b'P' => unescape(&self.prefix, false),
            b'n' => format!("{}.service", self.name).into(),
            b'N' => self.name.as_str().into(),
            b'j' => self.prefix.rsplit('-').next().unwrap_or("").into(),
            b'J' => unescape(self.prefix.rsplit('-').next().unwrap_or(""), false),
            b'f' if self.instance.is_empty() => unescape(&self.prefix, true),
            b'f' => unescape(&self.instance, true),
            b't' => "/run".into(),
            b'S' => "/var/lib".into(),
            b'C' => "/var/cache".into(),
            b'L' => "/var/log".into(),
            b'E' => "/etc".into(),
            b'T' => "/tmp".into(),
            b'V' => "/var/tmp".into(),
            b'H' => self.host.as_str().into(),
            b'l' => short(&self.host).into(),
            b'u' => self.user.clone(),
            b'U' if self.user == "root" => "0".into(),
            b'h' => self.home.clone(),
            b's' => self.shell.clone(),
            _ => return None,
        })
    }
}

/// Undoes the escaping of unit names: `-` is `/`, `\x2d` is `-`. A path begins with exactly one slash.
fn unescape(name: &str, path: bool) -> BString {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'-' => out.push(b'/'),
            b'\\' => match tail.strip_prefix(b"x").and_then(|t| t.get(..2)).and_then(hex) {
                Some(byte) => {
                    out.push(byte);
                    rest = &tail[3..];
                }
                None => out.push(b'\\'),
            },
            b => out.push(*b),
        }
    }
    if path && !out.starts_with(b"/") {
        out.insert(0, b'/');
    }
    out.into()
}

fn hex(pair: &[u8]) -> Option<u8> {
    u8::from_str_radix(pair.to_str().ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Specifiers {
        Specifiers {
            name: name.into(),
            prefix: name.split('@').next().unwrap().into(),
            instance: name.split_once('@').map_or("", |p| p.1).into(),
            host: "box.example".into(),
            user: "root".into(),
            home: "/root".into(),
            shell: "/bin/sh".into(),
        }
    }

    #[test]
    fn all_of_them() {
        let unit = of("a-foo@b-c\\x2dd");
        for (text, want) in [
            ("%i", "b-c\\x2dd"),
            ("%I", "b/c-d"),
            ("%f", "/b/c-d"),
            ("%p %n %N", "a-foo a-foo@b-c\\x2dd.service a-foo@b-c\\x2dd"),
            ("%j", "foo"),
            ("%t%S%C%L%E", "/run/var/lib/var/cache/var/log/etc"),
            ("%H %l", "box.example box"),
            ("%u %U %h %s", "root 0 /root /bin/sh"),
            ("100%% %", "100% %"),
        ] {
            assert_eq!(unit.expand(text.as_bytes()).unwrap().0, want, "{text}");
        }
        assert_eq!(unit.expand(b"%!x").unwrap(), ("%!x".into(), vec!["%!".to_string()]));
        assert!(unit.expand(b"%m").is_err());
        assert_eq!(of("plain").expand(b"[%i|%f]").unwrap().0, "[|/plain]");
    }
}
