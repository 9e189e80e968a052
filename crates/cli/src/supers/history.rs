//! `supers history`: the time line, from the daemon or, when there is none, from what it left on disk.

use super::exit::{Exit, Failure};
use super::term::{Tone, clean, columns};
use super::{Around, Context, reach};
use clap::Args;
use std::path::Path;
use supers_api::Remote;
use supers_api::moment::Zone;
use supers_core::control::Refusal;
use supers_core::fleet::glob;
use supers_core::history::{Deed, Entry, Page, Query, What};
use supers_core::time::Wall;
use supers_engine::history::Reader;

/// Show what happened to programs and who wanted it, also over crashes of superd
///
/// Without names: everything, with what concerns superd itself. When no superd runs, what the last one wrote is
/// shown.
#[derive(Args)]
pub(super) struct History {
    /// Programs, patterns, or all
    names: Vec<String>,
    /// The newest so many entries
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Nothing older than this: 10m, 2h, 3d (ago), 10:30, 2026-11-21, '2026-11-21 10:30'
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// The time zone for people.
pub(super) fn zone(around: &Around) -> Zone {
    Zone::of(around.var("TZ").as_deref())
}

impl History {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let zone = zone(context.around);
        let now = Wall(supers_os::clock::wall_ms());
        let since = self.since.as_ref().map(|text| zone.parse(text, now)).transpose();
        let since = since.map_err(Failure::Usage)?;
        let (page, exit) = match context.connect().await {
            Ok(remote) => self.ask(context, &remote, since).await?,
            Err(failure) => self.look(context, failure, since)?,
        };
        if page.skipped > 0 {
            let lines = super::plural(usize::try_from(page.skipped).unwrap_or(usize::MAX), "line");
            context.complain(&format!("note: {lines} of the history cannot be read"))?;
        }
        if page.dropped > 0 {
            context
                .complain(&format!("note: {} older entries were lost, the disk took none", page.dropped))?;
        }
        if context.globals.json {
            context.print_json(&page.entries)?;
        } else {
            let text = text(&page.entries, &zone, context);
            context.print(&text)?;
        }
        Ok(exit)
    }

