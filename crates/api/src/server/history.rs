//! `GET /api/v1/history`, `/programs/NAME/history` and `/programs/NAME/why`.

use crate::moment::Zone;
use crate::problem::Detail;
use crate::select::{is_pattern, select, unknown};
use crate::wire::json;
use serde::Serialize;
use supers_core::history::{Page, Query, why};
use supers_core::inside::Inside;
use supers_core::snapshot::ProgramView;
use supers_core::time::Wall;

/// Entries that are given when the request does not say.
const DEFAULT: usize = 200;
/// Entries that are given at most.
const MOST: usize = 20_000;
/// Entries that a story is made from.
const STORY: usize = 1000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// A name or pattern; everything when there is none.
    pub(super) name: Option<String>,
    limit: usize,
    since: Option<Wall>,
}

impl Wanted {
    /// `since` in Unix seconds.
    pub(super) fn new(name: Option<&str>, limit: Option<u64>, since: Option<u64>) -> Wanted {
        let limit = limit.map_or(DEFAULT, |n| usize::try_from(n).unwrap_or(MOST).min(MOST));
        let since = since.map(|s| Wall(i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1000)));
        Wanted { name: name.map(Into::into), limit, since }
    }
}

/// A page of entries.
pub(super) async fn history(inside: &dyn Inside, wanted: Wanted) -> Result<Vec<u8>, Detail> {
    let Wanted { name, limit, since } = wanted;
    let all = |units| Query { units, limit, since };
    let Some(name) = name.filter(|name| name != "all") else {
        return Ok(json(&inside.history(all(None)).await?));
    };
    let programs = inside.status().await?.programs;
    let found = select(&programs, &name);
    if !found.is_empty() {
        let units = found.into_iter().map(|p| p.full_name().into_owned()).collect();
        return Ok(json(&inside.history(all(Some(units))).await?));
    }
    // One that is not configured any more still has its past.
    let bare = name.strip_suffix(".service").unwrap_or(&name);
    let page = inside.history(all(Some(vec![bare.to_owned()]))).await?;
    if page.entries.iter().any(|e| e.unit.as_deref() == Some(bare)) {
        return Ok(json(&page));
    }
    Err(unknown(&programs, &name).into())
}

/// A story with the name of whom it is about.
#[derive(Serialize)]
struct Told {
    name: String,
    lines: Vec<String>,
    next: String,
}

/// Why a program is as it is; a list for a pattern.
pub(super) async fn reasons(inside: &dyn Inside, name: &str) -> Result<Vec<u8>, Detail> {
    let programs = inside.status().await?.programs;
    let found = select(&programs, name);
    let mut told = Vec::new();
    for program in &found {
        told.push(reason(inside, program).await?);
    }
    match told.as_slice() {
        [] => Err(unknown(&programs, name).into()),
        [one] if !is_pattern(name) => Ok(json(one)),
        several => Ok(json(&several)),
    }
}

async fn reason(inside: &dyn Inside, program: &ProgramView<'_>) -> Result<Told, Detail> {
    let name = program.full_name().into_owned();
    let query = Query { units: Some(vec![name.clone()]), limit: STORY, since: None };
    let Page { entries, .. } = inside.history(query).await?;
    let zone = Zone::of(None);
    let story = why(&entries, program, &|at| zone.show(at));
    Ok(Told { name, lines: story.lines, next: story.next })
}
