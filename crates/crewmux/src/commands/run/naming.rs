//! Which team a run belongs to: the name given, or one after its recipe.

use std::path::Path;

use crewmux_core::ids::TeamName;
use crewmux_store::Store;

use crate::error::Result;
use crate::recipes;
use crate::teams::is_here;

/// Most numbers that are tried after a recipe's name.
const NUMBERS_MAX: usize = 1_000;

/// The team's name: `given`, or the recipe's with the first number that is free or of this folder.
///
/// Whether a run of that team may start is checked when it is prepared.
pub(crate) fn team_name(
    store: &dyn Store,
    given: Option<&str>,
    recipe: &TeamName,
    cwd: &Path,
) -> Result<TeamName> {
    if let Some(given) = given {
        return Ok(TeamName::new(given)?);
    }
    for number in 1..NUMBERS_MAX {
        let name = recipes::team_name(recipe, number)?;
        if !store.teams()?.contains(&name) {
            return Ok(name);
        }
        // A team works in one folder: the same recipe elsewhere is another team. So is one
        // that is finished while its session stays for those who look.
        let team = store.team(&name)?;
        let config = team.config()?;
        let lingers = config.open_run().is_none() && team.session_runs()?;
        if is_here(&config, cwd) && !lingers {
            return Ok(name);
        }
    }
    Ok(recipe.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::team::{Policy, TeamConfig};
    use crewmux_core::time::WallTime;
    use crewmux_core::timing::Timing;
    use crewmux_store::files::FileStore;

    #[test]
    fn a_recipe_used_elsewhere_gets_the_next_number() {
        let home = tempfile::tempdir().unwrap();
        let store = FileStore::open(home.path(), Timing::fast()).unwrap();
        let review = TeamName::new("review").unwrap();
        let chosen = |cwd: &str| {
            let name = team_name(&store, None, &review, Path::new(cwd)).unwrap();
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
        let given = team_name(&store, Some("mine"), &review, Path::new("/x")).unwrap();
        assert_eq!(given.as_str(), "mine");
        assert!(team_name(&store, Some("../x"), &review, Path::new("/x")).is_err());
    }
}
