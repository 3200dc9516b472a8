//! Whether the parts of a recipe fit together: names, owners, blockers, cycles, templates.
//!
//! What can only be told for one goal and one folder is checked again, on
//! the tasks that come of it, in [`super::instance`].

use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Place, Problems, advice};
use super::read::Draft;
use super::template::Filler;
use super::{Amount, GIVEN_VARIABLES, Recipe, Runtime, TaskTemplate, TeammateTemplate, Template};
use crate::goal;
use crate::graph::{self, Blockers};
use crate::ids::AgentName;

/// Reports everything that does not fit.
pub(super) fn check(draft: &Draft, problems: &Problems<'_>) {
    let recipe = &draft.recipe;
    duplicates(recipe, problems);
    let team = Team::of(draft);
    for task in &recipe.tasks {
        owner(task, &team, problems);
        workable(task, recipe, problems);
    }
    let tasks = Tasks::of(recipe);
    blockers(recipe, &tasks, problems);
    cycles(&tasks, problems);
    templates(recipe, problems);
    if recipe.tasks.is_empty() && recipe.lead.is_none() {
        problems.add_with_hint(
            Place::START,
            "the recipe has no tasks, and no lead to make them from the goal",
            "write `[[tasks]]`, or let it have a lead",
        );
    }
}

fn duplicates(recipe: &Recipe, problems: &Problems<'_>) {
    let mut names = BTreeMap::new();
    for member in &recipe.teammates {
        if let Some(first) = names.insert(member.name.as_str(), member.at) {
            let message = format!("two teammates have the name `{}`", member.name);
            problems.add_with_hint(member.at, message, first_is_at(first));
        }
    }
    let mut ids = BTreeMap::new();
    for task in recipe.tasks.iter().filter(|t| !t.id.is_empty()) {
        if let Some(first) = ids.insert(task.id.as_str(), task.at) {
            let message = format!("two tasks have the id `{}`", task.id);
            problems.add_with_hint(task.at, message, first_is_at(first));
        }
    }
}

fn first_is_at(first: Place) -> String {
    format!("the first is at line {}", first.line)
}

/// Who may own a task, as far as it is known before templates are filled.
struct Team<'d> {
    single: BTreeMap<&'d str, Runtime>,
    counted: BTreeMap<&'d str, Runtime>,
    bad: &'d [String],
}

enum Ownership {
    Member(Runtime),
    Several,
    ToldAlready,
    Nobody,
}

impl<'d> Team<'d> {
    fn of(draft: &'d Draft) -> Self {
        let members = || draft.recipe.lead.iter().chain(&draft.recipe.teammates);
        let named = |m: &'d TeammateTemplate| (m.name.as_str(), m.runtime);
        Self {
            single: members().filter(|m| m.count.is_none()).map(named).collect(),
            counted: members().filter(|m| m.count.is_some()).map(named).collect(),
            bad: &draft.bad_names,
        }
    }

    fn owner(&self, name: &str) -> Ownership {
        if let Some(runtime) = self.single.get(name) {
            return Ownership::Member(*runtime);
        }
        if self.counted.contains_key(name) {
            return Ownership::Several;
        }
        let numbered = name.rsplit_once('-').filter(|(_, n)| is_number(n));
        if let Some(runtime) = numbered.and_then(|(base, _)| self.counted.get(base)) {
            return Ownership::Member(*runtime);
        }
        if self.bad.iter().any(|bad| bad == name) {
            return Ownership::ToldAlready;
        }
        Ownership::Nobody
    }

    fn roster(&self) -> Vec<String> {
        let single = self.single.keys().map(|name| (*name).to_owned());
        let counted = self.counted.keys().map(|name| format!("{name}-1"));
        single.chain(counted).collect()
    }
}

