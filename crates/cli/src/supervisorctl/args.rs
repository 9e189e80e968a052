//! The command line, as getopt reads it: options first, long names by unique prefix.

/// What the options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `-c`; an empty name counts as none.
    pub(super) configuration: Option<String>,
    /// `-h`
    pub(super) help: bool,
    /// `-i`
    pub(super) interactive: bool,
    /// `-s`
    pub(super) serverurl: Option<String>,
    /// `-u`
    pub(super) username: Option<String>,
    /// `-p`
    pub(super) password: Option<String>,
    /// `-r`
    pub(super) history_file: Option<String>,
    /// The action and its arguments.
    pub(super) words: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Configuration,
    Help,
    Interactive,
    ServerUrl,
    Username,
    Password,
    History,
}

impl Flag {
    fn takes_value(self) -> bool {
        !matches!(self, Flag::Help | Flag::Interactive)
    }
}

/// Short and long names. The help text says `history-file`, the ancestor accepts only `history_file`.
const NAMES: [(&str, &[&str], Flag); 7] = [
    ("c", &["configuration"], Flag::Configuration),
    ("h?", &["help"], Flag::Help),
    ("i", &["interactive"], Flag::Interactive),
    ("s", &["serverurl"], Flag::ServerUrl),
    ("u", &["username"], Flag::Username),
    ("p", &["password"], Flag::Password),
    ("r", &["history_file", "history-file"], Flag::History),
];

/// One option as it was written.
struct Given {
    option: Flag,
    /// `-c` or `--configuration`.
    name: String,
    value: String,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// The text after `Error: `.
pub(super) fn parse(args: &[String]) -> Result<Options, String> {
    let (given, words) = split(args)?;
    let mut options = Options { words, ..Options::default() };
    let mut seen = Vec::new();
    for Given { option, name, value } in given {
        if seen.contains(&option) {
            return Err(format!("conflicting command line option '{name}'"));
        }
        seen.push(option);
        match option {
            Flag::Help => {
                options.help = true;
                return Ok(options);
            }
            Flag::Interactive => options.interactive = true,
            Flag::Configuration => options.configuration = Some(value).filter(|v| !v.is_empty()),
            Flag::ServerUrl if !looks_like_url(&value) => {
                return Err(format!("invalid value for {name} '{value}': value '{value}' is not a URL"));
            }
            Flag::ServerUrl => options.serverurl = Some(value),
            Flag::Username => options.username = Some(value),
            Flag::Password => options.password = Some(value),
            Flag::History => options.history_file = Some(value),
        }
    }
    Ok(options)
}

/// Options and the words that follow them.
fn split(args: &[String]) -> Result<(Vec<Given>, Vec<String>), String> {
    let mut given = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.as_slice().first().filter(|a| a.starts_with('-') && *a != "-") {
        rest.next();
        if arg == "--" {
            break;
        }
        if let Some(long) = arg.strip_prefix("--") {
            given.push(long_option(long, &mut rest)?);
        } else {
            short_options(arg, &mut rest, &mut given)?;
        }
    }
    Ok((given, rest.cloned().collect()))
}

fn long_option(text: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<Given, String> {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_string())),
        None => (text, None),
    };
    let mut found: Vec<(&str, Flag)> = Vec::new();
    for (_, longs, option) in NAMES {
        let hit = longs.iter().find(|l| l.starts_with(name));
        if longs.contains(&name) {
            found = vec![(name, option)];
            break;
        }
        found.extend(hit.map(|long| (*long, option)));
    }
    let (full, option) = match found.as_slice() {
        [one] => *one,
        [] => return Err(format!("option --{name} not recognized")),
        [_, _, ..] => return Err(format!("option --{name} not a unique prefix")),
    };
    let value = match (option.takes_value(), attached) {
        (false, Some(_)) => return Err(format!("option --{full} must not have an argument")),
        (false, None) => String::new(),
        (true, Some(value)) => value,
        (true, None) => rest.next().cloned().ok_or_else(|| format!("option --{full} requires argument"))?,
    };
    Ok(Given { option, name: format!("--{full}"), value })
}

fn short_options(
    arg: &str,
    rest: &mut std::slice::Iter<'_, String>,
    given: &mut Vec<Given>,
) -> Result<(), String> {
    let mut letters = arg.chars();
    letters.next();
    while let Some(letter) = letters.next() {
        let known = NAMES.iter().find(|n| n.0.contains(letter));
        let Some((_, _, option)) = known else { return Err(format!("option -{letter} not recognized")) };
        let name = format!("-{letter}");
        if !option.takes_value() {
            given.push(Given { option: *option, name, value: String::new() });
            continue;
        }
        let value = match letters.as_str() {
            "" => rest.next().cloned().ok_or_else(|| format!("option -{letter} requires argument"))?,
            attached => attached.to_string(),
        };
        given.push(Given { option: *option, name, value });
        break;
    }
    Ok(())
}

/// A scheme and anything after it. Which schemes can be used is found out when it is.
fn looks_like_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    named && !rest.strip_prefix("//").unwrap_or(rest).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        parse(&words.iter().map(|w| (*w).to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn options_end_at_the_first_word() {
        let got =
            parsed(&["-ic", "f", "--serv=http://h:1", "-uU", "--pass", "P", "tail", "-f", "x"]).unwrap();
        let want = Options {
            configuration: Some("f".into()),
            interactive: true,
            serverurl: Some("http://h:1".into()),
            username: Some("U".into()),
            password: Some("P".into()),
            words: ["tail", "-f", "x"].map(String::from).to_vec(),
            ..Options::default()
        };
        assert_eq!(got, want);
        assert_eq!(parsed(&["--", "-x"]).unwrap().words, ["-x"]);
        assert_eq!(parsed(&["--hist", "a"]).unwrap().history_file.as_deref(), Some("a"));
        assert_eq!(parsed(&["--history-file=a"]).unwrap().history_file.as_deref(), Some("a"));
        assert!(parsed(&["-?"]).unwrap().help);
        assert_eq!(parsed(&["-c", ""]).unwrap().configuration, None);
    }

    #[test]
    fn mistakes() {
        let error = |words: &[&str]| parsed(words).unwrap_err();
        assert_eq!(error(&["-z"]), "option -z not recognized");
        assert_eq!(error(&["--foo"]), "option --foo not recognized");
        assert_eq!(error(&["--h"]), "option --h not a unique prefix");
        assert_eq!(error(&["-c"]), "option -c requires argument");
        assert_eq!(error(&["--server"]), "option --serverurl requires argument");
        assert_eq!(error(&["--int=3"]), "option --interactive must not have an argument");
        assert_eq!(error(&["-u", "a", "-u", "b"]), "conflicting command line option '-u'");
        assert_eq!(error(&["-s", "foo"]), "invalid value for -s 'foo': value 'foo' is not a URL");
        assert_eq!(error(&["-s", "http://"]), "invalid value for -s 'http://': value 'http://' is not a URL");
        assert_eq!(error(&["-h", "--nope"]), "option --nope not recognized");
    }
}
