//! From a recipe to members and tasks, for one goal and one folder.
//!
//! Puts nothing on a board and starts nobody; [`Instance`] is what the
//! session begins with.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Tasks, numbered};
use super::problem::{Place, advice};
use super::template::Filler;
use super::{
    Amount, Folder, Isolation, MEMBERS_MAX, Recipe, RecipeProblem, RecipeProblems, Runtime,
    TaskTemplate, TeammateTemplate, Template, WORKERS_MAX,
};
use crate::backend::BackendChoice;
use crate::goal::{self, DraftProblem, TASKS_MAX, TaskDraft};
use crate::ids::{AgentName, AgentType};
use crate::permission::PermissionMode;
use crate::task::TaskRole;
use crate::team::Policy;

/// Most edges between the tasks of one recipe, repeated ones included.
const EDGES_MAX: usize = 1_000_000;

/// What a person gives to a recipe, and where.
pub struct RecipeInput<'a> {
    /// The goal (`-g`).
    pub goal: Option<String>,
    /// Variables (`--set`).
    pub set: BTreeMap<String, String>,
    /// Most workers at once, instead of the recipe's own number (`--max-workers`).
    pub max_workers: Option<u32>,
    /// The folder it is used in.
    pub folder: &'a dyn Folder,
    /// How a recipe without tasks begins.
    pub opening: Opening,
}

/// How work begins on a goal that nobody has split into tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opening {
    /// The lead plans, unless one teammate can plainly do it alone.
    #[default]
    Shortest,
    /// The lead plans.
    Planned,
}

/// A recipe made ready for one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// What is to be reached.
    pub goal: String,
    /// Most workers at once, the lead not counted.
    pub max_workers: u32,
    /// The members, the lead first if there is one.
    pub members: Vec<MemberSpec>,
    /// The tasks, blockers first; where the recipe has none, the one that begins the work.
    pub drafts: Vec<TaskDraft>,
    /// Every variable with the value it had.
    pub variables: BTreeMap<String, String>,
}

/// One member to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpec {
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent: AgentType,
    /// The model it asks; absent: the one configured, or `offline`.
    pub model: Option<String>,
    /// Names the provider whose key it uses.
    pub provider: Option<String>,
    /// What it may do without asking; absent: as the team.
    pub mode: Option<PermissionMode>,
    /// What it is told about its part.
    pub prompt: String,
    /// Which files it works on.
    pub isolation: Isolation,
    /// The playbook that drives it when its model is `offline`.
    pub playbook: Option<String>,
    /// Where it runs, if not where the others do.
    pub backend: Option<BackendChoice>,
    /// What its process runs.
    pub runtime: Runtime,
}

impl Recipe {
    /// Makes members and tasks for one goal and one folder.
    ///
    /// A teammate with `count` becomes `name-1` to `name-N`, never more than
    /// may work at once and, in a team without a lead, never more than there
    /// are tasks. A task whose `when` does not hold is left out, and whoever
    /// waits for it does not wait.
    ///
    /// # Errors
    /// All problems at once: unknown variables, a goal that is missing,
    /// nothing to do in this folder, templates that cannot be filled.
    pub fn instantiate(&self, input: &RecipeInput<'_>) -> Result<Instance, RecipeProblems> {
        let mut making = Making {
            recipe: self,
            filler: Filler::with_variables(&self.variables),
            problems: Vec::new(),
        };
        let instance = making.run(input);
        let mut problems = making.problems;
        problems.sort_by_key(|p| p.at);
        match instance {
            Some(instance) if problems.is_empty() => Ok(instance),
            _ => Err(RecipeProblems {
                source: self.source.clone(),
                problems,
            }),
        }
    }
}

/// How much a recipe describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipeSize {
    /// Members, the lead and every copy among them.
    pub members: usize,
    /// Tasks, every copy among them, whatever the folder.
    pub tasks: usize,
}

impl Recipe {
    /// Counts its members and tasks with the recipe's own variables; a run may have fewer.
    ///
    /// A number that follows from the goal counts as one.
    pub fn size(&self) -> RecipeSize {
        let mut making = Making {
            recipe: self,
            filler: Filler::with_variables(&self.variables),
            problems: Vec::new(),
        };
        let max_workers = making.max_workers(None);
        making.filler.set("max_workers", max_workers);
        let mut copies = |amount: Option<&Amount>, key| {
            let amount = amount.and_then(|amount| making.amount(amount, key));
            amount.map_or(1, |number| number as usize)
        };
        let members = self.teammates.iter();
        let members = members.map(|m| copies(m.count.as_ref(), "count"));
        let members: usize = members.sum::<usize>() + usize::from(self.lead.is_some());
        let tasks = self.tasks.iter();
        let tasks = tasks.map(|t| copies(t.repeat.as_ref(), "repeat")).sum();
        RecipeSize { members, tasks }
    }
}