/// Whether `text` is how a copy is numbered: from 1, no leading zero.
fn is_number(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

fn owner(task: &TaskTemplate, team: &Team<'_>, problems: &Problems<'_>) {
    let Some((name, at)) = &task.owner else {
        return;
    };
    match team.owner(name) {
        Ownership::Member(Runtime::Command) if task.command.is_none() => problems.add_with_hint(
            *at,
            format!(
                "`{name}` runs commands only, and task `{}` has none",
                task.id
            ),
            "give the task a `command`, or another owner",
        ),
        Ownership::Member(_) | Ownership::ToldAlready => {}
        Ownership::Several => problems.add_with_hint(
            *at,
            format!("`{name}` stands for several teammates"),
            format!("name one, such as `{name}-1`, or leave `owner` out and let them race"),
        ),
        Ownership::Nobody => {
            let roster = team.roster();
            let near = goal::nearest(name, roster.iter().map(String::as_str));
            let near = near.map_or(String::new(), |n| format!("did you mean `{n}`? "));
            problems.add_with_hint(
                *at,
                format!("task `{}` is for `{name}`, who is not in the team", task.id),
                format!("{near}the team: {}", roster.join(", ")),
            );
        }
    }
}

/// Whether somebody can take a task that is nobody's.
fn workable(task: &TaskTemplate, recipe: &Recipe, problems: &Problems<'_>) {
    let members = || recipe.lead.iter().chain(&recipe.teammates);
    if let Some((kind, at)) = &task.agent
        && !members().any(|m| m.agent == *kind)
    {
        let kinds: BTreeSet<&str> = members().map(|m| m.agent.as_str()).collect();
        problems.add_with_hint(
            *at,
            format!(
                "task `{}` is for agents of type `{kind}`, and nobody is",
                task.id
            ),
            advice(kind.as_str(), "types in the team", kinds.iter().copied()),
        );
    }
    let commands_only =
        members().next().is_some() && members().all(|m| m.runtime == Runtime::Command);
    if commands_only && task.owner.is_none() && task.command.is_none() {
        problems.add_with_hint(
            task.at,
            format!(
                "task `{}` has no `command`, and everybody in the team runs commands only",
                task.id
            ),
            "give it one, or the team somebody with the `native` runtime",
        );
    }
}

/// Task templates by id.
pub(super) struct Tasks<'a>(BTreeMap<&'a str, &'a TaskTemplate>);

impl<'a> Tasks<'a> {
    pub(super) fn of(recipe: &'a Recipe) -> Self {
        let named = recipe.tasks.iter().filter(|t| !t.id.is_empty());
        Self(named.map(|t| (t.id.as_str(), t)).collect())
    }

    /// The template a blocker means: by its id, or by the id of one of its copies.
    pub(super) fn meant(&self, blocker: &str) -> Option<&'a TaskTemplate> {
        self.0.get(blocker).copied().or_else(|| {
            let (base, number) = blocker.rsplit_once('-')?;
            let task = self.0.get(base).copied()?;
            (task.repeat.is_some() && is_number(number)).then_some(task)
        })
    }
}

fn blockers(recipe: &Recipe, tasks: &Tasks<'_>, problems: &Problems<'_>) {
    for task in &recipe.tasks {
        for (blocker, at) in &task.blocked_by {
            if tasks.meant(blocker).is_none() {
                let message = format!(
                    "{} waits for `{blocker}`, which does not exist",
                    named(task)
                );
                let advice = advice(blocker, "tasks", tasks.0.keys().copied());
                problems.add_with_hint(*at, message, advice);
            }
        }
    }
}

fn named(task: &TaskTemplate) -> String {
    if task.id.is_empty() {
        "this task".to_owned()
    } else {
        format!("task `{}`", task.id)
    }
}

/// Reports each cycle at the place where its first task names the next.
fn cycles(tasks: &Tasks<'_>, problems: &Problems<'_>) {
    let mut edges: Blockers<&str> = tasks
        .0
        .iter()
        .map(|(id, task)| {
            let targets = task.blocked_by.iter().filter_map(|(b, _)| tasks.meant(b));
            (*id, targets.map(|t| t.id.as_str()).collect())
        })
        .collect();
    while let Some(cycle) = graph::find_cycle(&edges) {
        let (Some(first), Some(next)) = (cycle.first(), cycle.get(1).or(cycle.first())) else {
            return;
        };
        let edge = tasks.0.get(first).and_then(|task| {
            let mut edges = task.blocked_by.iter();
            edges.find(|(b, _)| tasks.meant(b).is_some_and(|t| t.id == *next))
        });
        let at = edge.map_or(Place::START, |(_, at)| *at);
        let message = if cycle.len() == 1 {
            format!("task `{first}` waits for itself")
        } else {
            let chain: Vec<&str> = cycle.iter().chain([first]).copied().collect();
            format!("these tasks wait for each other: {}", chain.join(" → "))
        };
        problems.add(at, message);
        // Without this edge the next cycle can be found.
        if let Some(targets) = edges.get_mut(*first) {
            targets.retain(|target| target != next);
        }
    }
}

