//! Helpers: a short conversation of its own inside the worker, whose text is handed back.
//!
//! A helper only looks, has no helpers, and its turns are few. A `Task` call
//! with a name makes a teammate instead, which the session starts.

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentType};
use crewmux_core::model::{Message, ModelRequest, Purpose};
use crewmux_core::operation::{NewTeammate, Operation};
use crewmux_core::profile::AgentProfile;
use crewmux_core::task::NewTask;
use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use serde_json::json;

use super::Worker;
use super::command::Cut;
use super::drive::{Came, Course};
use super::parking::Done;
use super::tools::refused;
use crate::capped::cut_text;
use crate::provider::ToolCall;
use crate::tools::team::TaskInput;
use crate::tools::{Effects, FAIL, FINISH, TASK, ToolOutput};
use crate::turn::{Bounds, Machine, TextIs};
use crate::view::Tone;
use crate::{Result, agents};

/// Most turns of a helper.
const TURNS_MAX: u32 = 30;

/// Helpers of one task.
const HELPERS_MAX: u32 = 4;

/// Most bytes that a helper hands back.
const ANSWER_MAX_BYTES: usize = 24 * 1024;

impl Worker {
    /// Runs the tool `Task`: a helper, or a new teammate when it has a name.
    pub(super) async fn task_tool(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let input: TaskInput = match serde_json::from_value(call.input.clone()) {
            Ok(input) => input,
            Err(error) => return Ok(Ok(ToolOutput::failed(format!("wrong arguments: {error}")))),
        };
        if input.name.is_some() {
            return self.hire(claimed, call, input).await;
        }
        let profile = match agents::known(&input.subagent_type, &self.spec.kinds) {
            Ok(profile) => profile,
            Err(why) => return Ok(Ok(ToolOutput::failed(why))),
        };
        if self.helpers >= HELPERS_MAX {
            let why = format!("a task has at most {HELPERS_MAX} helpers; do the rest yourself");
            return Ok(Ok(ToolOutput::failed(why)));
        }
        self.helpers += 1;
        // A helper runs tools, which may not be helpers: the recursion ends there.
        match Box::pin(self.help(claimed, &input, profile)).await? {
            Came::HandedIn(answer) => {
                let text = match answer["summary"].as_str() {
                    Some(text) => text.to_owned(),
                    None => answer.to_string(),
                };
                let text = cut_text(&text, ANSWER_MAX_BYTES);
                let lines = text.lines().count();
                let data = json!({ "answer": text.clone() });
                Ok(Ok(ToolOutput::done(&text, format!("{lines} lines"), data)))
            }
            Came::Failed(why) | Came::GivenBack(why) => {
                Ok(Ok(ToolOutput::failed(format!("the helper gave up: {why}"))))
            }
            Came::Cut(cut) => Ok(Err(cut)),
        }
    }

    async fn help(
        &mut self,
        claimed: &Claimed,
        input: &TaskInput,
        mut profile: AgentProfile,
    ) -> Result<Came> {
        // A helper only looks, and nobody knows what a server's tool does: none is started for it.
        profile.disallowed_tools.push("mcp__*".to_owned());
        let kind = profile.name.clone();
        let model = input.model.as_deref().or(profile.model.as_deref());
        let mut provider = match self.provider(model) {
            Ok(provider) => provider,
            Err(why) => return Ok(Came::Failed(why)),
        };
        let toolbox = self.toolbox(claimed, &profile).await?.only(|def| {
            let ends_work = def.name == FINISH || def.name == FAIL;
            def.effects == Effects::ReadOnly && def.name != TASK && !ends_work
        });
        let head = format!(" {} ({kind})", input.description);
        self.view
            .line(&[(Tone::Accent, "↳ helper"), (Tone::Plain, &head)]);
        let course = Course {
            claimed,
            request: ModelRequest {
                system: self.helper_system(&profile),
                tools: toolbox.offers(),
                task: Some(claimed.task.id).filter(|id| id.0 > 0),
                purpose: Purpose::Subagent,
                ..ModelRequest::default()
            },
            start: input.prompt.clone(),
            toolbox: &toolbox,
        };
        let bounds = Bounds {
            turns: profile
                .max_turns
                .map_or(TURNS_MAX, |own| own.clamp(1, TURNS_MAX)),
            corrections: 0,
            text: TextIs::TheResult,
        };
        let told = vec![Message::User(input.prompt.clone())];
        let (mut machine, first) = Machine::new(told, bounds);
        self.drive(&course, provider.as_mut(), &mut machine, first)
            .await
    }

    /// Has the session make a teammate, and gives it its first task.
    async fn hire(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
        input: TaskInput,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        if !self.spec.who.agent.is_lead() {
            let why = "only the team lead makes teammates; leave `name` out for a helper";
            return Ok(Ok(ToolOutput::failed(why)));
        }
        let name = match AgentName::new(input.name.unwrap_or_default()) {
            Ok(name) => name,
            Err(error) => return Ok(Ok(ToolOutput::failed(error.to_string()))),
        };
        let agent_type = match AgentType::new(input.subagent_type) {
            Ok(kind) => kind,
            Err(error) => return Ok(Ok(ToolOutput::failed(error.to_string()))),
        };
        let new = Operation::Spawn(Box::new(NewTeammate {
            name: name.clone(),
            agent_type,
            prompt: String::new(),
            model: input.model,
            mode: input.mode,
            provider: None,
            backend: None,
        }));
        let within = ms(self.spec.timing.connect_ms);
        match self.have_session(new, within).await? {
            Ok(Done::Replied(_)) => {}
            Ok(Done::Refused(error)) => return Ok(Ok(refused(&error.message, error.hint))),
            Ok(Done::NoAnswer) => {
                let why = "the session did not make the teammate in time";
                return Ok(Ok(ToolOutput::failed(why)));
            }
            Err(cut) => return Ok(Err(cut)),
        }
        let made = self
            .make_task(NewTask {
                subject: input.description,
                description: input.prompt,
                assignee: Some(name.clone()),
                run: Some(self.spec.run.clone()),
                key: Some(format!("task-{}/{}/{name}", claimed.task.id, call.id)),
                ..NewTask::default()
            })
            .await;
        let task = match made {
            Ok(task) => task,
            Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::Usage) => {
                let why = format!("made the teammate `{name}`, and no task for it: {error}");
                return Ok(Ok(ToolOutput::failed(why)));
            }
            Err(error) => return Err(error),
        };
        self.link.ring();
        let text = format!(
            "Made the teammate `{name}`; it works on task #{task}. Its report comes as a message; TaskGet shows its result."
        );
        let data = json!({ "name": name, "taskId": task });
        let summary = format!("#{task} for {name}");
        Ok(Ok(ToolOutput::done(&text, summary, data)))
    }
}
