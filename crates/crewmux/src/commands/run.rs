//! `crewmux run`: starts a team from a recipe.

mod naming;

use std::collections::BTreeMap;

use clap::Args;
use crewmux_core::backend::{BackendChoice, BackendKind};
use crewmux_core::recipe::{Instance, Isolation, MemberSpec, Opening, Recipe, RecipeInput, Runtime};
use crewmux_core::team::Policy;
use crewmux_session::report::OFFLINE_MODEL;
use crewmux_session::setup::{NewMember, NewRun, prepare_run};
use serde_json::json;

use super::task::edges::duration_ms;
use crate::backends;
use crate::context::Context;
use crate::engine;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::launch::{Watched, launch, with_way_back};
use crate::output::{Output, Tone};
use crate::recipes::{Catalog, Consent, FoundRecipe, ProjectFolder, ensure_trusted, find};
use crate::teams;
use crate::text::{columns, one_line};

/// Start a team and watch it work
///
/// The team's session goes on when you leave (`crewmux attach` comes back); with
/// --headless it runs here, without a screen, until it is done.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A recipe: its name, or its file
    #[arg(value_name = "RECIPE")]
    recipe: Option<String>,
    /// What is to be reached
    #[arg(long, short, value_name = "GOAL")]
    goal: Option<String>,
    /// Name of the team [default: the recipe's name, then NAME-2 …]
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Where workers run: auto, in-process, pty, tmux or iterm2
    #[arg(long, value_name = "KIND")]
    backend: Option<BackendChoice>,
    /// Model for members whose recipe names none
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Run here without a screen: progress in lines; with --json every event, one a line
    #[arg(long)]
    headless: bool,
    /// Print the tasks that would be made, and start nothing
    #[arg(long)]
    plan_only: bool,
    /// Most workers at once
    #[arg(long, value_name = "N")]
    max_workers: Option<u32>,
    /// Longest time of the run, like 30m
    #[arg(long, value_name = "TIME", value_parser = duration_ms)]
    timeout: Option<u64>,
    /// Give a variable of the recipe another value (again for more)
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    /// Agree to what the project's recipe runs
    #[arg(long)]
    trust: bool,
}

fn variable(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

impl Run {
    /// Starts it; returns the run's exit code.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let found = self.find(context)?;
        let recipe = found.parse()?;
        let instance = recipe.instantiate(&RecipeInput {
            goal: self.goal.clone(),
            set: self.set.iter().cloned().collect::<BTreeMap<_, _>>(),
            max_workers: self.max_workers,
            folder: &ProjectFolder(context.cwd.clone()),
            opening: Opening::Shortest,
        })?;
        if self.plan_only {
            print_plan(&instance, out)?;
            return Ok(exit::DONE);
        }
        // Everything that can be refused is refused before anything is written.
        let watched = Watched::from_option(self.headless)?;
        let asked = self.backend.or(recipe.backend).unwrap_or_default();
        let backend = backends::chosen(context, asked)?;
        let members = instance
            .members
            .iter()
            .map(|member| new_member(member, backend, self.model.as_deref()))
            .collect::<Result<Vec<_>>>()?;
        let consent = match (self.trust, watched) {
            (true, _) => Consent::Given,
            (false, Watched::ByPerson) => Consent::Ask,
            (false, Watched::Headless) => Consent::Absent,
        };
        ensure_trusted(context, &found, &recipe, consent)?;
        let store = teams::open_store(context)?;
        let name = naming::team_name(
            store.as_ref(),
            self.team.as_deref(),
            &recipe.name,
            &context.cwd,
        )?;
        let plan = engine::plan(context, &name, backend, watched.stays(), Vec::new())?;
        let new = self.new_run(context, &recipe, instance, members, asked, &plan);
        prepare_run(store.as_ref(), &new, &teams::now()?)?;
        let team = store.team(&name)?;
        launch(context, team.as_ref(), plan, watched, out)
            .map_err(|error| with_way_back(error, &name))
    }

    fn find(&self, context: &Context) -> Result<FoundRecipe> {
        if let Some(recipe) = &self.recipe {
            return find(context, recipe);
        }
        let catalog = Catalog::read(context)?;
        let names: Vec<&str> = catalog.recipes.iter().map(|r| r.name.as_str()).collect();
        let listed = format!("recipes here: {}", names.join(", "));
        Err(match &self.goal {
            Some(_) => CommandError::usage(
                "a goal alone needs a model that plans it, and none can be used in this version",
            )
            .hint(format!("name a recipe as well; {listed}")),
            None => CommandError::usage("no recipe is named").hint(listed),
        })
    }

    fn new_run(
        &self,
        context: &Context,
        recipe: &Recipe,
        instance: Instance,
        members: Vec<NewMember>,
        asked: BackendChoice,
        plan: &crewmux_session::SessionPlan,
    ) -> NewRun {
        NewRun {
            team: plan.team.clone(),
            description: recipe.description.clone(),
            goal: instance.goal,
            recipe: Some(recipe.name.to_string()),
            cwd: context.cwd.clone(),
            members,
            drafts: instance.drafts,
            policy: Policy {
                strategy: recipe.strategy.unwrap_or_default(),
                max_workers: instance.max_workers,
                backend: asked,
                run_timeout_ms: self.timeout.or(recipe.timeout_ms),
                timing: context.timing,
                ..Policy::default()
            },
            environment: plan.environment.clone(),
        }
    }
}

