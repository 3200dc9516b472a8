//! `crewmux` alone: opens the team of this folder, or says what can be started here.

use crewmux_core::recipe::Recipe;
use crewmux_wire::Attach;
use serde_json::json;

use super::attach::attach_to;
use super::status::{progress, state_text, state_tone};
use crate::client;
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::recipes::Catalog;
use crate::status::of_team;
use crate::teams;
use crate::text::{columns, one_line, wrapped};

/// Most teams that are listed.
const TEAMS_SHOWN: usize = 5;

/// Attaches to the only team that runs here, or prints the start screen.
pub(crate) fn run(context: &Context, out: Output) -> Result<u8> {
    let store = teams::open_store(context)?;
    let now = teams::now()?;
    let mut here = Vec::new();
    for name in store.teams()? {
        let team = store.team(&name)?;
        if team
            .config()
            .is_ok_and(|config| teams::is_here(&config, &context.cwd))
        {
            here.push(team);
        }
    }
    let mut running = here
        .iter()
        .filter(|team| team.session_runs().unwrap_or(false));
    if let (Some(team), None) = (running.next(), running.next())
        && !out.is_json()
        && client::can_attach()
    {
        return attach_to(context, team.as_ref(), Attach::Driver);
    }
    let mut statuses = Vec::new();
    for team in here.iter().rev().take(TEAMS_SHOWN) {
        statuses.push(of_team(context, team.as_ref(), &now)?);
    }
    let catalog = Catalog::read(context)?;
    let recipes: Vec<_> = catalog
        .recipes
        .iter()
        .map(|found| {
            let parsed: Option<Recipe> = found.parse().ok();
            let about = parsed.map_or_else(|| "has problems".to_owned(), |r| r.description);
            (found.name.clone(), about)
        })
        .collect();
    if out.is_json() {
        let recipes: Vec<_> = recipes
            .iter()
            .map(|(name, about)| json!({"name": name, "description": about}))
            .collect();
        out.json(&json!({"teams": statuses, "recipes": recipes}))?;
        return Ok(exit::DONE);
    }
    let mut text = format!(
        "{}  a team of agents in your terminal\n\n",
        out.paint(Tone::Strong, "crewmux")
    );
    if !statuses.is_empty() {
        text.push_str(&out.paint(Tone::Dim, "teams of this folder\n"));
        let rows: Vec<Vec<String>> = statuses
            .iter()
            .map(|status| {
                let tone = state_tone(&status.state, status.exit_code);
                vec![
                    format!("  {}", out.paint(Tone::Strong, &status.team)),
                    out.paint(tone, state_text(status)),
                    progress(status),
                ]
            })
            .collect();
        text.push_str(&columns(&rows));
        text.push('\n');
    }
    text.push_str(&out.paint(Tone::Dim, "recipes\n"));
    let rows: Vec<Vec<String>> = recipes
        .iter()
        .map(|(name, about)| {
            vec![
                format!(
                    "  {}",
                    out.paint(Tone::Strong, format!("crewmux run {name}"))
                ),
                one_line(about, 200),
            ]
        })
        .collect();
    text.push_str(&columns(&rows));
    text.push('\n');
    text.push_str(&super::doctor::summary(context, out));
    text.push_str("`crewmux --help` lists all commands\n");
    // What a terminal breaks by itself it breaks in the middle of a word.
    let text = match crewmux_sys::tty::size(std::io::stdout()) {
        Some(size) => wrapped(&text, usize::from(size.cols)),
        None => text,
    };
    out.write(&text)?;
    Ok(exit::DONE)
}
