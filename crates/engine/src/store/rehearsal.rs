//! Reading the records before their time: a daemon on standby understands what it can while another one is still at
//! work, and one that takes over does so while the keeper tells it what it holds. When it is read in earnest, only
//! what changed since is left to be understood.

use super::file::Records;
use super::reading::Reading;
use super::saved::{SavedUnit, decode, decode_config};
use super::values::Values;
use super::{CONFIG, GROUPS, UNIT};
use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use supers_config::Loaded;

/// What was understood, and the file that says so, as far as it was read.
#[derive(Default)]
pub struct Rehearsal(Option<(Reading, Known)>);

/// What most of the records say: the configuration, the active groups, and the units by their places.
pub(super) struct Known {
    pub loaded: Loaded,
    pub groups: BTreeMap<String, i32>,
    pub units: Vec<(String, SavedUnit<'static>)>,
}

impl Rehearsal {
    /// Looks at the records that are `held`, or else at those of this runtime folder. Whatever is wrong with them shows
    /// when they are read in earnest.
    pub fn of(folder: &Path, held: Option<OwnedFd>) -> Rehearsal {
        let file = held.map_or_else(|| Records::named(folder), |held| Ok(Some(held.into())));
        let reading = file.ok().flatten().and_then(|file| Some(Reading::go_on(None, &file).ok()?.0));
        Rehearsal(reading.and_then(|reading| {
            let known = Known::of(&reading.values()).ok()?;
            Some((reading, known))
        }))
    }

    /// Nothing was understood.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn into_parts(self) -> (Option<Reading>, Option<Known>) {
        self.0.unzip()
    }
}

impl Known {
    /// All that these values say.
    pub(super) fn of(values: &Values<'_>) -> Result<Known, String> {
        let (loaded, groups) = (configuration(values)?, groups(values)?);
        let units = values.iter().filter_map(|(key, bytes)| Some((key.strip_prefix(UNIT)?, bytes)));
        let units = units.map(|(name, bytes)| Ok((name.to_owned(), decode(bytes)?)));
        let mut known = Known { loaded, groups, units: units.collect::<Result<_, String>>()? };
        known.sort();
        Ok(known)
    }