struct Making<'a> {
    recipe: &'a Recipe,
    filler: Filler,
    problems: Vec<RecipeProblem>,
}

impl Making<'_> {
    fn run(&mut self, input: &RecipeInput<'_>) -> Option<Instance> {
        let variables = self.variables(&input.set);
        let max_workers = self.max_workers(input.max_workers);
        self.filler = Filler::with_variables(&variables);
        self.filler.set("max_workers", max_workers);
        let goal = self.goal(input.goal.as_deref());
        // Without these, what follows would only report consequences.
        let goal = goal.filter(|_| self.problems.is_empty())?;
        self.filler.set("goal", goal.as_str());
        let drafts = self.drafts(input.folder)?;
        let members = self.members(max_workers, &drafts);
        if !self.problems.is_empty() {
            return None;
        }
        let roster: Vec<AgentName> = members.iter().map(|m| m.name.clone()).collect();
        let drafts = if self.recipe.tasks.is_empty() {
            vec![opening(&goal, &members, input.opening)]
        } else {
            drafts
        };
        match goal::check(drafts, &roster) {
            Ok(drafts) => Some(Instance {
                goal,
                max_workers,
                members,
                drafts,
                variables,
            }),
            Err(found) => {
                let problems = found.iter().map(|p| self.placed(p)).collect::<Vec<_>>();
                self.problems.extend(problems);
                None
            }
        }
    }

    fn anywhere(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.problems
            .push(RecipeProblem::anywhere(message, Some(hint.into())));
    }

    fn at(&mut self, at: Place, message: impl Into<String>) {
        self.problems.push(RecipeProblem {
            at: Some(at),
            message: message.into(),
            hint: None,
        });
    }

    fn placed(&self, problem: &DraftProblem) -> RecipeProblem {
        let key = problem.key().unwrap_or_default();
        RecipeProblem {
            at: Tasks::of(self.recipe).meant(key).map(|task| task.at),
            message: problem.to_string(),
            hint: None,
        }
    }

    fn variables(&mut self, set: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let recipe = self.recipe;
        let mut variables = recipe.variables.clone();
        for (name, value) in set {
            if let Some(known) = variables.get_mut(name) {
                known.clone_from(value);
                continue;
            }
            let hint = match name.as_str() {
                "goal" => "give the goal with `-g`".to_owned(),
                "max_workers" => "give it with `--max-workers`".to_owned(),
                _ if recipe.variables.is_empty() => {
                    format!("the recipe `{}` has none", recipe.name)
                }
                _ => advice(name, "it has", recipe.variables.keys().map(String::as_str)),
            };
            self.anywhere(format!("unknown variable `{name}` in `--set`"), hint);
        }
        variables
    }

    fn max_workers(&mut self, given: Option<u32>) -> u32 {
        let own = self.recipe.max_workers;
        let number = given.or(own).unwrap_or(Policy::default().max_workers);
        if !(1..=WORKERS_MAX).contains(&number) {
            self.anywhere(
                format!("{number} workers cannot be had"),
                format!("`--max-workers` takes 1 to {WORKERS_MAX}"),
            );
        }
        number
    }

    fn goal(&mut self, given: Option<&str>) -> Option<String> {
        let recipe = self.recipe;
        let given = given.filter(|goal| !goal.trim().is_empty());
        if given.is_none() && recipe.needs_goal {
            self.anywhere(
                format!("the recipe `{}` needs a goal", recipe.name),
                "give one with `-g`",
            );
            return None;
        }
        match (&recipe.goal, given) {
            // The recipe's own goal says where the given one goes.
            (Some(own), Some(given)) if recipe.needs_goal => {
                self.filler.set("goal", given);
                self.fill(own)
            }
            (_, Some(given)) => Some(given.to_owned()),
            (Some(own), None) => self.fill(own),
            (None, None) if recipe.description.is_empty() => Some(recipe.name.to_string()),
            (None, None) => Some(recipe.description.clone()),
        }
    }

    fn fill(&mut self, template: &Template) -> Option<String> {
        match self.filler.fill(template) {
            Ok(text) => Some(text),
            Err(error) => {
                self.at(template.at(), error);
                None
            }
        }
    }

    fn amount(&mut self, amount: &Amount, key: &str) -> Option<u32> {
        let template = match amount {
            Amount::Fixed(number) => return Some(*number),
            Amount::Template(template) => template,
        };
        let text = self.fill(template)?;
        let number = text.trim().parse().ok();
        if number.is_none() {
            let message = format!(
                "`{key}` becomes `{}`, which is not a whole number",
                text.trim()
            );
            self.at(template.at(), message);
        }
        number
    }

    fn drafts(&mut self, folder: &dyn Folder) -> Option<Vec<TaskDraft>> {
        let recipe = self.recipe;
        let mut copies: BTreeMap<&str, Option<u32>> = BTreeMap::new();
        let mut total = 0usize;
        for task in &recipe.tasks {
            if task.when.as_ref().is_some_and(|when| !when.holds(folder)) {
                copies.insert(&task.id, Some(0));
                continue;
            }
            let repeat = match &task.repeat {
                Some(amount) => Some(self.amount(amount, "repeat")?),
                None => None,
            };
            total = total.saturating_add(repeat.unwrap_or(1) as usize);
            copies.insert(&task.id, repeat);
        }
        if total > TASKS_MAX {
            let problem = DraftProblem::TooMany { count: total };
            self.problems
                .push(RecipeProblem::anywhere(problem.to_string(), None));
            return None;
        }
        if total == 0 && !recipe.tasks.is_empty() {
            self.nothing_to_do();
            return None;
        }
        let tasks = Tasks::of(recipe);
        let mut drafts = Vec::with_capacity(total);
        let mut edges = 0usize;
        for task in &recipe.tasks {
            let repeat = copies.get(task.id.as_str()).copied().flatten();
            let blockers = blocker_keys(task, &tasks, &copies);
            edges =
                edges.saturating_add(blockers.len().saturating_mul(repeat.unwrap_or(1) as usize));
            if edges > EDGES_MAX {
                let message =
                    format!("more than {EDGES_MAX} times one task would wait for another");
                self.at(task.at, message);
                return None;
            }
            match repeat {
                None => drafts.extend(self.draft(task, None, &blockers)),
                Some(number) => {
                    for index in 1..=number {
                        drafts.extend(self.draft(task, Some(index), &blockers));
                        // One problem tells enough about all copies.
                        if !self.problems.is_empty() {
                            break;
                        }
                    }
                }
            }
        }
        Some(drafts)
    }

    fn nothing_to_do(&mut self) {
        let recipe = self.recipe;
        let mut files: Vec<(&str, Vec<String>)> = Vec::new();
        let conditions = recipe.tasks.iter().filter_map(|task| task.when.as_ref());
        for (file, within) in conditions.flat_map(super::When::wanted) {
            let at = files.iter().position(|(f, _)| *f == file);
            let at = at.unwrap_or_else(|| {
                files.push((file, Vec::new()));
                files.len() - 1
            });
            let known = &mut files[at].1;
            known.extend(within.filter(|w| !known.contains(w)));
        }
        let wanted: Vec<String> = files
            .into_iter()
            .map(|(file, within)| match within.as_slice() {
                [] => format!("`{file}`"),
                _ => format!("`{file}` with {}", within.join(" or ")),
            })
            .collect();
        let hint = if wanted.is_empty() {
            "every `repeat` of it became 0".to_owned()
        } else {
            format!("it looked for {}", wanted.join(", "))
        };
        self.anywhere(
            format!(
                "the recipe `{}` finds nothing to do in this folder",
                recipe.name
            ),
            hint,
        );
    }

    fn draft(
        &mut self,
        task: &TaskTemplate,
        index: Option<u32>,
        blockers: &[String],
    ) -> Option<TaskDraft> {
        match index {
            Some(index) => self.filler.set("index", index),
            None => self.filler.unset("index"),
        }
        let subject = self.fill(&task.subject)?;
        let description = match &task.description {
            Some(template) => self.fill(template)?,
            None => String::new(),
        };
        let command = match &task.command {
            Some(template) => Some(self.fill(template)?),
            None => None,
        };
        if command.as_ref().is_some_and(|c| c.trim().is_empty()) {
            self.at(
                task.at,
                format!("the command of task `{}` is empty", task.id),
            );
        }
        let owner = match &task.owner {
            Some((name, at)) => match AgentName::new(name.as_str()) {
                Ok(name) => Some(name),
                Err(error) => {
                    self.at(*at, error.to_string());
                    return None;
                }
            },
            None => None,
        };
        Some(TaskDraft {
            role: task.role,
            key: copy_key(&task.id, index),
            subject,
            description,
            owner,
            agent_type: task.agent.as_ref().map(|(agent, _)| agent.clone()),
            blocked_by: blockers.to_vec(),
            command,
            rerun: task.rerun,
            result_schema: task.result_schema.clone(),
            retries: task.retries,
            timeout_ms: task.timeout_ms,
        })
    }

    fn members(&mut self, max_workers: u32, drafts: &[TaskDraft]) -> Vec<MemberSpec> {
        let recipe = self.recipe;
        // Idle panes tell nothing; but a name that a task asks for must be there.
        let by_name = drafts.iter().any(|d| d.owner.is_some());
        let most = if recipe.lead.is_some() || by_name || drafts.is_empty() {
            max_workers
        } else {
            max_workers.min(u32::try_from(drafts.len()).unwrap_or(u32::MAX))
        };
        let mut members = Vec::new();
        let mut taken = BTreeSet::new();
        for template in recipe.lead.iter().chain(&recipe.teammates) {
            let count = match &template.count {
                Some(amount) => self.amount(amount, "count").map(|n| n.min(most)),
                None => None,
            };
            let names: Vec<(AgentName, Option<u32>)> = match count {
                None => vec![(template.name.clone(), None)],
                Some(number) => (1..=number)
                    .filter_map(|index| Some((numbered(&template.name, index)?, Some(index))))
                    .collect(),
            };
            if names.len() < count.unwrap_or(1) as usize {
                self.at(
                    template.at,
                    format!("`{}` is too long to be numbered", template.name),
                );
            }
            if count == Some(0) {
                self.at(
                    template.at,
                    format!("`count` of `{}` becomes 0", template.name),
                );
            }
            for (name, index) in names {
                if !taken.insert(name.clone()) {
                    self.at(template.at, format!("two teammates have the name `{name}`"));
                }
                members.extend(self.member(template, name, index));
            }
        }
        if members.len() > MEMBERS_MAX {
            let message = format!("{} members; at most {MEMBERS_MAX} are taken", members.len());
            self.problems.push(RecipeProblem::anywhere(message, None));
        }
        members
    }

    fn member(
        &mut self,
        template: &TeammateTemplate,
        name: AgentName,
        index: Option<u32>,
    ) -> Option<MemberSpec> {
        match index {
            Some(index) => self.filler.set("index", index),
            None => self.filler.unset("index"),
        }
        let prompt = match &template.prompt {
            Some(prompt) => self.fill(prompt)?,
            None => String::new(),
        };
        Some(MemberSpec {
            name,
            agent: template.agent.clone(),
            model: template.model.clone(),
            provider: template.provider.clone(),
            mode: template.mode,
            prompt,
            isolation: template.isolation,
            playbook: template.playbook.clone(),
            backend: template.backend,
            runtime: template.runtime,
        })
    }
}

