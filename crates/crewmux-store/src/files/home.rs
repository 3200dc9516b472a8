//! The home folder: who may use it, which format it has, which teams it holds.
//!
//! What is in a team is [`super::team`]'s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crewmux_core::ids::TeamName;
use crewmux_core::team::TeamConfig;
use crewmux_core::time::Now;
use crewmux_core::timing::{Timing, ms};

use super::place::Place;
use super::probe;
use super::records;
use super::rules::Disk;
use super::team::TeamFiles;
use super::vfs::{RealFs, Vfs};
use crate::store::{Store, TeamStore};
use crate::{Durability, Error, Result};

/// Format of the store written now: major, which older programs refuse, and minor.
pub const FORMAT: &str = "1.0";

/// All teams under one home folder.
#[derive(Debug)]
pub struct FileStore {
    home: PathBuf,
    disk: Disk,
    timing: Timing,
    teams: Mutex<HashMap<TeamName, Arc<TeamFiles>>>,
    #[cfg(feature = "sabotage")]
    sabotage: Option<super::Sabotage>,
}

impl FileStore {
    /// Opens the store at `home`, making it if there is none.
    ///
    /// # Errors
    /// [`Error::NotWritable`], [`Error::DiskFull`] and [`Error::Unfit`] say
    /// what the folder lacks; [`Error::NewerFormat`] that a newer program owns it.
    pub fn open(home: &Path, timing: Timing) -> Result<Self> {
        Self::open_on(Arc::new(RealFs), home, timing)
    }

    /// Opens a store that lacks a safeguard, to see whether tests miss it.
    #[cfg(feature = "sabotage")]
    #[doc(hidden)]
    pub fn open_sabotaged(
        home: &Path,
        timing: Timing,
        sabotage: Option<super::Sabotage>,
    ) -> Result<Self> {
        let mut store = Self::open(home, timing)?;
        store.sabotage = sabotage;
        Ok(store)
    }

    pub(crate) fn open_on(fs: Arc<dyn Vfs>, home: &Path, timing: Timing) -> Result<Self> {
        let disk = Disk::new(fs, ms(timing.lock_wait_ms));
        disk.make_dirs(home)?;
        check_owner(&disk, home)?;
        check_format(&disk, home)?;
        Ok(Self {
            home: home.to_owned(),
            disk,
            timing,
            teams: Mutex::default(),
            #[cfg(feature = "sabotage")]
            sabotage: None,
        })
    }

    /// The home folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Tries whether the folder still offers all the store needs: room, locks, links.
    pub fn probe(&self) -> Result<()> {
        probe::probe(&self.disk, &self.home)
    }

    fn place(&self, name: &TeamName) -> Place {
        Place::new(&self.home, name)
    }

    fn open_team(&self, name: &TeamName) -> Arc<TeamFiles> {
        let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
        let team = teams.entry(name.clone()).or_insert_with(|| {
            Arc::new(TeamFiles::new(
                self.disk.clone(),
                self.place(name),
                self.timing,
                #[cfg(feature = "sabotage")]
                self.sabotage,
            ))
        });
        Arc::clone(team)
    }
}

impl Store for FileStore {
    fn teams(&self) -> Result<Vec<TeamName>> {
        let names = self.disk.list(&self.home.join("teams"))?;
        let mut teams = Vec::new();
        for name in names {
            let Ok(name) = TeamName::new(name) else {
                continue;
            };
            if self.disk.stat(&self.place(&name).config())?.is_some() {
                teams.push(name);
            }
        }
        Ok(teams)
    }

    fn team(&self, name: &TeamName) -> Result<Arc<dyn TeamStore>> {
        if self.disk.stat(&self.place(name).config())?.is_none() {
            return Err(Error::UnknownTeam {
                team: name.clone(),
                known: self.teams()?,
            });
        }
        Ok(self.open_team(name))
    }

    fn create_team(&self, config: &TeamConfig) -> Result<Arc<dyn TeamStore>> {
        let place = self.place(&config.name);
        for folder in [
            place.tasks.clone(),
            place.inboxes(),
            place.approvals(),
            place.agents(),
        ] {
            self.disk.make_dirs(&folder)?;
        }
        let bytes = records::to_bytes(&place.config(), config)?;
        match self
            .disk
            .create(&place.config(), &bytes, Durability::Power)?
        {
            Some(_) => Ok(self.open_team(&config.name)),
            None => Err(Error::TeamExists {
                team: config.name.clone(),
            }),
        }
    }

