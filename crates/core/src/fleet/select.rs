//! Names people type, resolved to units.

use super::Fleet;
use crate::ids::UnitId;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Resolves `names` (`web`, `web.service`, `group:web`, `group:*`, `group:`, globs, `all`) to units,
/// each once, in the order named. `Err` is the first name that means nothing.
pub fn select(fleet: &Fleet, names: &[String]) -> Result<Vec<UnitId>, String> {
    let mut ids: Vec<UnitId> = Vec::new();
    for name in names {
        let found = one(fleet, name);
        // An empty fleet has all of its zero units.
        if found.is_empty() && name != "all" {
            return Err(name.clone());
        }
        for id in found {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

fn one(fleet: &Fleet, name: &str) -> Vec<UnitId> {
    if let Some(id) = fleet.find(name) {
        return alloc::vec![id];
    }
    if name == "all" {
        return fleet.iter().map(|(id, _)| id).collect();
    }
    let bare = name.strip_suffix(".service").unwrap_or(name);
    if let Some(id) = fleet.find(bare) {
        return alloc::vec![id];
    }
    let all = |wanted: &dyn Fn(&crate::spec::Spec) -> bool| -> Vec<UnitId> {
        fleet.iter().filter(|(_, s)| wanted(&s.spec)).map(|(id, _)| id).collect()
    };
    if let Some(group) = bare.strip_suffix(":*").or(bare.strip_suffix(':')) {
        return all(&|s| s.group == group);
    }
    if bare.contains(['*', '?', '[']) {
        return all(&|s| glob(bare, &s.full_name()) || glob(bare, &s.name));
    }
    // A slot inside a group, a program of several slots, or a group, by its bare name.
    let by_name = all(&|s| s.name == bare);
    if by_name.len() == 1 {
        return by_name;
    }
    let by_program = all(&|s| s.program == bare);
    if by_program.is_empty() { all(&|s| s.group == bare) } else { by_program }
}

/// Shell-like matching: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`.
pub fn glob(pattern: &str, text: &str) -> bool {
    let p: Vec<char> = pattern.chars().collect();
    let t: Vec<char> = text.chars().collect();
    let (mut pi, mut ti) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while ti < t.len() {
        if p.get(pi) == Some(&'*') {
            star = Some((pi, ti));
            pi += 1;
        } else if let Some(next) = p.get(pi).and_then(|_| match_one(&p, pi, t[ti])) {
            pi = next;
            ti += 1;
        } else if let Some((sp, st)) = star {
            // Let the last star take one more.
            (pi, ti) = (sp, st + 1);
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|c| *c == '*')
}

/// Matches one character at `pi`; the position after what was used of the pattern.
fn match_one(p: &[char], pi: usize, c: char) -> Option<usize> {
    match p[pi] {
        '?' => Some(pi + 1),
        '[' => match p[pi + 1..].iter().skip(1).position(|x| *x == ']') {
            None => (c == '[').then_some(pi + 1),
            Some(len) => {
                let set = &p[pi + 1..pi + 2 + len];
                class(set, c).then_some(pi + 3 + len)
            }
        },
        x => (x == c).then_some(pi + 1),
    }
}

fn class(set: &[char], c: char) -> bool {
    let (not, set) = match set {
        ['!' | '^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut hit = false;
    let mut i = 0;
    while i < set.len() {
        if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
            hit |= (set[i]..=set[i + 2]).contains(&c);
            i += 3;
        } else {
            hit |= set[i] == c;
            i += 1;
        }
    }
    hit != not
}

/// All full names, for a suggestion.
impl Fleet {
    /// Full names of all units.
    pub fn full_names(&self) -> Vec<String> {
        self.iter().map(|(_, s)| s.spec.full_name().to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs() {
        for (p, t, want) in [
            ("*", "", true),
            ("web*", "web_00", true),
            ("web*", "we", false),
            ("*_0?", "web_01", true),
            ("*_0?", "web_0", false),
            ("web_[0-3]", "web_2", true),
            ("web_[0-3]", "web_4", false),
            ("web_[!0-3]", "web_4", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            ("a*bc", "abbc", true),
            ("*ab", "aaab", true),
            ("*ab*", "aaab", true),
            ("*ab", "aaa", false),
            ("[a-]", "-", true),
            ("[a-]", "a", true),
            ("[a-]", "b", false),
            ("[-a]", "-", true),
            ("[xa-c]", "b", true),
            ("[xa-c]", "y", false),
            ("[xya-]", "-", true),
            ("[a-cx-z]", "y", true),
            ("[a-c-]", "-", true),
            ("[^a]", "a", false),
            ("[^a]", "b", true),
            ("[!]]", "]", false),
            ("[a]b", "ab", true),
            ("[a]b", "a", false),
            ("[", "[", true),
            ("[]]", "]", true),
            ("g:*", "g:a", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(p, t), want, "{p} {t}");
        }
    }
}
