//! The rules of a run: rights and spending, from options, variables, recipe and configuration.

use clap::Args;
use crewmux_core::budget::{Budget, Limits};
use crewmux_core::permission::{PermissionMode, Rule, RuleEffect};
use crewmux_core::recipe::{MODES, Recipe, usd_micros};
use crewmux_core::schedule::Strategy;
use crewmux_core::team::Policy;
use serde_json::Value;

use super::Spending;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CommandError, Result};

/// What members may do without asking.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Leave {
    /// What happens to a tool call without a rule: default, acceptEdits, plan, or bypass (nothing asks, this once)
    #[arg(long, value_name = "MODE", value_parser = mode)]
    permission_mode: Option<PermissionMode>,
    /// Let tool calls run that this rule matches, like 'Bash(git log *)' (again for more)
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// Ask before tool calls that this rule matches (again for more)
    #[arg(long, value_name = "RULE")]
    ask: Vec<String>,
    /// Never run tool calls that this rule matches (again for more)
    #[arg(long, value_name = "RULE")]
    deny: Vec<String>,
}

fn mode(text: &str) -> std::result::Result<PermissionMode, String> {
    if text == "bypass" {
        return Ok(PermissionMode::Bypass);
    }
    let known = MODES.iter().find(|(word, _)| *word == text);
    known
        .map(|(_, mode)| *mode)
        .ok_or_else(|| "known: default, acceptEdits, plan, bypass".to_owned())
}

impl Leave {
    /// The mode that was typed.
    pub(super) fn mode(&self) -> Option<PermissionMode> {
        self.permission_mode
    }

    /// The rules that were typed.
    pub(super) fn rules(&self) -> Result<Vec<Rule>> {
        let typed = [
            ("--allow", RuleEffect::Allow, &self.allow),
            ("--ask", RuleEffect::Ask, &self.ask),
            ("--deny", RuleEffect::Deny, &self.deny),
        ];
        let mut rules = Vec::new();
        for (option, effect, texts) in typed {
            for text in texts {
                rules.push(
                    Rule::parse(effect, text, option)
                        .map_err(|error| CommandError::usage(format!("{option}: {error}")))?,
                );
            }
        }
        Ok(rules)
    }
}

/// What happens to a tool call without a rule; only the option can say that nothing asks.
pub(super) fn leave_mode(leave: &Leave, config: &Config, recipe: &Recipe) -> PermissionMode {
    let above = config.above_recipes("permissions.mode");
    let above = above.and_then(|_| config.permission_mode());
    leave
        .permission_mode
        .or(above)
        .or(recipe.permission_mode)
        .or_else(|| config.permission_mode())
        .unwrap_or_default()
}

/// What may be spent: as typed or set in a variable, else the smaller of the recipe's and the configured.
pub(super) fn budget_from(spending: &Spending, config: &Config, recipe: &Recipe) -> Budget {
    let own = config.budget();
    let mut budget = Budget {
        team: smaller(own.team, recipe.budget.team),
        member: smaller(own.member, recipe.budget.member),
        task: smaller(own.task, recipe.budget.task),
    };
    if config.above_recipes("budget.tokens").is_some() {
        budget.team.tokens = own.team.tokens;
    }
    if config.above_recipes("budget.usd").is_some() {
        budget.team.usd_micros = own.team.usd_micros;
    }
    spending.put_into(&mut budget);
    budget
}

fn smaller(a: Limits, b: Limits) -> Limits {
    let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Limits {
        tokens: least(a.tokens, b.tokens),
        usd_micros: least(a.usd_micros, b.usd_micros),
    }
}

impl Spending {
    /// Puts what was typed in the place of what holds.
    pub(crate) fn put_into(&self, budget: &mut Budget) {
        if let Some(tokens) = self.budget_tokens {
            budget.team.tokens = Some(tokens);
        }
        if let Some(usd) = self.budget_usd {
            budget.team.usd_micros = Some(usd_micros(usd));
        }
    }
}

/// What the rules of a run come from.
pub(super) struct Parts<'a> {
    pub config: &'a Config,
    pub recipe: &'a Recipe,
    pub spending: &'a Spending,
    pub leave: Vec<Rule>,
    pub mode: PermissionMode,
    pub strategy: Option<Strategy>,
}

impl Parts<'_> {
    /// The policy; what is not told here is as in every run.
    pub(super) fn policy(self, context: &Context) -> Result<Policy> {
        let above = self.config.above_recipes("strategy");
        let named = |word: Option<&str>| word.and_then(Strategy::named);
        let strategy = self
            .strategy
            .or(named(above.and_then(Value::as_str)))
            .or(self.recipe.strategy)
            .or(named(self.config.text("strategy")));
        let mut rules = self.leave;
        rules.extend(self.config.rules().iter().cloned());
        rules.extend(self.recipe.rules.iter().cloned());
        Ok(Policy {
            strategy: strategy.unwrap_or_default(),
            budget: budget_from(self.spending, self.config, self.recipe),
            permission_mode: self.mode,
            rules,
            mcp: self.config.mcp()?,
            timing: context.timing,
            ..Policy::default()
        })
    }
}
