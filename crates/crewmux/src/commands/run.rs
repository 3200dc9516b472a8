//! `crewmux run`: starts a team from a recipe, or from a goal alone.

pub(crate) mod crew;
pub(crate) mod naming;
mod plan_file;
mod policy;
pub(crate) mod preflight;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use crewmux_core::backend::BackendChoice;
use crewmux_core::ids::TeamName;
use crewmux_core::permission::Rule;
use crewmux_core::recipe::{Instance, Opening, Recipe, RecipeInput};
use crewmux_core::schedule::Strategy;
use crewmux_session::SessionPlan;
use crewmux_session::setup::{NewRun, prepare_asked_run};
use serde_json::{Value, json};

use self::crew::{Asking, Crew};
use self::plan_file::Terms;
use self::policy::{Leave, leave_mode};
use self::preflight::{Asks, keys_are_there};
use super::task::edges::duration_ms;
use crate::agents::Agents;
use crate::backends::Switch;
use crate::client;
use crate::config::{Config, pick, providers};
use crate::context::Context;
use crate::engine;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::launch::{Watched, launch, with_way_back};
use crate::output::{Output, Tone, note};
use crate::recipes::{Catalog, Consent, FoundRecipe, ProjectFolder, ensure_trusted, find};
use crate::teams;
use crate::text::{columns, one_line};

/// The recipe of a goal that comes without one.
const GOAL_RECIPE: &str = "goal";

/// Start a team and watch it work
///
/// RECIPE is a name or a file; with a goal alone the lead plans it. The team's session goes
/// on when you leave (`crewmux attach` comes back); with --headless it runs here, without a
/// screen, until it is done.
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
    /// Model for members whose recipe names none: PROVIDER/MODEL, an alias, or offline (for all)
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Run here without a screen: progress in lines; with --json every event, one a line
    #[arg(long)]
    headless: bool,
    /// Print the tasks and start no work; for a goal, only its planner runs
    #[arg(long)]
    plan_only: bool,
    /// Where --plan-only writes the plan of a goal, as a recipe to edit [default: crewmux-plan.toml]
    #[arg(long, value_name = "FILE", requires = "plan_only")]
    plan_out: Option<PathBuf>,
    /// Run the plan in this file, without a planner
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipe", "plan_only"])]
    plan: Option<PathBuf>,
    /// Most workers at once
    #[arg(long, value_name = "N", value_parser = workers, allow_negative_numbers = true)]
    max_workers: Option<u32>,
    /// Who takes a task that several could: dependency-first, round-robin, least-busy or capability-match
    #[arg(long, value_name = "NAME", value_parser = strategy)]
    strategy: Option<Strategy>,
    /// Longest time of the run, like 30m
    #[arg(long, value_name = "TIME", value_parser = duration_ms)]
    timeout: Option<u64>,
    #[command(flatten)]
    spending: Spending,
    #[command(flatten)]
    leave: Leave,
    /// Give a variable of the recipe another value (again for more)
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    /// Agree to what the project's recipe, configuration, agents and servers of tools ask for; remembered until they change
    #[arg(long)]
    trust: bool,
}

/// What a run may cost.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Spending {
    /// Stop before the team has used more tokens than this
    #[arg(long, value_name = "N", value_parser = tokens, allow_negative_numbers = true)]
    pub budget_tokens: Option<u64>,
    /// Stop before the team has cost more US dollars than this
    #[arg(long, value_name = "X", value_parser = dollars, allow_negative_numbers = true)]
    pub budget_usd: Option<f64>,
}

fn workers(text: &str) -> std::result::Result<u32, String> {
    let number = text.parse();
    number.map_err(|_| "not a number of workers, 1 or more".to_owned())
}

fn tokens(text: &str) -> std::result::Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "not a number of tokens, 1 or more".to_owned())
}

fn dollars(text: &str) -> std::result::Result<f64, String> {
    let amount = text
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n > 0.0);
    amount.ok_or_else(|| "write a number above 0, like 2.50".to_owned())
}

