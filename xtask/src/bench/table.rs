//! Results, and how they are printed.

/// What a measure aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    /// superd / the other at most this.
    RatioAtMost(f64),
    /// superd / the other at least this.
    RatioAtLeast(f64),
    /// The other is at least this many times as large: so much quicker or smaller is superd.
    TimesLess(f64),
    /// The value itself at most this.
    AtMost(f64),
    /// Shown for comparison only.
    Nothing,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    what: String,
    value: f64,
    other: Option<f64>,
    unit: &'static str,
    aim: Aim,
    failed: Option<String>,
}

impl Row {
    pub(super) fn new(
        what: impl Into<String>,
        value: f64,
        other: Option<f64>,
        unit: &'static str,
        aim: Aim,
    ) -> Row {
        Row { what: what.into(), value, other, unit, aim, failed: None }
    }

    /// A measure that could not be made.
    pub(super) fn failed(what: &str, why: &str) -> Row {
        let failed = Some(why.lines().next().unwrap_or_default().replace('|', "/"));
        Row { what: what.into(), value: f64::NAN, other: None, unit: "", aim: Aim::Nothing, failed }
    }

    fn ratio(&self) -> Option<f64> {
        self.other.filter(|o| *o > 0.0).map(|o| self.value / o)
    }

    fn shown_ratio(&self) -> String {
        let Some(ratio) = self.ratio() else { return String::new() };
        match self.aim {
            Aim::TimesLess(_) => format!("1/{}", short(1.0 / ratio)),
            Aim::RatioAtMost(_) | Aim::RatioAtLeast(_) | Aim::AtMost(_) | Aim::Nothing => {
                format!("{ratio:.2}x")
            }
        }
    }

    fn word(&self) -> &'static str {
        let ok = match self.aim {
            Aim::Nothing => return "",
            Aim::AtMost(most) => self.value <= most,
            Aim::RatioAtMost(most) => self.ratio().is_some_and(|r| r <= most),
            Aim::RatioAtLeast(least) => self.ratio().is_some_and(|r| r >= least),
            Aim::TimesLess(least) => self.ratio().is_some_and(|r| r * least <= 1.0),
        };
        if ok { "pass" } else { "fail" }
    }

    fn cells(&self) -> [String; 6] {
        if let Some(why) = &self.failed {
            return [
                self.what.clone(),
                format!("not measured: {why}"),
                String::new(),
                String::new(),
                String::new(),
                "fail".into(),
            ];
        }
        let number = |n: f64| format!("{} {}", short(n), self.unit).trim_end().to_string();
        let aim = match self.aim {
            Aim::Nothing => String::new(),
            Aim::AtMost(most) => format!("<= {}", number(most)),
            Aim::RatioAtMost(most) => format!("<= {}x", short(most)),
            Aim::RatioAtLeast(least) => format!(">= {}x", short(least)),
            Aim::TimesLess(least) => format!("<= 1/{}", short(least)),
        };
        [
            self.what.clone(),
            number(self.value),
            self.other.map(number).unwrap_or_default(),
            self.shown_ratio(),
            aim,
            self.word().into(),
        ]
    }
}

/// Three digits that matter, no more.
fn short(n: f64) -> String {
    match n.abs() {
        a if a >= 100.0 || n.fract() == 0.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("| measure | superd | beside | ratio | aim | |\n|---|---|---|---|---|---|\n");
    for row in rows {
        text += &format!("| {} |\n", row.cells().join(" | "));
    }
    text
}

/// The value in the middle; 0 of nothing.
pub(super) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of the others lies.
pub(super) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(((last as f64) * part).round() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let rows = [
            Row::new("restart", 130.0, Some(100.0), "us", Aim::RatioAtMost(1.3)),
            Row::new("storm", 60.0, Some(100.0), "/s", Aim::RatioAtLeast(0.7)),
            Row::new("life", 5.0, Some(1000.0), "ms", Aim::TimesLess(150.0)),
            Row::new("memory", 3.456, None, "MB", Aim::AtMost(4.0)),
            Row::failed("log", "no | file\nmore"),
        ];
        let text = markdown(&rows);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| restart | 130 us | 100 us | 1.30x | <= 1.30x | pass |",
                "| storm | 60 /s | 100 /s | 0.60x | >= 0.70x | fail |",
                "| life | 5 ms | 1000 ms | 1/200 | <= 1/150 | pass |",
                "| memory | 3.46 MB |  |  | <= 4 MB | pass |",
                "| log | not measured: no / file |  |  |  | fail |",
            ]
        );
    }

    #[test]
    fn the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 1.0), 3.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