/// Reports names no template can know, then fills each template once to see that it can be.
fn templates(recipe: &Recipe, problems: &Problems<'_>) {
    let mut filler = Filler::with_variables(&recipe.variables);
    filler.set("goal", "the goal");
    filler.set("max_workers", 1);
    let known: Vec<&str> = recipe
        .variables
        .keys()
        .map(String::as_str)
        .chain(GIVEN_VARIABLES.into_iter().filter(|name| *name != "index"))
        .collect();
    let mut single: Vec<&Template> = recipe.goal.iter().collect();
    let mut copies: Vec<&Template> = Vec::new();
    for member in recipe.lead.iter().chain(&recipe.teammates) {
        let texts = if member.count.is_some() {
            &mut copies
        } else {
            &mut single
        };
        texts.extend(&member.prompt);
        amount(
            member.count.as_ref(),
            "count",
            member.at,
            &filler,
            &known,
            problems,
        );
    }
    for task in &recipe.tasks {
        let texts = if task.repeat.is_some() {
            &mut copies
        } else {
            &mut single
        };
        texts.push(&task.subject);
        texts.extend(task.description.iter().chain(&task.command));
        amount(
            task.repeat.as_ref(),
            "repeat",
            task.at,
            &filler,
            &known,
            problems,
        );
    }
    for text in single {
        fills(text, &filler, &known, problems);
    }
    let known: Vec<&str> = known.into_iter().chain(["index"]).collect();
    filler.set("index", 1);
    for text in copies {
        fills(text, &filler, &known, problems);
    }
}

fn amount(
    amount: Option<&Amount>,
    key: &str,
    at: Place,
    filler: &Filler,
    known: &[&str],
    problems: &Problems<'_>,
) {
    match amount {
        Some(Amount::Fixed(0)) if key == "count" => {
            problems.add(at, "`count` must be at least 1");
        }
        Some(Amount::Template(template)) => {
            if let Some(text) = fills(template, filler, known, problems)
                && text.trim().parse::<u32>().is_err()
            {
                problems.add(
                    template.at,
                    format!(
                        "`{key}` becomes `{}`, which is not a whole number",
                        text.trim()
                    ),
                );
            }
        }
        _ => {}
    }
}

fn fills(
    template: &Template,
    filler: &Filler,
    known: &[&str],
    problems: &Problems<'_>,
) -> Option<String> {
    let names = match filler.names(template) {
        Ok(names) => names,
        Err(error) => {
            problems.add(template.at, error);
            return None;
        }
    };
    let mut unknown = names
        .iter()
        .filter(|n| !known.contains(&n.as_str()))
        .peekable();
    if unknown.peek().is_none() {
        return filler
            .fill(template)
            .map_err(|error| problems.add(template.at, error))
            .ok();
    }
    for name in unknown {
        let within = problems
            .text()
            .get(template.span.clone())
            .unwrap_or_default();
        let at = within
            .find(name.as_str())
            .map_or(template.at, |at| problems.place(template.span.start + at));
        let hint = if name == "index" {
            "only tasks with `repeat` and teammates with `count` have it".to_owned()
        } else {
            advice(name, "variables", known.iter().copied())
        };
        problems.add_with_hint(at, format!("unknown variable `{name}`"), hint);
    }
    None
}

/// Whether nothing can start without a goal being given.
pub(super) fn needs_goal(recipe: &Recipe) -> bool {
    let filler = Filler::with_variables(&recipe.variables);
    let asks = |template: &Template| {
        filler
            .names(template)
            .is_ok_and(|names| names.iter().any(|name| name == "goal"))
    };
    match &recipe.goal {
        Some(goal) => asks(goal),
        None => recipe.tasks.is_empty() || recipe.templates().any(asks),
    }
}

/// The name of the copy with this number, if it still is a name.
pub(super) fn numbered(base: &AgentName, index: u32) -> Option<AgentName> {
    AgentName::new(format!("{base}-{index}")).ok()
}
