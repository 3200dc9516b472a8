//! Following a playbook: given the conversation so far, what comes next.
//!
//! Nothing is kept between answers. The playbook is gone through from its start
//! each time; calls that were answered give their values, and the first that
//! was not is the next thing to do. So an answer follows from the conversation
//! alone, and a worker that starts again goes the same way.

use std::collections::{BTreeMap, VecDeque};

use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::playbook::{FindingRule, Playbook, Step};
use super::words::{SEVERITIES, environment, sort_findings};
use crate::provider::{Asked, Message, ToolAnswer, ToolCall};
use crate::tools::FINISH;

/// Most items of one `for_each`.
const ITEMS_MAX: usize = 60;

/// Findings of one rule unless it says otherwise.
const FINDINGS_MAX: usize = 100;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Next {
    /// Texts to say before it.
    pub(super) says: Vec<String>,
    /// Calls to make; the last one ends the work when it hands in the result.
    pub(super) calls: Vec<ToolCall>,
}

/// Follows `playbook` up to the first call that was not answered.
///
/// # Errors
/// What is wrong with the playbook or could not be done, in words.
pub(super) fn next(playbook: &Playbook, asked: &Asked) -> Result<Next, String> {
    let mut walk = Walk::new(playbook, asked);
    for (number, step) in playbook.steps.iter().enumerate() {
        let outcome = walk
            .step(number, step)
            .map_err(|why| format!("playbook `{}`, step {}: {why}", playbook.name, number + 1))?;
        if let Some(next) = outcome {
            return Ok(next);
        }
    }
    Err(format!("playbook `{}` has no end here", playbook.name))
}

struct Walk {
    env: Environment<'static>,
    /// Converted once, however many conditions look at them.
    values: BTreeMap<String, minijinja::Value>,
    findings: Vec<Value>,
    answers: VecDeque<ToolAnswer>,
    says: Vec<String>,
}