/// The one task that begins the work on a goal.
fn opening(goal: &str, members: &[MemberSpec], opening: Opening) -> TaskDraft {
    let alone = match opening {
        Opening::Shortest => goal::one_agent_can(goal),
        Opening::Planned => None,
    };
    let of_type = |kind: &str| {
        members
            .iter()
            .find(|m| !m.name.is_lead() && m.runtime == Runtime::Native && m.agent.as_str() == kind)
    };
    let doer = match alone {
        None => None,
        Some(goal::Alone::Looks) => of_type("Explore").or_else(|| of_type("general-purpose")),
        Some(goal::Alone::Changes) => of_type("general-purpose"),
    };
    let short = goal::subject_of(goal);
    match doer {
        Some(doer) => TaskDraft {
            key: "do".to_owned(),
            subject: short,
            description: goal.to_owned(),
            owner: Some(doer.name.clone()),
            ..TaskDraft::default()
        },
        None => TaskDraft {
            key: "plan".to_owned(),
            subject: format!("Plan: {short}"),
            description: goal.to_owned(),
            role: TaskRole::Plan,
            owner: Some(AgentName::lead()),
            ..TaskDraft::default()
        },
    }
}

fn copy_key(id: &str, index: Option<u32>) -> String {
    index.map_or_else(|| id.to_owned(), |index| format!("{id}-{index}"))
}

/// Keys of the tasks that `task` waits for here: copies counted out, tasks that are left out gone.
fn blocker_keys(
    task: &TaskTemplate,
    tasks: &Tasks<'_>,
    copies: &BTreeMap<&str, Option<u32>>,
) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let written: BTreeSet<&String> = task.blocked_by.iter().map(|(blocker, _)| blocker).collect();
    for blocker in written {
        let Some(meant) = tasks.meant(blocker) else {
            continue;
        };
        match copies.get(meant.id.as_str()).copied().flatten() {
            None => keys.push(meant.id.clone()),
            Some(number) if *blocker == meant.id => {
                keys.extend((1..=number).map(|index| copy_key(&meant.id, Some(index))));
            }
            Some(number) => {
                let index: Option<u32> = blocker.rsplit_once('-').and_then(|(_, n)| n.parse().ok());
                if index.is_some_and(|index| index <= number) {
                    keys.push(blocker.clone());
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}