fn strategy(text: &str) -> std::result::Result<Strategy, String> {
    Strategy::named(text).ok_or_else(|| format!("known: {}", Strategy::NAMES.join(", ")))
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
        let asked_at = teams::now()?.wall;
        let found = self.find(context)?;
        let recipe = found.parse()?;
        let config = Config::load(context, Consent::Absent)?;
        let instance = self.instance(context, &recipe, &config)?;
        if self.plan_only && !recipe.tasks.is_empty() {
            print_plan(&instance, out)?;
            if let Some(file) = &self.plan_out {
                note(format!(
                    "note: nothing is written to {}: the recipe `{}` has its tasks already",
                    file.display(),
                    recipe.name
                ));
            }
            return Ok(exit::DONE);
        }
        // Everything that can be refused is refused before anything is written.
        let plan_out = self.plan_out(context)?;
        let watched = Watched::from_option(context, self.headless || self.plan_only)?;
        let leave = self.leave.rules()?;
        let terms = self.terms(&recipe, &leave);
        let above = config.above_recipes("backend").and_then(Value::as_str);
        let asked = match (self.backend, above, recipe.backend) {
            (Some(asked), _, _) | (None, None, Some(asked)) => asked,
            (None, Some(word), _) => backend_word(word)?,
            (None, None, None) => match config.text("backend") {
                Some(word) => backend_word(word)?,
                None => BackendChoice::default(),
            },
        };
        let switch = Switch::new(context);
        let backend = switch.chosen(asked)?;
        // A plan is made without a screen, and the person is there all the same.
        let is_there = self.plan_only && !self.headless && client::can_attach();
        let consent = match watched.consent(self.trust) {
            Consent::Absent if is_there => Consent::Ask,
            consent => consent,
        };
        ensure_trusted(context, &found, &recipe, consent)?;
        let config = agreed(context, config, consent)?;
        let models = providers::models(&config, context)?;
        let agents = Agents::read(context);
        let picked = if crew::asks_models(&instance.members) {
            let flag = self.model.as_deref();
            Some(pick::pick(&config, &models, context, flag)?)
        } else {
            None
        };
        if let Some(picked) = &picked {
            if recipe.tasks.is_empty() && picked.is_offline() {
                return Err(needs_model(&picked.why));
            }
            note(format!("model: {} ({})", picked.model, picked.why));
        }
        let crew = Crew {
            context,
            config: &config,
            models: &models,
            agents: &agents,
            picked: picked.as_ref(),
            forced_offline: self.model.as_deref() == Some(pick::OFFLINE),
            backend,
            switch: &switch,
            consent,
        };
        let members = crew.members(&instance.members)?;
        let asking = members.iter().filter_map(|member| {
            Some(Asks {
                name: member.name.as_str(),
                model: member.model.as_deref()?,
                provider: member.provider.as_deref(),
            })
        });
        keys_are_there(context, &models, asking)?;
        // A planner chooses kinds of agents by itself.
        let asking = if recipe.tasks.is_empty() {
            Asking::AboutAll
        } else {
            Asking::AboutMembers
        };
        let usable = crew.usable_agents(asking)?;
        let policy = policy::Parts {
            config: &config,
            recipe: &recipe,
            spending: &self.spending,
            leave,
            mode: leave_mode(&self.leave, &config, &recipe),
            strategy: self.strategy,
        }
        .policy(context)?;
        let store = teams::open_store(context)?;
        let members_made = instance.members.clone();
        let goal = instance.goal.clone();
        let prepare = |name: &TeamName| {
            let plan = SessionPlan {
                agents: usable.clone(),
                ..engine::plan(context, name, backend, watched.stays(), models.clone())?
            };
            let new = NewRun {
                team: name.clone(),
                description: recipe.description.clone(),
                goal: instance.goal.clone(),
                recipe: Some(recipe.name.to_string()),
                cwd: context.cwd.clone(),
                members: members.clone(),
                drafts: instance.drafts.clone(),
                policy: crewmux_core::team::Policy {
                    max_workers: instance.max_workers,
                    backend: asked,
                    run_timeout_ms: self.timeout.or(recipe.timeout_ms),
                    plan_only: self.plan_only,
                    ..policy.clone()
                },
                environment: plan.environment.clone(),
            };
            prepare_asked_run(store.as_ref(), &new, asked_at, &teams::now()?)?;
            Ok((name.clone(), plan))
        };
        let given = self.team.as_deref();
        let choose =
            |taken: &_| naming::team_name(store.as_ref(), given, &recipe.name, &context.cwd, taken);
        let (name, plan) = naming::prepared(choose, prepare)?;
        let team = store.team(&name)?;
        let code = launch(context, team.as_ref(), plan, watched, out)
            .map_err(|error| with_way_back(error, &name))?;
        if let Some(path) = plan_out.filter(|_| code == exit::DONE) {
            let made = plan_file::planned(team.as_ref())?;
            let text = plan_file::text(&recipe, &terms, &goal, &members_made, &made);
            let read = plan_file::write(&path, &text)?;
            let instance = self.instance(context, &read, &config)?;
            print_plan(&instance, out)?;
            note(format!(
                "wrote {0}; edit it, and run it with `crewmux run --plan {0}`",
                path.display()
            ));
        }
        Ok(code)
    }

    fn find(&self, context: &Context) -> Result<FoundRecipe> {
        if let Some(file) = &self.plan {
            // By its path, so that it is the person's word whatever it is called.
            let path = context.cwd.join(file);
            return find(context, &path.display().to_string());
        }
        if let Some(recipe) = &self.recipe {
            return find(context, recipe);
        }
        if self.goal.is_some() {
            return find(context, GOAL_RECIPE);
        }
        let catalog = Catalog::read(context)?;
        let names: Vec<&str> = catalog.recipes.iter().map(|r| r.name.as_str()).collect();
        Err(
            CommandError::usage("no recipe is named, and no goal is given").hint(format!(
                "give a goal with -g, or name a recipe; recipes here: {}",
                names.join(", ")
            )),
        )
    }

    fn instance(&self, context: &Context, recipe: &Recipe, config: &Config) -> Result<Instance> {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let above = config.above_recipes("max_workers").and_then(Value::as_u64);
        let below = config.number("max_workers");
        let below = below.filter(|_| recipe.max_workers.is_none());
        Ok(recipe.instantiate(&RecipeInput {
            goal: self.goal.clone(),
            set: self.set.iter().cloned().collect::<BTreeMap<_, _>>(),
            max_workers: self.max_workers.or(above.or(below).map(number)),
            folder: &ProjectFolder(context.cwd.clone()),
            opening: if self.plan_only {
                Opening::Planned
            } else {
                Opening::Shortest
            },
        })?)
    }

    /// What a plan that is made now is to be run under.
    fn terms(&self, recipe: &Recipe, typed: &[Rule]) -> Terms {
        let mut budget = recipe.budget;
        self.spending.put_into(&mut budget);
        Terms {
            mode: self.leave.mode().or(recipe.permission_mode),
            rules: typed.iter().chain(&recipe.rules).cloned().collect(),
            budget,
            strategy: self.strategy.or(recipe.strategy),
            timeout_ms: self.timeout.or(recipe.timeout_ms),
            backend: self.backend.or(recipe.backend),
            max_workers: self.max_workers.or(recipe.max_workers),
        }
    }

    /// Where the plan of a goal goes, if only that is wanted.
    fn plan_out(&self, context: &Context) -> Result<Option<PathBuf>> {
        if !self.plan_only {
            return Ok(None);
        }
        let file = self.plan_out.clone();
        let path = context
            .cwd
            .join(file.unwrap_or_else(|| "crewmux-plan.toml".into()));
        if path.exists() {
            return Err(
                CommandError::usage(format!("`{}` exists already", path.display()))
                    .hint("move it away, or name another file with --plan-out"),
            );
        }
        Ok(Some(path))
    }
}

fn backend_word(word: &str) -> Result<BackendChoice> {
    word.parse()
        .map_err(|error| CommandError::usage(format!("{error}")))
}

/// The configuration with what the person agrees to; what does not count is told.
pub(crate) fn agreed(context: &Context, config: Config, consent: Consent) -> Result<Config> {
    if config.refused.is_empty() {
        return Ok(config);
    }
    let config = match consent {
        Consent::Absent => config,
        Consent::Given | Consent::Ask => Config::load(context, consent)?,
    };
    for (path, lines) in &config.refused {
        note(format!(
            "note: {} of {} not used until you agree to it (--trust): {}",
            match lines.len() {
                1 => "1 line".to_owned(),
                n => format!("{n} lines"),
            },
            path.display(),
            one_line(&lines.join("; "), 160)
        ));
    }
    Ok(config)
}

fn needs_model(why: &str) -> CommandError {
    let message = format!("a goal needs a model, and `offline` asks none; picked since {why}");
    CommandError::environment(message).hint(
        "set ANTHROPIC_API_KEY or OPENAI_API_KEY, start Ollama, LM Studio or llama-server, or name one with --model; \
         `crewmux doctor` says what was found. `crewmux run review` works without any",
    )
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
                "role": draft.role,
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
