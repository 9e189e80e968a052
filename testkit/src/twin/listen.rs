//! A listener that writes down what it is sent: `twin listen FILE [--hello TEXT] [--reply TEXT]...`
//!
//! A reply is sent for each event in turn, the last one again and again; `\n` in it is a line end. Two replies
//! are deeds: `die` ends the listener with 3, `hang` never answers. After a reply with RESULT it says hello again.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};

/// Ends each record in the file.
pub(crate) const END: char = '\u{1e}';

struct Orders {
    file: String,
    hello: String,
    replies: Vec<String>,
}

/// Plays the listener until its input ends; the exit code.
pub fn run(args: &[String]) -> u8 {
    match orders(args).and_then(|o| obey(&o).map_err(|e| e.to_string())) {
        Ok(code) => code,
        Err(text) => {
            eprintln!("listener: {text}");
            64
        }
    }
}

fn orders(args: &[String]) -> Result<Orders, String> {
    let (file, rest) = args.split_first().ok_or("a file is missing")?;
    let mut orders = Orders { file: file.clone(), hello: "READY\n".into(), replies: Vec::new() };
    for pair in rest.chunks(2) {
        let [key, value] = pair else { return Err(format!("{pair:?} lacks its value")) };
        let value = value.replace("\\n", "\n");
        match key.as_str() {
            "--hello" => orders.hello = value,
            "--reply" => orders.replies.push(value),
            other => return Err(format!("{other} is not known")),
        }
    }
    if orders.replies.is_empty() {
        orders.replies.push("RESULT 2\nOK".into());
    }
    Ok(orders)
}

fn obey(orders: &Orders) -> io::Result<u8> {
    let mut file = OpenOptions::new().create(true).append(true).open(&orders.file)?;
    say(&orders.hello)?;
    let mut input = io::stdin().lock();
    for number in 0.. {
        let Some((header, payload)) = event(&mut input)? else { return Ok(0) };
        file.write_all(format!("{header}\n{payload}{END}").as_bytes())?;
        let reply = orders.replies.get(number).or(orders.replies.last()).map_or("", String::as_str);
        match reply {
            "die" => return Ok(3),
            "hang" => {
                // Until the daemon goes away.
                io::copy(&mut input, &mut io::sink())?;
                return Ok(0);
            }
            text => {
                say(text)?;
                if text.starts_with("RESULT") {
                    say(&orders.hello)?;
                }
            }
        }
    }
    Ok(0)
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The header without its line end, and as many characters as it names.
fn event(input: &mut impl Read) -> io::Result<Option<(String, String)>> {
    let mut header = Vec::new();
    let mut byte = [0];
    loop {
        if input.read(&mut byte)? == 0 {
            return Ok(None);
        }
        if byte == *b"\n" {
            break;
        }
        header.push(byte[0]);
    }
    let header = String::from_utf8_lossy(&header).into_owned();
    let length = header.rsplit_once("len:").and_then(|(_, n)| n.trim().parse().ok()).unwrap_or(0);
    let mut payload = Vec::new();
    let mut characters = 0;
    // A character is counted at its first byte; its others follow before the next one is counted.
    while characters < length || needs_more(&payload) {
        if input.read(&mut byte)? == 0 {
            break;
        }
        characters += usize::from(byte[0] & 0xc0 != 0x80);
        payload.push(byte[0]);
    }
    Ok(Some((header, String::from_utf8_lossy(&payload).into_owned())))
}

/// The text ends inside a character.
fn needs_more(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        let mut input = "ver:3.0 len:3\näö!ver:3.0 len:0\n".as_bytes();
        assert_eq!(event(&mut input).unwrap(), Some(("ver:3.0 len:3".into(), "äö!".into())));
        assert_eq!(event(&mut input).unwrap(), Some(("ver:3.0 len:0".into(), String::new())));
        assert_eq!(event(&mut input).unwrap(), None);
    }
}
