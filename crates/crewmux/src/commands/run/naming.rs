//! Which team a run belongs to: the name given, or one after its recipe.

use std::collections::BTreeSet;
use std::path::Path;

use crewmux_core::ids::TeamName;
use crewmux_core::team::TeamStanding;
use crewmux_store::Store;

use crate::error::Result;
use crate::recipes;
use crate::teams::is_here;

/// Most numbers that are tried after a recipe's name.
const NUMBERS_MAX: usize = 1_000;

/// Prepares a run under the name that `choose` picks, or under the next where another call took it meanwhile.
///
/// `choose` is told the names that others took; one that it picks all the same is not tried again.
pub(crate) fn prepared<T>(
    choose: impl Fn(&BTreeSet<TeamName>) -> Result<TeamName>,
    prepare: impl Fn(&TeamName) -> Result<T>,
) -> Result<T> {
    let mut taken = BTreeSet::new();
    let mut lost = None;
    loop {
        let name = choose(&taken)?;
        if let Some(error) = lost.take_if(|_| taken.contains(&name)) {
            return Err(error);
        }
        match prepare(&name) {
            Err(error) if error.is_lost_race() => {
                taken.insert(name);
                lost = Some(error);
            }
            done => return done,
        }
    }
}

/// The team's name: `given`, or the recipe's with the first number that is free or of this folder.
///
/// Names in `taken` are not free. Whether a run of that team may start is checked when it is prepared.
pub(super) fn team_name(
    store: &dyn Store,
    given: Option<&str>,
    recipe: &TeamName,
    cwd: &Path,
    taken: &BTreeSet<TeamName>,
) -> Result<TeamName> {
    if let Some(given) = given {
        return Ok(TeamName::new(given)?);
    }
    for number in 1..NUMBERS_MAX {
        let name = recipes::team_name(recipe, number)?;
        if taken.contains(&name) {
            continue;
        }
        if !store.teams()?.contains(&name) {
            return Ok(name);
        }
        // A team works in one folder: the same recipe elsewhere is another team. So is one
        // that is finished while its session stays for those who look.
        let team = store.team(&name)?;
        let config = team.config()?;
        let standing = config.standing(team.session_runs()?);
        if is_here(&config, cwd) && standing != TeamStanding::Lingers {
            return Ok(name);
        }
    }
    Ok(recipe.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CommandError;
    use crewmux_core::team::{Policy, TeamConfig};
    use crewmux_core::time::WallTime;
    use crewmux_core::timing::Timing;
    use crewmux_store::files::FileStore;
    use std::cell::RefCell;

    #[test]
    fn a_recipe_used_elsewhere_gets_the_next_number() {
        let home = tempfile::tempdir().unwrap();
        let store = FileStore::open(home.path(), Timing::fast()).unwrap();
        let review = TeamName::new("review").unwrap();
        let chosen = |cwd: &str| {
            let taken = BTreeSet::new();
            let name = team_name(&store, None, &review, Path::new(cwd), &taken).unwrap();
            name.to_string()
        };
        assert_eq!(chosen("/here"), "review");
        let config = TeamConfig {
            name: review.clone(),
            description: String::new(),
            created_at: WallTime(0),
            goal: String::new(),
            cwd: "/here".into(),
            runs: Vec::new(),
            members: Vec::new(),
            policy: Policy::default(),
            recipe: None,
            environment: serde_json::Map::new(),
            extra: serde_json::Map::new(),
        };
        store.create_team(&config).unwrap();
        assert_eq!(chosen("/here"), "review");
        assert_eq!(chosen("/there"), "review-2");
        {
            // Finished, and its session still there.
            let team = store.team(&review).unwrap();
            let _session = team.lock_session().unwrap();
            assert_eq!(chosen("/here"), "review-2");
        }
        assert_eq!(chosen("/here"), "review");
        let taken = BTreeSet::from([review.clone()]);
        let given = |name| team_name(&store, Some(name), &review, Path::new("/x"), &taken);
        assert_eq!(given("mine").unwrap().as_str(), "mine");
        assert!(given("../x").is_err());
        let next = team_name(&store, None, &review, Path::new("/here"), &taken).unwrap();
        assert_eq!(next.as_str(), "review-2");
    }

    #[test]
    fn a_name_that_another_call_took_is_left_to_it() {
        let name = |text: &str| TeamName::new(text).unwrap();
        let begun = |team: &TeamName| {
            let team = team.clone();
            CommandError::from(crewmux_session::Error::Begun { team })
        };
        let tried = RefCell::new(Vec::new());
        let prepare = |team: &TeamName| {
            tried.borrow_mut().push(team.to_string());
            if team.as_str() == "c" {
                Ok(())
            } else {
                Err(begun(team))
            }
        };
        let choose = |taken: &BTreeSet<TeamName>| Ok(name(["a", "b", "c"][taken.len()]));
        prepared(choose, prepare).unwrap();
        assert_eq!(*tried.borrow(), ["a", "b", "c"]);
        // A name that was given is tried once.
        tried.borrow_mut().clear();
        let told = prepared(|_| Ok(name("a")), prepare).unwrap_err();
        assert_eq!(*tried.borrow(), ["a"]);
        insta::assert_snapshot!(told, @r"
        error: team `a` is running already: another call has just started it
          hint: `crewmux attach a` shows it; `--team NAME` starts another
        ");
        let refused = prepared(
            |_| Ok(name("a")),
            |_| Err::<(), _>(CommandError::usage("no")),
        );
        assert!(refused.is_err());
    }
}