    /// From the daemon.
    async fn ask(
        &self,
        context: &mut Context<'_>,
        remote: &Remote,
        since: Option<Wall>,
    ) -> Result<(Page, Exit), Failure> {
        let since = since.map(|at| u64::try_from(at.secs()).unwrap_or(0));
        if self.names.is_empty() {
            return Ok((remote.history(None, self.limit, since).await?, Exit::Done));
        }
        let mut all = Page::default();
        let mut exit = Exit::Done;
        for name in &self.names {
            match remote.history(Some(name), self.limit, since).await {
                Ok(page) => {
                    all.entries.extend(page.entries);
                    all.skipped = all.skipped.max(page.skipped);
                    all.dropped = page.dropped;
                }
                Err(refusal @ Refusal::UnknownName { .. }) => {
                    context.complain(&refusal.to_string())?;
                    exit = exit.max(Exit::UnknownName);
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok((merged(all, self.limit), exit))
    }

    /// From the files, when nobody answers and they can be read.
    fn look(
        &self,
        context: &mut Context<'_>,
        failure: Failure,
        since: Option<Wall>,
    ) -> Result<(Page, Exit), Failure> {
        let Failure::NoDaemon(_) = &failure else { return Err(failure) };
        let Some(places) = reach::way(&context.globals, context.around)?.places else { return Err(failure) };
        let all = Query { units: None, limit: usize::MAX, since };
        let page = match read(&places.state, &all) {
            Some(page) if !page.entries.is_empty() => page,
            Some(_) | None => return Err(failure),
        };
        let path = places.state.display();
        context.complain(&format!("no superd answers; this is what the last one wrote in {path}"))?;
        if self.names.is_empty() {
            return Ok((newest(page, self.limit), Exit::Done));
        }
        let mut exit = Exit::Done;
        let mut units: Vec<String> = Vec::new();
        for name in &self.names {
            let mut found: Vec<String> =
                page.entries.iter().filter_map(|e| e.unit.clone()).filter(|u| is_meant(name, u)).collect();
            if found.is_empty() {
                context.complain(&format!("the history knows no program {name:?}"))?;
                exit = exit.max(Exit::UnknownName);
            }
            units.append(&mut found);
        }
        units.sort();
        units.dedup();
        let query = Query { units: Some(units), limit: self.limit, since };
        let mut page = page;
        page.entries.retain(|e| query.wants(e));
        Ok((newest(page, self.limit), exit))
    }
}

fn read(dir: &Path, query: &Query) -> Option<Page> {
    Reader::of_files(dir).read(query).ok()
}

fn newest(mut page: Page, limit: usize) -> Page {
    page.entries.drain(..page.entries.len().saturating_sub(limit));
    page
}

/// The name as typed means this unit; groups and programs are not known without a configuration.
fn is_meant(typed: &str, unit: &str) -> bool {
    let bare = typed.strip_suffix(".service").unwrap_or(typed);
    let (group, name) = unit.split_once(':').unwrap_or((unit, unit));
    typed == "all"
        || [unit, name].contains(&bare)
        || bare.strip_suffix(":*").or(bare.strip_suffix(':')) == Some(group)
        || bare.contains(['*', '?', '[']) && (glob(bare, unit) || glob(bare, name))
}

/// One time line out of several; what concerns all is in each of them.
fn merged(mut page: Page, limit: usize) -> Page {
    page.entries.sort_by_key(|e| e.at);
    let mut seen: Vec<Entry> = Vec::with_capacity(page.entries.len());
    for entry in page.entries {
        let again = seen.iter().rev().take_while(|s| s.at == entry.at).any(|s| *s == entry);
        if !again {
            seen.push(entry);
        }
    }
    newest(Page { entries: seen, ..page }, limit)
}

fn text(entries: &[Entry], zone: &Zone, context: &Context<'_>) -> String {
    let style = context.style;
    let name = |e: &Entry| clean(e.unit.as_deref().unwrap_or("-")).into_owned();
    let width = entries.iter().map(|e| columns(&name(e))).max().unwrap_or(0);
    let mut text = String::new();
    for entry in entries {
        let at = zone.show(entry.at);
        let unit = name(entry);
        let gap = " ".repeat(width.saturating_sub(columns(&unit)));
        let what = entry.what.to_string();
        text += &format!(
            "{}  {unit}{gap}  {}\n",
            style.paint(Tone::Dim, &at),
            style.paint(tone(&entry.what), &clean(&what))
        );
        for line in entry.what.tail() {
            let indent = " ".repeat(at.len() + width + 4);
            text += &format!("{indent}{} {}\n", style.paint(Tone::Dim, "|"), clean(line));
        }
    }
    text
}

fn tone(what: &What) -> Tone {
    match what {
        What::Exited(death) if !death.expected => Tone::Bad,
        What::StartFailed { .. }
        | What::Killed { .. }
        | What::GaveUp { .. }
        | What::Dependency { .. }
        | What::Refused { .. }
        | What::LeftRunning { .. }
        | What::OutOfReach { .. }
        | What::CommandFailed { .. } => Tone::Bad,
        What::Daemon { deed: Deed::Crashed | Deed::RolledBack | Deed::KeeperLost, .. } => Tone::Bad,
        What::Started { .. } | What::Adopted { .. } | What::Reloaded => Tone::Good,
        What::Asked(_) | What::FileChanged { .. } | What::Configuration { .. } => Tone::Bold,
        What::Backoff { .. } => Tone::Busy,
        What::Exited(_)
        | What::Stopped(_)
        | What::Signalled { .. }
        | What::Probe { .. }
        | What::Schedule { .. }
        | What::Daemon { .. }
        | What::Other { .. } => Tone::Plain,
    }
}
