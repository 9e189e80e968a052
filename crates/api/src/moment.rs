//! Points in time, as people write and read them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use supers_core::time::Wall;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The one that `TZ` names, else the machine's.
    pub fn of(name: Option<&str>) -> Zone {
        let named = name.and_then(|name| TimeZone::get(name.trim_start_matches(':')).ok());
        Zone(named.unwrap_or_else(TimeZone::system))
    }

    /// `2026-11-21 12:22:05`; empty for a time that no calendar has.
    pub fn show(&self, at: Wall) -> String {
        let Ok(at) = Timestamp::from_second(at.secs()) else { return String::new() };
        at.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Understands `90s`, `10m`, `2h`, `3d` (ago), `10:30` and `10:30:05` (today), `2026-11-21` with or without a
    /// time, and Unix seconds.
    ///
    /// # Errors
    /// What would be understood.
    pub fn parse(&self, text: &str, now: Wall) -> Result<Wall, String> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(Wall(seconds.saturating_mul(1000)));
        }
        let ago = ago(text).map(|ms| Wall(now.0.saturating_sub(ms)));
        ago.or_else(|| self.civil(text, now)).ok_or_else(|| {
            format!("{text:?} is no time; say 10m, 2h, 3d (ago), 10:30, 2026-11-21 or '2026-11-21 10:30'")
        })
    }

    fn civil(&self, text: &str, now: Wall) -> Option<Wall> {
        let today = || {
            let now = Timestamp::from_second(now.secs()).ok()?;
            Some(now.to_zoned(self.0.clone()).date())
        };
        let (date, time) = match text.split_once([' ', 'T']) {
            Some((date, time)) => (date.parse::<Date>().ok()?, time_of(time)?),
            None if text.contains(':') => (today()?, time_of(text)?),
            None => (text.parse::<Date>().ok()?, Time::midnight()),
        };
        let zoned: Zoned = DateTime::from_parts(date, time).to_zoned(self.0.clone()).ok()?;
        Some(Wall(zoned.timestamp().as_millisecond()))
    }
}

fn time_of(text: &str) -> Option<Time> {
    let whole = if text.matches(':').count() == 1 { format!("{text}:00") } else { text.to_string() };
    whole.trim().parse().ok()
}

/// Milliseconds.
fn ago(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number: i64 = text.strip_suffix(unit)?.trim().parse().ok().filter(|n| *n >= 0)?;
    number.checked_mul(seconds)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_people_write() {
        let zone = Zone::of(Some("UTC"));
        let now = Wall(1_795_263_725_000);
        assert_eq!(zone.show(now), "2026-11-21 12:22:05");
        for (text, want) in [
            ("10m", "2026-11-21 12:12:05"),
            ("0s", "2026-11-21 12:22:05"),
            ("3d", "2026-11-18 12:22:05"),
            ("10:30", "2026-11-21 10:30:00"),
            ("10:30:07", "2026-11-21 10:30:07"),
            ("2026-11-20", "2026-11-20 00:00:00"),
            ("2026-11-20 23:59", "2026-11-20 23:59:00"),
            ("2026-11-20T23:59:01", "2026-11-20 23:59:01"),
            ("0", "1970-01-01 00:00:00"),
        ] {
            assert_eq!(zone.parse(text, now).map(|at| zone.show(at)).as_deref(), Ok(want), "{text}");
        }
        for bad in ["", "m", "-5m", "ten", "25:00", "2026-13-01", "99999999999999d", "10:30 pm", "1.5h"] {
            assert!(zone.parse(bad, now).is_err(), "{bad}");
        }
        assert_eq!(zone.show(Wall(i64::MAX)), "");
    }
}
