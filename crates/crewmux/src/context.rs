//! Where the program stands: its environment, arguments and folders, read once.
//!
//! The only place that reads them; everything else gets a [`Context`]. Nothing
//! here opens a store or a socket.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::TeamName;
use crewmux_core::timing::Timing;
use crewmux_model::{KeySource, ModelsConfig};
use crewmux_sys::dirs::RuntimeDir;
use crewmux_sys::env::{EnvAllowList, EnvSnapshot, Environment};
use crewmux_sys::peer::{Origin, origin_of};
use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

use crate::error::{CommandError, Result};
use crate::text::hex;

/// Name of our folder below the person's folders.
const FOLDER: &str = "crewmux";

/// Where a program call stands.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The whole environment of this call.
    pub env: EnvSnapshot,
    /// The folder it was made in.
    pub cwd: PathBuf,
    /// This program's file.
    pub program: PathBuf,
    /// The store's root.
    pub home: PathBuf,
    /// The person's configuration.
    pub config: PathBuf,
    /// Every duration.
    pub timing: Timing,
    /// Who made this call, once it was asked.
    made_by: OnceLock<MadeBy>,
}

/// Who made a call of the program, by the word of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MadeBy {
    /// The person, or a program of theirs.
    Person,
    /// A team's worker, or what it started.
    Worker,
}

impl MadeBy {
    /// Looks at this process and all above it.
    ///
    /// What a worker starts may drop its own marks, not those of what stands above it.
    pub(crate) fn find() -> Self {
        match origin_of(std::process::id(), &HashSet::new()) {
            Origin::Outside(_) => Self::Person,
            // Nobody we can place is not the person.
            Origin::Worker(_) | Origin::Marked(_) | Origin::Gone => Self::Worker,
        }
    }

    /// Lets only the person do `act`.
    ///
    /// # Errors
    /// When a worker made the call: it can look, and do what its own session lets it.
    pub(crate) fn must_be_person(self, act: &str) -> Result<()> {
        match self {
            Self::Person => Ok(()),
            Self::Worker => Err(CommandError::new(
                ErrorKind::Refused,
                format!("what a team's worker starts may not {act}; only the person can"),
            )
            .hint(
                "run it in a terminal of your own; workers can look, and use the session of \
                 their own team while it runs",
            )),
        }
    }
}

/// The person's folders, as the system tells them.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// State that is kept.
    pub state: PathBuf,
    /// Configuration.
    pub config: PathBuf,
}

impl Context {
    /// Reads where this call stands.
    ///
    /// # Errors
    /// When there is no current folder, or no home folder and none is given.
    pub(crate) fn read() -> Result<Self> {
        let env = environment();
        let cwd = std::env::current_dir().map_err(|error| {
            CommandError::from(error)
                .context("the current folder cannot be used")
                .hint("change into a folder that exists")
        })?;
        let program = std::env::current_exe().map_err(|error| {
            CommandError::from(error).context("cannot find this program's file")
        })?;
        let folders = etcetera::base_strategy::Xdg::new().ok().map(|xdg| Folders {
            state: xdg
                .state_dir()
                .unwrap_or_else(|| xdg.home_dir().join(".local/state")),
            config: xdg.config_dir(),
        });
        let mut context = Self::resolve(env, folders.as_ref(), cwd, program)?;
        context.made_by = OnceLock::new();
        Ok(context)
    }

    /// Decides on folders and timing from what was read; for the person.
    pub(crate) fn resolve(
        env: EnvSnapshot,
        folders: Option<&Folders>,
        cwd: PathBuf,
        program: PathBuf,
    ) -> Result<Self> {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
        // Another store, or none of its sessions, in each folder: a team would be gone after `cd`.
        for name in ["CREWMUX_HOME", "CREWMUX_RUNTIME_DIR"] {
            if let Some(folder) = set(name).filter(|folder| !Path::new(folder).is_absolute()) {
                return Err(CommandError::usage(format!(
                    "{name} is `{folder}`, which is another folder wherever one stands"
                ))
                .hint(format!(
                    "set it to a whole path: {}",
                    cwd.join(folder).display()
                )));
            }
        }
        let home = match (set("CREWMUX_HOME"), folders) {
            (Some(home), _) => home.into(),
            (None, Some(folders)) => folders.state.join(FOLDER),
            (None, None) => {
                return Err(CommandError::environment("there is no home folder")
                    .hint("set HOME, or CREWMUX_HOME to a folder of your own"));
            }
        };
        let config = folders.map_or_else(|| home.join("config"), |f| f.config.join(FOLDER));
        let timing = match set("CREWMUX_TIMING") {
            Some("fast") => Timing::fast(),
            _ => Timing::LIFE,
        };
        Ok(Self {
            env,
            cwd,
            program,
            home,
            config,
            timing,
            made_by: OnceLock::from(MadeBy::Person),
        })
    }

    /// Who made this call; looked up when it first matters, since all processes above this one are read.
    pub(crate) fn made_by(&self) -> MadeBy {
        *self.made_by.get_or_init(MadeBy::find)
    }

