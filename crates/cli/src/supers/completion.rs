//! `supers completion`: scripts for shells. The words come from the hidden `supers __complete`, so a
//! script never grows old.

use super::Context;
use super::exit::{Exit, Failure};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Print a script that completes commands and live program names
///
/// bash: source <(supers completion bash). zsh: the same with zsh, after compinit. fish: supers
/// completion fish | source.
#[derive(Args)]
pub(super) struct Completion {
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// A colon is a word break for bash, so the line is split here and the part before the last colon is
/// taken off the answers.
const BASH: &str = r#"_supers() {
    local line=${COMP_LINE:0:COMP_POINT} words cur i
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    cur=${words[${#words[@]}-1]}
    mapfile -t COMPREPLY < <(supers __complete -- "${words[@]:1}" 2>/dev/null)
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"${cur%"${cur##*:}"}"}; done
    fi
}
complete -o default -F _supers supers
"#;

const ZSH: &str = r#"#compdef supers
_supers() {
    local -a found
    found=(${(f)"$(supers __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -Q -- "${found[@]}"; else _files; fi
}
compdef _supers supers
"#;

const FISH: &str = r#"function __supers_words
    set -l words (commandline -opc) (commandline -ct)
    supers __complete -- $words[2..-1] 2>/dev/null
end
complete -c supers -f -a '(__supers_words)'
"#;

#[derive(Serialize)]
struct Script {
    script: &'static str,
}

impl Completion {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let script = match self.shell {
            Shell::Bash => BASH,
            Shell::Zsh => ZSH,
            Shell::Fish => FISH,
        };
        if context.globals.json {
            context.print_json(&Script { script })?
        } else {
            context.print(script)?
        }
        Ok(Exit::Done)
    }
}
