//! Clocks. Only the engine's own clock module and the keeper call these.

/// Where local time comes from: the date and time of day of a moment, in the machine's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LocalTime {
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub min: u8,
    /// 0 to 60.
    pub sec: u8,
}

/// Nanoseconds of the monotonic clock.
pub fn monotonic_ns() -> u64 {
    let t = read(libc::CLOCK_MONOTONIC);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// Milliseconds since the Unix epoch.
pub fn wall_ms() -> i64 {
    let t = read(libc::CLOCK_REALTIME);
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the answer. The call cannot fail for these two clocks.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t
}

/// A moment (milliseconds since the epoch) on the wall clock of the machine's time zone.
pub fn local_time(wall_ms: i64) -> LocalTime {
    let seconds: libc::time_t = wall_ms.div_euclid(1000);
    // SAFETY: `tm` is plain data; all zeros is a valid value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call. On failure `tm` stays as it is.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) };
    let small = |n: i32| u8::try_from(n).unwrap_or(0);
    LocalTime {
        year: tm.tm_year + 1900,
        month: small(tm.tm_mon + 1),
        day: small(tm.tm_mday),
        hour: small(tm.tm_hour),
        min: small(tm.tm_min),
        sec: small(tm.tm_sec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward_and_agree_on_the_century() {
        let (a, b) = (monotonic_ns(), monotonic_ns());
        assert!(a > 0 && b >= a);
        let now = local_time(wall_ms());
        assert!((2024..2200).contains(&now.year) && (1..=12).contains(&now.month), "{now:?}");
    }

    #[test]
    fn moments_before_the_epoch_round_down() {
        let (a, b) = (local_time(-1), local_time(-1000));
        assert_eq!(a, b);
    }
}
