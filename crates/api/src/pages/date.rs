//! Times for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use supers_core::time::Wall;

/// `Sat Nov  7 09:05:00 2026`, in the machine's time zone.
pub(crate) fn full(at: Wall) -> String {
    local(at, &TimeZone::system(), "%a %b %e %H:%M:%S %Y")
}

/// `Nov 07 09:05 AM`, in the machine's time zone.
pub(crate) fn short(at: Wall, zone: &TimeZone) -> String {
    local(at, zone, "%b %d %I:%M %p")
}

/// `Sat, 07 Nov 2026 09:05:00 GMT`
pub(crate) fn http(at: Wall) -> String {
    local(at, &TimeZone::UTC, "%a, %d %b %Y %H:%M:%S GMT")
}

/// Empty for a time that no calendar has.
fn local(at: Wall, zone: &TimeZone, format: &str) -> String {
    let Ok(at) = Timestamp::from_second(at.secs()) else { return String::new() };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, full, short, http) in [
            (0, "Thu Jan  1 00:00:00 1970", "Jan 01 12:00 AM", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_795_263_725, "Sat Nov 21 12:22:05 2026", "Nov 21 12:22 PM", "Sat, 21 Nov 2026 12:22:05 GMT"),
            (951_868_740, "Tue Feb 29 23:59:00 2000", "Feb 29 11:59 PM", "Tue, 29 Feb 2000 23:59:00 GMT"),
        ] {
            let at = Wall(seconds * 1000);
            assert_eq!(local(at, &TimeZone::UTC, "%a %b %e %H:%M:%S %Y"), full);
            assert_eq!((super::short(at, &TimeZone::UTC).as_str(), super::http(at).as_str()), (short, http));
        }
    }
}
