//! Time spans and sizes of unit files.

use std::time::Duration;

const UNITS: [(&str, f64); 32] = [
    ("usec", 1e-6),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("msec", 1e-3),
    ("ms", 1e-3),
    ("seconds", 1.0),
    ("second", 1.0),
    ("sec", 1.0),
    ("s", 1.0),
    ("minutes", 60.0),
    ("minute", 60.0),
    ("min", 60.0),
    ("m", 60.0),
    ("hours", 3600.0),
    ("hour", 3600.0),
    ("hr", 3600.0),
    ("h", 3600.0),
    ("days", 86_400.0),
    ("day", 86_400.0),
    ("d", 86_400.0),
    ("weeks", 604_800.0),
    ("week", 604_800.0),
    ("w", 604_800.0),
    ("months", 2_629_800.0),
    ("month", 2_629_800.0),
    ("M", 2_629_800.0),
    ("years", 31_557_600.0),
    ("year", 31_557_600.0),
    ("y", 31_557_600.0),
    ("nsec", 1e-9),
    ("ns", 1e-9),
];

/// A span such as `5`, `1min 30s`, `200ms`; a plain number is seconds. `None` is `infinity`.
pub(crate) fn span(text: &str) -> Result<Option<Duration>, String> {
    span_in(text, 1.0)
}

/// The same where a plain number has another unit, in seconds.
pub(crate) fn span_in(text: &str, plain: f64) -> Result<Option<Duration>, String> {
    if text == "infinity" {
        return Ok(None);
    }
    let bad = || format!("{text:?} is no time span such as 5s, 1min 30s or infinity");
    let mut rest = text.trim_start();
    let mut total = 0.0f64;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
        let factor = match &rest[..letters] {
            "" => plain,
            word => UNITS.iter().find(|(u, _)| *u == word).ok_or_else(bad)?.1,
        };
        rest = rest[letters..].trim_start();
        total += number * factor;
    }
    // Microseconds are systemd's grain; rounding takes the dirt of binary fractions away.
    Ok(Some(Duration::from_micros((total * 1e6).round() as u64)))
}

/// A size in bytes, with K, M, G, T, P or E for powers of 1024; `1.5G` is fine. `None` is `infinity`.
pub(crate) fn size(text: &str) -> Result<Option<u64>, String> {
    if text == "infinity" {
        return Ok(None);
    }
    let bad = || format!("{text:?} is no size such as 64K, 1G or infinity");
    let text = text.trim();
    let bare = text.strip_suffix('B').unwrap_or(text);
    let (digits, shift) = match bare.char_indices().next_back() {
        Some((i, c)) => match "KMGTPE".find(c) {
            Some(n) => (&bare[..i], 10 * (n + 1)),
            None => (bare, 0),
        },
        None => return Err(bad()),
    };
    let (whole, part) = digits.trim_end().split_once('.').unwrap_or((digits.trim_end(), "0"));
    if part.is_empty() || part.len() > 15 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let number: u64 = whole.parse().map_err(|_| bad())?;
    let (tenths, scale) = (part.parse::<u128>().map_err(|_| bad())?, 10u128.pow(part.len() as u32));
    let part = u64::try_from((tenths << shift) / scale).unwrap_or(u64::MAX);
    Ok(Some(number.saturating_mul(1 << shift).saturating_add(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, ms) in [
            ("5", 5000),
            ("5s", 5000),
            ("1min 30s", 90_000),
            ("1min30s", 90_000),
            ("200ms", 200),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("0", 0),
            ("1.5", 1500),
            ("5 s", 5000),
            ("1 m 1", 61_000),
        ] {
            assert_eq!(span(text), Ok(Some(Duration::from_millis(ms))), "{text}");
        }
        assert_eq!(span("250us"), Ok(Some(Duration::from_micros(250))));
        assert_eq!(span("infinity"), Ok(None));
        for text in ["", "s", "5x", "-1", "1..2", "soon", "5s,"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert_eq!(span_in("7", 1e-6), Ok(Some(Duration::from_micros(7))));
    }

    #[test]
    fn sizes() {
        for (text, n) in [("0", 0), ("1K", 1024), ("2M", 2 << 20), ("3GB", 3 << 30), ("1T", 1 << 40)] {
            assert_eq!(size(text), Ok(Some(n)), "{text}");
        }
        assert_eq!(size("infinity"), Ok(None));
        assert_eq!(size("1.5G"), Ok(Some(3 << 29)));
        assert_eq!(size("0.1K"), Ok(Some(102)));
        for text in ["", "K", "1k", "x", "-1", "1.G", ".5G", "1.-5G", "1.5.5G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