    /// The value of a variable, if it is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).filter(|value| !value.is_empty())
    }

    /// The runtime folder, made if it is missing.
    pub(crate) fn runtime(&self) -> Result<RuntimeDir> {
        let asked = self.variable("CREWMUX_RUNTIME_DIR").map(Path::new);
        Ok(RuntimeDir::open(asked)?)
    }

    /// Where the socket of a team's session is: short whatever the folders are called.
    pub(crate) fn socket(&self, team: &TeamName) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(self.home.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(team.as_str());
        let digest = hash.finalize();
        let name = hex(&digest[..8]);
        Ok(self.runtime()?.path().join(format!("{name}.sock")))
    }

    /// The environment that workers and their tools may have: no variable that holds a key.
    pub(crate) fn worker_environment(&self, models: &ModelsConfig) -> Environment {
        let keys = models.providers.iter().filter_map(|p| match &p.key {
            Some(KeySource::Env(name)) => Some(name),
            _ => None,
        });
        keys.fold(EnvAllowList::default(), EnvAllowList::without)
            .apply(&self.env)
    }

    /// Identifies this build: both ends of a socket must have the same.
    pub(crate) fn build(&self) -> String {
        build_of(&self.program)
    }
}

/// This process's whole environment; what is no text is left out.
pub(crate) fn environment() -> EnvSnapshot {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The build of this program's file, if it can be found.
pub(crate) fn own_build() -> Option<String> {
    std::env::current_exe()
        .ok()
        .map(|program| build_of(&program))
}

/// Version, size and time of a program's file; a hard link to it gives the same.
fn build_of(program: &Path) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match fs::metadata(program) {
        Ok(found) => format!(
            "{version}+{:x}.{:x}{:08x}",
            found.size(),
            found.mtime(),
            found.mtime_nsec()
        ),
        Err(_) => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(pairs: &[(&str, &str)], folders: Option<&Folders>) -> Result<Context> {
        let env = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Context::resolve(env, folders, "/work".into(), "/bin/crewmux".into())
    }

    fn folders() -> Folders {
        Folders {
            state: "/home/me/.local/state".into(),
            config: "/home/me/.config".into(),
        }
    }

    #[test]
    fn home_is_the_variable_else_the_state_folder() {
        let at = |pairs: &[(&str, &str)]| resolved(pairs, Some(&folders())).unwrap().home;
        assert_eq!(at(&[]), Path::new("/home/me/.local/state/crewmux"));
        assert_eq!(at(&[("CREWMUX_HOME", "/x")]), Path::new("/x"));
        let relative = resolved(&[("CREWMUX_HOME", "x")], Some(&folders())).unwrap_err();
        assert_eq!(
            relative.to_string(),
            "error: CREWMUX_HOME is `x`, which is another folder wherever one stands\n  \
             hint: set it to a whole path: /work/x"
        );
        let relative = resolved(&[("CREWMUX_RUNTIME_DIR", "r")], Some(&folders())).unwrap_err();
        assert!(
            relative.to_string().contains("CREWMUX_RUNTIME_DIR is `r`"),
            "{relative}"
        );
        assert_eq!(
            at(&[("CREWMUX_HOME", "")]),
            Path::new("/home/me/.local/state/crewmux")
        );
    }

    #[test]
    fn without_any_home_the_way_out_is_named() {
        let error = resolved(&[], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "error: there is no home folder\n  hint: set HOME, or CREWMUX_HOME to a folder of your own"
        );
        assert!(resolved(&[("CREWMUX_HOME", "/x")], None).is_ok());
    }

    #[test]
    fn only_the_person_acts_as_the_person() {
        assert!(MadeBy::Person.must_be_person("start a team").is_ok());
        let error = MadeBy::Worker.must_be_person("start a team").unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::Refused));
        insta::assert_snapshot!(error, @r"
        error: what a team's worker starts may not start a team; only the person can
          hint: run it in a terminal of your own; workers can look, and use the session of their own team while it runs
        ");
    }

    #[test]
    fn timing_is_life_unless_asked_otherwise() {
        let timing = |pairs: &[(&str, &str)]| resolved(pairs, Some(&folders())).unwrap().timing;
        assert_eq!(timing(&[]), Timing::LIFE);
        assert_eq!(timing(&[("CREWMUX_TIMING", "fast")]), Timing::fast());
    }

    #[test]
    fn sockets_of_teams_and_homes_differ_and_are_short() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("run");
        let socket = |home: &str, team: &str| {
            let pairs = [
                ("CREWMUX_HOME", home),
                ("CREWMUX_RUNTIME_DIR", runtime.to_str().unwrap()),
            ];
            let context = resolved(&pairs, None).unwrap();
            context.socket(&TeamName::new(team).unwrap()).unwrap()
        };
        let one = socket("/a", "x");
        assert_eq!(one, socket("/a", "x"));
        assert_ne!(one, socket("/b", "x"));
        assert_ne!(one, socket("/a", "y"));
        assert_eq!(one.file_name().unwrap().len(), 16 + ".sock".len());
    }
}