    /// The same, when all but the values of these keys was known before.
    pub(super) fn update(&mut self, values: &Values<'_>, changed: &[Box<str>]) -> Result<(), String> {
        if changed.iter().any(|key| **key == *CONFIG) {
            self.loaded = configuration(values)?;
        }
        if changed.iter().any(|key| **key == *GROUPS) {
            self.groups = groups(values)?;
        }
        let changed: HashSet<&str> = changed.iter().filter_map(|key| key.strip_prefix(UNIT)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.units.retain(|(name, _)| !changed.contains(&**name));
        for name in changed {
            if let Some(bytes) = values.get(&format!("{UNIT}{name}")) {
                self.units.push((name.to_owned(), decode(bytes)?));
            }
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        if !self.units.is_sorted_by_key(|(_, unit)| unit.place) {
            // They are large: only their places are moved about.
            self.units.sort_by_cached_key(|(_, unit)| unit.place);
        }
    }
}

/// What is known now, from what was known before and changed since (nothing is, when that was another file).
pub(super) fn known_now(
    values: &Values<'_>,
    before: Option<Known>,
    changed: Option<&[Box<str>]>,
) -> Result<Known, String> {
    match (before, changed) {
        (Some(mut known), Some(changed)) => known.update(values, changed).map(|()| known),
        (Some(_) | None, _) => Known::of(values),
    }
}

fn groups(values: &Values<'_>) -> Result<BTreeMap<String, i32>, String> {
    values.get(GROUPS).map_or_else(|| Ok(BTreeMap::new()), decode)
}

fn configuration(values: &Values<'_>) -> Result<Loaded, String> {
    decode_config(values.get(CONFIG).ok_or("the record of the configuration is missing")?)
}

#[cfg(test)]
mod tests {
    use super::super::saved::{encode, encode_config};
    use super::*;
    use std::borrow::Cow;
    use std::sync::Arc;
    use supers_config::{About, Config, Program, Settings};
    use supers_core::fleet::{Relation, SavedSlot};
    use supers_core::proc::Unit;
    use supers_core::spec::Spec;
    use supers_core::time::Wall;

    fn unit(place: u32) -> Vec<u8> {
        let slot = SavedSlot { unit: Unit::new(Wall(1)), queued: false, then: Relation::Remove };
        let spec = Some(Box::new(Cow::Owned(Spec::new("a"))));
        encode(&SavedUnit { place, spec, origin: None, slot, runs: Vec::new() })
    }

    fn config(name: &str) -> Vec<u8> {
        let program = Program { spec: Arc::new(Spec::new(name)), about: About::default() };
        encode_config(&Settings::default(), &Config { programs: vec![program], ..Config::default() })
    }

    fn records(dir: &Path) -> Records {
        let mut records = Records::create(dir).unwrap();
        records.put(CONFIG, &config("old"));
        for (n, name) in [(1, "unit/a"), (2, "unit/b"), (3, "unit/gone")] {
            records.put(name, &unit(n));
        }
        records.write().unwrap();
        records
    }

    /// What is known when it is opened in earnest: units with their places, the configuration's program, and how many
    /// keys changed, `None` when it is another file.
    fn earnest(rehearsal: Rehearsal, dir: &Path) -> (Vec<(String, u32)>, String, Option<usize>) {
        let (begun, known) = rehearsal.into_parts();
        let (_, read) = Records::open(dir, None, begun).unwrap().unwrap();
        let changed = read.changed.as_deref();
        let known = known_now(&read.values(), known, changed).unwrap();
        let units = known.units.iter().map(|(name, unit)| (name.clone(), unit.place)).collect();
        (units, known.loaded.config.programs[0].spec.name.clone(), changed.map(<[_]>::len))
    }

    fn names(all: &[(&str, u32)]) -> Vec<(String, u32)> {
        all.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect()
    }

    #[test]
    fn what_changed_since_is_read_again() {
        for by_name in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let mut records = records(dir.path());
            let held = records.fd().try_clone_to_owned().unwrap();
            let rehearsal = match by_name {
                true => Rehearsal::of(dir.path(), None),
                false => Rehearsal::of(Path::new("/nowhere"), Some(held)),
            };
            assert_eq!(rehearsal.0.as_ref().unwrap().1.units.len(), 3);
            records.put("unit/b", &unit(7));
            records.remove("unit/gone");
            records.put("unit/new", &unit(5));
            records.put(CONFIG, &config("new"));
            records.write().unwrap();
            let units = names(&[("a", 1), ("new", 5), ("b", 7)]);
            assert_eq!(earnest(rehearsal, dir.path()), (units, "new".into(), Some(4)));
        }
    }

    #[test]
    fn when_nothing_changed_everything_is_known() {
        let dir = tempfile::tempdir().unwrap();
        drop(records(dir.path()));
        let mut rehearsal = Rehearsal::of(dir.path(), None);
        // It is not read again.
        rehearsal.0.as_mut().unwrap().1.units[0].1.place = 0;
        let units = names(&[("a", 0), ("b", 2), ("gone", 3)]);
        assert_eq!(earnest(rehearsal, dir.path()), (units, "old".into(), Some(0)));
    }

    #[test]
    fn of_another_file_nothing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        drop(records(dir.path()));
        let rehearsal = Rehearsal::of(dir.path(), None);
        let mut fresh = Records::create(dir.path()).unwrap();
        fresh.put(CONFIG, &config("other"));
        fresh.put("unit/a", &unit(9));
        fresh.write().unwrap();
        assert_eq!(earnest(rehearsal, dir.path()), (names(&[("a", 9)]), "other".into(), None));
        assert!(Rehearsal::of(Path::new("/nowhere"), None).is_empty());
    }

    #[test]
    fn damage_is_told_in_earnest_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = records(dir.path());
        records.put("unit/damaged", b"\xff");
        records.write().unwrap();
        assert!(Rehearsal::of(dir.path(), None).is_empty());
        let look = |key: &str, value: &[u8]| {
            let dir = tempfile::tempdir().unwrap();
            let mut records = self::records(dir.path());
            let rehearsal = Rehearsal::of(dir.path(), None);
            records.put(key, value);
            records.write().unwrap();
            let (begun, known) = rehearsal.into_parts();
            let (_, read) = Records::open(dir.path(), None, begun).unwrap().unwrap();
            known_now(&read.values(), known, read.changed.as_deref()).map(drop)
        };
        assert!(look("unit/damaged", b"\xff").is_err() && look(CONFIG, b"").is_err());
        assert!(look("unit/a", &unit(4)).is_ok());
    }

    /// Whoever looks while somebody writes sees a batch that is not whole; later it is.
    #[test]
    fn a_batch_that_was_torn_is_read_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = records(dir.path());
        let path = super::super::file::path(dir.path());
        let before = std::fs::metadata(&path).unwrap().len();
        records.put("unit/b", &unit(7));
        records.write().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in before..=whole.len() as u64 {
            std::fs::write(&path, &whole[..cut as usize]).unwrap();
            let rehearsal = Rehearsal::of(dir.path(), None);
            std::fs::write(&path, &whole).unwrap();
            let (units, _, changed) = earnest(rehearsal, dir.path());
            assert_eq!(units, names(&[("a", 1), ("gone", 3), ("b", 7)]), "cut at {cut}");
            assert_eq!(changed, Some(usize::from(cut < whole.len() as u64)));
        }
    }
}
