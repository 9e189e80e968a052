//! The file and what it includes, each read by itself so that lines can be shown.

use super::view::{Source, View};
use crate::ini::lower::include_patterns;
use crate::ini::parse;
use crate::load::{Personality, Request};
use crate::source::{absolute, bytes_of, glob, read_text};
use std::path::Path;
use std::sync::Arc;

/// Reads everything; only a main file that cannot be read ends it.
pub(super) fn view(req: &Request<'_>, path: &Path) -> Result<View, String> {
    if path.extension().is_some_and(|e| e == "service") {
        return Err(format!(
            "{}: a unit file; only INI files are read by several supervisors",
            path.display()
        ));
    }
    let full = absolute(&req.cwd, path);
    let main = source(&full).map_err(|why| format!("{}: {why}", path.display()))?;
    let req = Request { personality: Personality::Superd, ..req.clone() };
    // What cannot be expanded is said by the loader.
    let patterns = include_patterns(&req, &main.doc).unwrap_or_default();
    let mut sources = vec![main];
    let is_ini = |p: &Path| p.extension().is_none_or(|e| e != "service");
    for (_, pattern) in patterns {
        for path in glob(&pattern).unwrap_or_default() {
            let known = sources.iter().any(|s| s.name == bytes_of(&path));
            if is_ini(&path) && !known {
                // The loader says what is wrong with an included file.
                sources.extend(source(&path).ok());
            }
        }
    }
    Ok(View::new(bytes_of(&full), sources))
}

fn source(path: &Path) -> Result<Source, String> {
    let text = read_text(path).map_err(|t| format!("the file {}", t.message))?;
    let name = bytes_of(path);
    let (doc, _) = parse::parse(&Arc::new(name.clone()), &text);
    Ok(Source { name, doc, lines: text.split('\n').map(str::to_string).collect() })
}
