//! A status as it came, read where it lies: whole as one document, or brief as lines.

use super::{read, read_text};
use bytes::Bytes;
use std::borrow::Cow;
use supers_core::control::{Refusal, Status};
use supers_core::snapshot::{DaemonView, ProgramView};

/// A status as it came. A brief one has only what a table shows: a line about the daemon, then one for each program.
pub struct Picture(pub(super) Bytes);

impl Picture {
    /// Its texts lie in the answer itself.
    ///
    /// # Errors
    /// The answer is not one.
    pub fn read(&self) -> Result<Status<'_>, Refusal> {
        if self.is_whole() {
            return read(&self.0);
        }
        let mut programs = Vec::new();
        let daemon = self.each(&mut |program| programs.push(program.clone()))?;
        Ok(Status { daemon, programs })
    }

    /// The same without a list: each program is given to `each`, because a list of a thousand takes longer to fill
    /// than to read.
    ///
    /// # Errors
    /// The answer is not one; by then some programs may have been given.
    // Within its caller it would be built for size, as that is.
    #[inline(never)]
    pub fn each<'a>(&'a self, each: &mut dyn FnMut(&ProgramView<'a>)) -> Result<DaemonView, Refusal> {
        if self.is_whole() {
            let Status { daemon, programs } = read(&self.0)?;
            programs.iter().for_each(each);
            return Ok(daemon);
        }
        let text = read_text(&self.0)?;
        let (daemon, mut rest) = text.split_once('\n').unwrap_or((text, ""));
        while !rest.is_empty() {
            if let Some((program, after)) = plain(rest) {
                each(&program);
                rest = after;
            } else {
                let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
                each(&read(line.as_bytes())?);
                rest = after;
            }
        }
        read(daemon.as_bytes())
    }

    /// One document, which is what a daemon before the lines answers to either question.
    fn is_whole(&self) -> bool {
        self.0.starts_with(b"{\"daemon\":")
    }

    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// What nearly all lines are, `["web","web","RUNNING",41,5]`, is read in a fifth of the time that JSON takes, and what
/// follows. Any other line is left to that.
fn plain(text: &str) -> Option<(ProgramView<'_>, &str)> {
    let mut rest = skip(text, b'[')?;
    let mut program = ProgramView { name: string(&mut rest)?, ..ProgramView::default() };
    rest = skip(rest, b',')?;
    program.group = string(&mut rest)?;
    rest = skip(rest, b',')?;
    program.state = string(&mut rest)?;
    if let Some(after) = skip(rest, b',') {
        rest = after;
        program.pid = number(&mut rest)?.try_into().ok()?;
    }
    if let Some(after) = skip(rest, b',') {
        rest = after;
        program.uptime_s = number(&mut rest)?.into();
    }
    if let Some(after) = skip(rest, b',') {
        rest = after;
        program.restarts = number(&mut rest)?;
    }
    Some((program, skip(skip(rest, b']')?, b'\n')?))
}

/// What is behind this character of ASCII.
fn skip(text: &str, byte: u8) -> Option<&str> {
    if text.as_bytes().first() == Some(&byte) { text.get(1..) } else { None }
}

/// A string without escapes.
fn string<'a>(rest: &mut &'a str) -> Option<Cow<'a, str>> {
    let inner = skip(rest, b'"')?;
    let end = inner.bytes().position(|b| matches!(b, b'"' | b'\\' | ..b' '))?;
    *rest = skip(inner.get(end..)?, b'"')?;
    inner.get(..end).map(Cow::Borrowed)
}

/// Digits as JSON wants them: no zero before others.
fn number(rest: &mut &str) -> Option<u32> {
    let (mut number, mut length) = (0_u32, 0);
    for digit in rest.bytes().take_while(u8::is_ascii_digit) {
        number = number.checked_mul(10)?.checked_add((digit - b'0').into())?;
        length += 1;
    }
    let padded = length > 1 && rest.starts_with('0');
    *rest = rest.get(length..)?;
    (length > 0 && !padded).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;
    use proptest::prelude::*;

    fn picture(text: &str) -> Picture {
        Picture(Bytes::from(text.to_owned()))
    }

    #[test]
    fn lines_one_by_one_and_at_once() {
        let picture = picture(
            "{\"pid\":7,\"later\":1}\n[\"a\",\"b\",\"RUNNING\",5]\n[\"\\u00e4\",\"c\",\"FATAL\",0,0,1,-9,\"r\",\"h\"]\n{\"name\":\"x\"}\n",
        );
        let status = picture.read().unwrap();
        let mut names = Vec::new();
        let daemon = picture.each(&mut |p| names.push((p.full_name().into_owned(), p.pid, p.exit))).unwrap();
        assert_eq!((daemon.pid, &daemon), (7, &status.daemon));
        let wanted = [("b:a", 5, None), ("c:ä", 0, Some(-9)), (":x", 0, None)];
        assert_eq!(names, wanted.map(|(name, pid, exit)| (name.to_string(), pid, exit)));
        assert_eq!(status.programs.len(), 3);
        assert_eq!(self::picture("{}\n").read().unwrap().programs.len(), 0);
        for bad in ["", "5", "{}\n[", "{}\n[\"a\"]x\n", "{}\n5\n", "{}\n[\"a\",\"b\",\"c\",05]\n"] {
            assert!(self::picture(bad).read().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_whole_document() {
        let whole = picture(r#"{"daemon":{"pid":7},"programs":[{"name":"a","group":"a"},{"name":"b"}]}"#);
        let mut names = Vec::new();
        let daemon = whole.each(&mut |p| names.push(p.name.to_string())).unwrap();
        assert_eq!(
            (daemon.pid, names, whole.read().unwrap().programs.len()),
            (7, vec!["a".into(), "b".into()], 2)
        );
    }

    proptest! {
        /// The short way leads where JSON leads.
        #[test]
        fn plain_lines(
            name in "[a-z,\"\\\\\\[\\]ä\t]{0,4}",
            group in "[a-z]{0,2}",
            pid in 0..i32::MAX,
            up in prop_oneof![any::<u64>(), 0..100_000_u64],
            restarts in any::<u32>(),
            length in 1..7_usize,
        ) {
            let whole = json(&(&name, &group, "RUNNING", pid, up, restarts));
            let whole: Vec<serde_json::Value> = serde_json::from_slice(&whole).unwrap();
            let line = serde_json::to_string(&whole[..length]).unwrap();
            let read: ProgramView<'_> = serde_json::from_str(&line).unwrap();
            match plain(&format!("{line}\nrest")) {
                Some((program, after)) => prop_assert_eq!((program, after), (read, "rest")),
                None => prop_assert!(length < 3 || name.contains([',', '"', '\\', '\t']) || up > u64::from(u32::MAX)),
            }
        }
    }
}