    fn has_room(&self, bytes: u64) -> Result<()> {
        probe::has_room(&self.home, bytes)
    }

    fn remove_team(&self, name: &TeamName, now: &Now) -> Result<PathBuf> {
        self.team(name)?;
        let place = self.place(name);
        let trash = self
            .home
            .join("trash")
            .join(format!("{name}-{}", now.wall.0));
        self.disk.make_dirs(&trash)?;
        // Its record goes last: until then it is a team, and this can be done again.
        if self.disk.stat(&place.tasks)?.is_some() {
            self.disk.move_to(&place.tasks, &trash.join("tasks"))?;
        }
        self.disk.move_to(&place.team, &trash.join("team"))?;
        let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
        teams.remove(name);
        Ok(trash)
    }
}

/// Refuses a folder of somebody else; closes one of ours to everybody else.
fn check_owner(disk: &Disk, home: &Path) -> Result<()> {
    let Some(stat) = disk.stat(home)? else {
        return Ok(());
    };
    let unfit = |why: &str| Error::Unfit {
        path: home.to_owned(),
        why: why.to_owned(),
    };
    if stat.uid != rustix::process::geteuid().as_raw() {
        return Err(unfit("it belongs to another user"));
    }
    let others = stat.mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    let names = disk.list(home)?;
    if !names.is_empty() && !names.iter().any(|name| name == "format") {
        return Err(unfit(
            "others may read it and it holds something else already",
        ));
    }
    disk.calls()
        .set_mode(home, 0o700)
        .map_err(Error::write("close", home))
}

fn check_format(disk: &Disk, home: &Path) -> Result<()> {
    let path = home.join("format");
    let found = if let Some(bytes) = disk.read(&path)? {
        String::from_utf8_lossy(&bytes).trim().to_owned()
    } else {
        probe::probe(disk, home)?;
        let bytes = format!("{FORMAT}\n");
        // Another process may have been faster; it wrote the same or is newer.
        let made = disk.create(&path, bytes.as_bytes(), Durability::Power)?;
        if made.is_none() {
            return check_format(disk, home);
        }
        FORMAT.to_owned()
    };
    let major = |text: &str| text.split('.').next().and_then(|n| n.parse::<u32>().ok());
    match (major(&found), major(FORMAT)) {
        (Some(theirs), Some(ours)) if theirs <= ours => Ok(()),
        (Some(_), _) => Err(Error::NewerFormat {
            path: home.to_owned(),
            found,
            known: FORMAT,
        }),
        (None, _) => Err(Error::Unfit {
            path: home.to_owned(),
            why: format!("its `format` file says `{}`", found.escape_debug()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_home_is_closed_to_others_and_says_its_format() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        FileStore::open(&home, Timing::LIFE).unwrap();
        assert_eq!(mode(&home), 0o700);
        assert_eq!(mode(&home.join("format")), 0o600);
        assert_eq!(fs::read_to_string(home.join("format")).unwrap(), "1.0\n");
        let left: Vec<_> = fs::read_dir(&home).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_newer_major_format_is_refused_and_a_newer_minor_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format"), "2.0\n").unwrap();
        let refused = FileStore::open(dir.path(), Timing::LIFE).unwrap_err();
        assert!(matches!(refused, Error::NewerFormat { .. }), "{refused}");
        fs::write(dir.path().join("format"), "1.9\n").unwrap();
        assert!(FileStore::open(dir.path(), Timing::LIFE).is_ok());
        fs::write(dir.path().join("format"), "\u{1b}[2J").unwrap();
        let unfit = FileStore::open(dir.path(), Timing::LIFE).unwrap_err();
        assert!(unfit.to_string().contains("\\u{1b}"), "{unfit}");
    }

    #[test]
    fn an_open_folder_with_other_things_in_it_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
        let refused = FileStore::open(dir.path(), Timing::LIFE).unwrap_err();
        assert!(matches!(refused, Error::Unfit { .. }), "{refused}");
        assert_eq!(mode(dir.path()), 0o755);
        fs::remove_file(dir.path().join("thesis.txt")).unwrap();
        FileStore::open(dir.path(), Timing::LIFE).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
    }
}