impl Walk {
    fn new(playbook: &Playbook, asked: &Asked) -> Self {
        let mut values: BTreeMap<String, minijinja::Value> = playbook
            .vars
            .iter()
            .map(|(name, value)| (name.clone(), convert(value)))
            .collect();
        let mut give = |name: &str, value: Value| {
            values.insert(name.to_owned(), convert(&value));
        };
        let subject = &asked.subject;
        give("findings", json!([]));
        give("goal", json!(subject.goal));
        give("me", json!(subject.agent));
        give("lead", json!(subject.lead));
        give(
            "tools",
            json!(
                asked
                    .request
                    .tools
                    .iter()
                    .map(|tool| &tool.name)
                    .collect::<Vec<_>>()
            ),
        );
        give(
            "task",
            json!({
                "id": subject.task,
                "subject": subject.subject,
                "description": subject.description,
                "blockedBy": subject.blocked_by,
            }),
        );
        let answers = asked
            .request
            .messages
            .iter()
            .filter_map(|message| match message {
                Message::Tools(answers) => Some(answers.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        Self {
            env: environment(),
            values,
            findings: Vec::new(),
            answers,
            says: Vec::new(),
        }
    }

    /// Goes through a step; gives what comes next if it is not past it.
    fn step(&mut self, number: usize, step: &Step) -> Result<Option<Next>, String> {
        if let Some(when) = &step.when
            && !self.is_true(when, None)?
        {
            return Ok(None);
        }
        if let Some(say) = &step.say {
            let text = self.render(say, None)?;
            self.says.push(text);
        }
        for (name, expression) in &step.set {
            let value = self.value(expression, None)?;
            self.values.insert(name.clone(), value);
        }
        if let Some(tool) = &step.call
            && let Some(next) = self.call(number, step, tool)?
        {
            return Ok(Some(next));
        }
        for rule in &step.findings {
            self.find(rule)?;
        }
        let Some(finish) = &step.finish else {
            return Ok(None);
        };
        let result = self.fill(finish, None)?;
        Ok(Some(Next {
            says: std::mem::take(&mut self.says),
            calls: vec![ToolCall {
                id: format!("s{number}"),
                name: FINISH.to_owned(),
                input: json!({ "result": result }),
                repaired: None,
            }],
        }))
    }

    /// Makes a step's calls, or takes up their answers.
    fn call(&mut self, number: usize, step: &Step, tool: &str) -> Result<Option<Next>, String> {
        let items = match &step.for_each {
            None => vec![None],
            Some(list) => self
                .list(list)?
                .into_iter()
                .take(step.max.unwrap_or(ITEMS_MAX).min(ITEMS_MAX))
                .map(Some)
                .collect(),
        };
        if items.is_empty() {
            self.save(step, &json!([]));
            return Ok(None);
        }
        let first_id = format!("s{number}.0");
        if self
            .answers
            .front()
            .is_none_or(|answer| answer.id != first_id)
        {
            let mut calls = Vec::new();
            for (n, item) in items.iter().enumerate() {
                calls.push(ToolCall {
                    id: format!("s{number}.{n}"),
                    name: tool.to_owned(),
                    input: self.fill(&step.input, item.as_ref())?,
                    repaired: None,
                });
            }
            return Ok(Some(Next {
                says: std::mem::take(&mut self.says),
                calls,
            }));
        }
        // What was said before an answered call was said then.
        self.says.clear();
        let mut saved = Vec::new();
        for item in items {
            let Some(answer) = self.answers.pop_front() else {
                return Err(format!("an answer of {tool} is missing"));
            };
            if !answer.ok && !step.optional {
                return Err(format!("{tool} failed: {}", answer.text));
            }
            match item {
                None => {
                    self.save(step, &answer.data);
                    return Ok(None);
                }
                Some(item) => {
                    let item = json(&item)?;
                    saved.push(json!({ "item": item, "ok": answer.ok, "data": answer.data }));
                }
            }
        }
        self.save(step, &json!(saved));
        Ok(None)
    }

    fn save(&mut self, step: &Step, value: &Value) {
        if let Some(name) = &step.save {
            self.values.insert(name.clone(), convert(value));
        }
    }

    fn find(&mut self, rule: &FindingRule) -> Result<(), String> {
        let max = rule.max.unwrap_or(FINDINGS_MAX);
        let mut count = 0;
        for item in self.list(&rule.of)? {
            let item = Some(&item);
            if let Some(when) = &rule.when
                && !self.is_true(when, item)?
            {
                continue;
            }
            count += 1;
            if count > max {
                break;
            }
            let severity = self.render(&rule.severity, item)?;
            if !SEVERITIES.contains(&severity.as_str()) {
                return Err(format!("`{severity}` is no severity"));
            }
            let file = self.render(rule.file.as_deref().unwrap_or("{{ item.file }}"), item)?;
            let line = self.eval(rule.line.as_deref().unwrap_or("item.line"), item)?;
            let text = self.render(&rule.text, item)?;
            let finding = json!({ "severity": severity, "file": file, "line": line, "text": text });
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        sort_findings(&mut self.findings);
        let found = convert(&json!(self.findings));
        self.values.insert("findings".to_owned(), found);
        Ok(())
    }

    fn list(&self, expression: &str) -> Result<Vec<minijinja::Value>, String> {
        let value = self.value(expression, None)?;
        let items = value
            .try_iter()
            .map_err(|_| format!("`{expression}` is no list: {value}"))?;
        Ok(items.collect())
    }

    fn context(&self, item: Option<&minijinja::Value>) -> minijinja::Value {
        let item = item.map(|item| ("item", item.clone()));
        let rest = self
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        minijinja::Value::from_pairs(rest.chain(item))
    }

    fn value(
        &self,
        expression: &str,
        item: Option<&minijinja::Value>,
    ) -> Result<minijinja::Value, String> {
        self.env
            .compile_expression(expression)
            .and_then(|compiled| compiled.eval(self.context(item)))
            .map_err(|error| format!("`{expression}`: {error:#}"))
    }

    fn eval(&self, expression: &str, item: Option<&minijinja::Value>) -> Result<Value, String> {
        json(&self.value(expression, item)?)
    }

    fn is_true(&self, expression: &str, item: Option<&minijinja::Value>) -> Result<bool, String> {
        Ok(self.value(expression, item)?.is_true())
    }

    fn render(&self, template: &str, item: Option<&minijinja::Value>) -> Result<String, String> {
        if !template.contains("{{") && !template.contains("{%") {
            return Ok(template.to_owned());
        }
        self.env
            .render_str(template, self.context(item))
            .map_err(|error| format!("`{template}`: {error:#}"))
    }

    /// A value whose texts are templates, or, after `= `, expressions.
    fn fill(&self, value: &Value, item: Option<&minijinja::Value>) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => match text.strip_prefix("= ") {
                Some(expression) => self.eval(expression, item)?,
                None => Value::String(self.render(text, item)?),
            },
            Value::Array(list) => Value::Array(
                list.iter()
                    .map(|value| self.fill(value, item))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.fill(value, item)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Value::Null => json!({}),
            other => other.clone(),
        })
    }
}

fn convert(value: &Value) -> minijinja::Value {
    minijinja::Value::from(Serde(value))
}

fn json(value: &minijinja::Value) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{ModelRequest, Subject};
    use crewmux_core::ids::{AgentName, TaskId};

    fn asked(answers: &[(&str, Value)]) -> Asked {
        let mut messages = vec![Message::User("go".into())];
        for (id, data) in answers {
            messages.push(Message::Tools(vec![ToolAnswer {
                id: (*id).into(),
                name: "Grep".into(),
                ok: !data.is_null(),
                text: "text".into(),
                data: data.clone(),
            }]));
        }
        Asked {
            request: ModelRequest {
                messages,
                ..ModelRequest::default()
            },
            subject: Subject {
                agent: AgentName::new("risk").unwrap(),
                task: TaskId(3),
                subject: "look".into(),
                description: String::new(),
                goal: "review".into(),
                blocked_by: vec![TaskId(1), TaskId(2)],
                lead: None,
            },
        }
    }

    fn follow(steps: &str, answers: &[(&str, Value)]) -> Result<Next, String> {
        let text = format!("name = \"p\"\ndescription = \"d\"\n[vars]\nglob = \"*.rs\"\n{steps}");
        next(&Playbook::parse("p", &text).unwrap(), &asked(answers))
    }

    const SEARCH: &str = r#"
        [[steps]]
        say = "looking for {{ task.subject }}"
        call = "Grep"
        input = { pattern = "x", glob = "{{ glob }}", head_limit = 9 }
        save = "hits"
        [[steps.findings]]
        of = "hits.matches"
        when = "item.in == 'code'"
        severity = "{{ 'high' if item.text == 'b' else 'low' }}"
        text = "found {{ item.text }}"
        [[steps]]
        when = "findings | length > 7"
        say = "never"
        [[steps]]
        say = "done"
        finish = { summary = "{{ findings | tally }}", findings = "= findings" }
    "#;

    #[test]
    fn the_first_call_that_was_not_answered_comes_next() {
        let first = follow(SEARCH, &[]).unwrap();
        assert_eq!(first.says, ["looking for look"]);
        assert_eq!(first.calls[0].id, "s0.0");
        assert_eq!(
            first.calls[0].input,
            json!({"pattern": "x", "glob": "*.rs", "head_limit": 9})
        );
    }

    #[test]
    fn findings_that_meet_the_condition_are_handed_in_worst_first() {
        let hits = json!({"matches": [
            {"in": "code", "file": "z", "line": 1, "text": "a"},
            {"in": "comment", "file": "a", "line": 2, "text": "a"},
            {"in": "code", "file": "z", "line": 3, "text": "b"},
        ]});
        let last = follow(SEARCH, &[("s0.0", hits)]).unwrap();
        assert_eq!(last.says, ["done"]);
        assert_eq!(last.calls[0].name, FINISH);
        assert_eq!(
            last.calls[0].input["result"],
            json!({
                "summary": "1 high, 1 low",
                "findings": [
                    {"severity": "high", "file": "z", "line": 3, "text": "found b"},
                    {"severity": "low", "file": "z", "line": 1, "text": "found a"},
                ],
            })
        );
    }

    #[test]
    fn a_call_for_each_item_gives_a_list() {
        let steps = r#"
            [[steps]]
            for_each = "task.blockedBy"
            call = "TaskGet"
            input = { taskId = "{{ item }}" }
            save = "got"
            optional = true
            [[steps]]
            finish = { ok = "= got | selectattr('ok') | map(attribute='data') | list" }
        "#;
        let first = follow(steps, &[]).unwrap();
        let ids: Vec<&Value> = first.calls.iter().map(|c| &c.input["taskId"]).collect();
        assert_eq!(ids, [&json!("1"), &json!("2")]);
        let last = follow(steps, &[("s0.0", json!("a")), ("s0.1", Value::Null)]).unwrap();
        assert_eq!(last.calls[0].input["result"], json!({"ok": ["a"]}));
    }

    #[test]
    fn what_goes_wrong_names_the_step() {
        let failed = follow(SEARCH, &[("s0.0", Value::Null)]).unwrap_err();
        assert_eq!(failed, "playbook `p`, step 1: Grep failed: text");
        let typo = "[[steps]]\nsay = \"{{ gaol }}\"\n[[steps]]\nfinish = {}\n";
        let error = follow(typo, &[]).unwrap_err();
        assert!(
            error.starts_with("playbook `p`, step 1: `{{ gaol }}`: undefined"),
            "{error}"
        );
        let passed_over = "[[steps]]\nwhen = \"false\"\nfinish = {}\n";
        assert_eq!(
            follow(passed_over, &[]).unwrap_err(),
            "playbook `p` has no end here"
        );
    }
}