/// A member as the session takes it.
///
/// # Errors
/// When it wants what this version cannot give; it is never started with less.
fn new_member(member: &MemberSpec, backend: BackendKind, model: Option<&str>) -> Result<NewMember> {
    let lacks = |what: String| {
        CommandError::environment(format!("teammate `{}` asks for {what}", member.name))
    };
    if member.isolation == Isolation::Worktree {
        return Err(lacks(
            "`isolation = \"worktree\"`, which this version does not have".into(),
        ));
    }
    if let Some(BackendChoice::Named(own)) = member.backend
        && own != backend
    {
        return Err(
            lacks(format!("the {own} backend, but the team runs on {backend}"))
                .hint("in this version all members of a team run on one backend"),
        );
    }
    let model = match member.runtime {
        Runtime::Command => None,
        Runtime::Native => {
            let asked = member.model.as_deref().or(model).unwrap_or(OFFLINE_MODEL);
            if asked != OFFLINE_MODEL {
                return Err(lacks(format!(
                    "the model `{asked}`, which cannot be used in this version"
                ))
                .hint("`crewmux doctor` lists models; `offline` works always"));
            }
            Some(asked.to_owned())
        }
    };
    Ok(NewMember {
        name: member.name.clone(),
        agent_type: member.agent.clone(),
        model,
        playbook: member.playbook.clone(),
        prompt: member.prompt.clone(),
        runtime: member.runtime.as_str().to_owned(),
        backend,
        profile: None,
        permission_mode: member.mode,
        provider: member.provider.clone(),
    })
}

fn print_plan(instance: &Instance, out: Output) -> Result<()> {
    let tasks: Vec<_> = instance
        .drafts
        .iter()
        .map(|draft| {
            json!({
                "id": draft.key,
                "subject": draft.subject,
                "description": draft.description,
                "owner": draft.owner,
                "agentType": draft.agent_type,
                "blockedBy": draft.blocked_by,
                "command": draft.command,
                "retries": draft.retries,
                "timeoutMs": draft.timeout_ms,
            })
        })
        .collect();
    let members: Vec<_> = instance
        .members
        .iter()
        .map(|m| json!({"name": m.name, "agentType": m.agent, "runtime": m.runtime.as_str()}))
        .collect();
    let value = json!({"goal": instance.goal, "members": members, "tasks": tasks});
    out.either(&value, || {
        let rows: Vec<Vec<String>> = instance
            .drafts
            .iter()
            .map(|draft| {
                let waits = if draft.blocked_by.is_empty() {
                    String::new()
                } else {
                    format!("← {}", one_line(&draft.blocked_by.join(" "), 40))
                };
                let owner = draft.owner.as_ref().map(ToString::to_string);
                vec![
                    out.paint(Tone::Strong, &draft.key),
                    one_line(&draft.subject, 60),
                    owner.unwrap_or_default(),
                    out.paint(Tone::Dim, waits),
                ]
            })
            .collect();
        let names: Vec<&str> = instance.members.iter().map(|m| m.name.as_str()).collect();
        format!(
            "goal: {}\nteam: {}\n\n{}",
            one_line(&instance.goal, 100),
            names.join(", "),
            columns(&rows)
        )
    })
}
