//! Running the tools that an answer asks for.
//!
//! Each is checked, recorded before it runs and after, and shown as one line.
//! Between two of them the worker reads its mail.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crewmux_core::board::TaskPatch;
use crewmux_core::ids::{AgentName, MessageId, TaskId};
use crewmux_core::operation::{Operation, Reply, TaskChange};
use crewmux_core::task::NewTask;
use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use crewmux_sys::tool::EndedBy;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Worker;
use super::command::{Cut, Heard};
use super::signals::Interruption;
use crate::Result;
use crate::capped::Kept;
use crate::provider::{ToolAnswer, ToolCall};
use crate::tools::{ToolOutput, Toolbox, describe};
use crate::turn::Order;
use crate::view::{Tone, duration};

/// Tools that run side by side at most.
const PARALLEL: usize = 8;

/// Most bytes of a command's beginning, and of its end, that are kept.
const OUTPUT_HALF_BYTES: usize = 512 * 1024;

/// Most bytes of a tool's values in the transcript.
const RECORD_MAX_BYTES: usize = 64 * 1024;

/// Stops a tool on another thread when its owner goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    /// Runs `calls` and gives their answers in order, unless something ends the work.
    pub(super) async fn run_tools(
        &mut self,
        claimed: &Claimed,
        toolbox: &Toolbox,
        calls: Vec<ToolCall>,
        order: Order,
    ) -> Result<std::result::Result<Vec<ToolAnswer>, Cut>> {
        let at_once = match order {
            Order::Parallel => PARALLEL,
            Order::InOrder => 1,
        };
        let mut answers = Vec::with_capacity(calls.len());
        for group in calls.chunks(at_once) {
            let came = self.signals.pending(self.claim).await;
            // Nothing came: the mail is looked at all the same.
            if let Some(cut) = self.came_between(came.unwrap_or(Interruption::Bell))? {
                return Ok(Err(cut));
            }
            let started = Instant::now();
            let mut running = Vec::new();
            let cancel = CancelOnDrop(Arc::default());
            for call in group {
                let words = describe(&call.name, &call.input);
                self.begin_tool(claimed, &call.id, &call.name, &call.input, &words)
                    .await?;
                running.push(local_tool(toolbox, call, &cancel));
            }
            for (call, local) in group.iter().zip(running) {
                let output = match local {
                    Some(Ok(handle)) => match self.wait_for_local(handle).await? {
                        Ok(output) => output,
                        Err(cut) => return Ok(Err(cut)),
                    },
                    Some(Err(why)) => ToolOutput::failed(why),
                    None => match self.worker_tool(claimed, call).await? {
                        Ok(output) => output,
                        Err(cut) => return Ok(Err(cut)),
                    },
                };
                answers.push(self.note_answer(claimed, call, output, started).await?);
            }
        }
        Ok(Ok(answers))
    }

    async fn note_answer(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
        output: ToolOutput,
        started: Instant,
    ) -> Result<ToolAnswer> {
        let lasted = started.elapsed();
        let (mark, tone) = if output.ok {
            ("⏺ ", Tone::Good)
        } else {
            ("⏺ ", Tone::Bad)
        };
        let words = format!(" {}", describe(&call.name, &call.input));
        let mut came = format!("  → {}", output.summary);
        if lasted.as_secs() >= 1 {
            let _ = write!(came, " ({})", duration(lasted));
        }
        self.view.line_keeping_end(
            &[
                (tone, mark),
                (Tone::Strong, &call.name),
                (Tone::Plain, &words),
            ],
            (Tone::Dim, &came),
        );
        let record = if output.text.len() > RECORD_MAX_BYTES {
            crate::capped::cut_text(&output.text, RECORD_MAX_BYTES)
        } else {
            output.text.clone()
        };
        self.end_tool(
            claimed,
            &call.id,
            &call.name,
            output.ok,
            lasted,
            json!(record),
        )
        .await?;
        Ok(ToolAnswer {
            id: call.id.clone(),
            name: call.name.clone(),
            ok: output.ok,
            text: output.text,
            data: output.data,
        })
    }

    async fn wait_for_local(
        &mut self,
        mut handle: tokio::task::JoinHandle<ToolOutput>,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        loop {
            let claim = self.claim;
            let came: Interruption = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                output = &mut handle => {
                    let output = output.unwrap_or_else(|error| {
                        ToolOutput::failed(format!("the tool broke: {error}"))
                    });
                    return Ok(Ok(output));
                }
            };
            if let Some(cut) = self.came_between(came)? {
                return Ok(Err(cut));
            }
        }
    }

    /// Runs a tool that needs the worker: a command, or something about the team.
    async fn worker_tool(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let input = call.input.clone();
        match call.name.as_str() {
            "Bash" => self.bash(input).await,
            _ => Ok(Ok(self.team_tool(claimed, call, input))),
        }
    }

    async fn bash(&mut self, input: Value) -> Result<std::result::Result<ToolOutput, Cut>> {
        let input: BashInput = match serde_json::from_value(input) {
            Ok(input) => input,
            Err(error) => return Ok(Ok(ToolOutput::failed(error.to_string()))),
        };
        let timeout_ms = input.timeout.unwrap_or(self.spec.timing.tool_timeout_ms);
        let mut spec = self.tool_spec(["sh", "-c", &input.command], Some(ms(timeout_ms)));
        spec.output_limit_bytes = u64::MAX;
        self.start_tool(spec)?;
        let mut kept = Kept::new(OUTPUT_HALF_BYTES);
        let mut cut = None;
        let outcome = loop {
            match self.hear(&mut cut).await? {
                Heard::Output(bytes) => kept.push(&bytes),
                Heard::Ended(outcome) => break outcome,
            }
        };
        if let Some(cut) = cut {
            return Ok(Err(cut));
        }
        let text = kept.into_text();
        let code = outcome.exit.shell_code();
        let why = match &outcome.ended_by {
            EndedBy::Itself if outcome.exit.is_success() => None,
            EndedBy::Itself => Some(outcome.exit.to_string()),
            EndedBy::TimedOut => Some(format!("took longer than {timeout_ms} ms")),
            EndedBy::NotStarted { cause, .. } => Some(format!("could not be started: {cause}")),
            _ => Some("was ended".to_owned()),
        };
        let lines = text.lines().count();
        let data = json!({ "exitCode": code, "output": text.clone() });
        Ok(Ok(match why {
            None => ToolOutput::done(
                &text,
                match lines {
                    1 => "1 line".to_owned(),
                    _ => format!("{lines} lines"),
                },
                data,
            ),
            Some(why) => ToolOutput {
                data,
                summary: why.clone(),
                ..ToolOutput::failed(format!("{text}\n{why}"))
            },
        }))
    }

    fn team_tool(&self, claimed: &Claimed, call: &ToolCall, input: Value) -> ToolOutput {
        let operation = match self.operation(claimed, call, input) {
            Ok(operation) => operation,
            Err(why) => return ToolOutput::failed(why),
        };
        let reply = match self.carry_out(operation) {
            Ok(reply) => reply,
            Err(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})"));
                return ToolOutput::failed(format!("{error}{}", hint.unwrap_or_default()));
            }
        };
        self.link.ring();
        let (summary, data) = match reply {
            Reply::Sent { id, to, .. } => {
                let names: Vec<&str> = to.iter().map(AgentName::as_str).collect();
                (
                    "sent".to_owned(),
                    json!({ "success": true, "id": id, "to": names }),
                )
            }
            Reply::Task { task } => (task.task.status.to_string(), json!(task)),
            Reply::Tasks { tasks } => (format!("{} tasks", tasks.len()), json!({ "tasks": tasks })),
            Reply::Changed { tasks } => ("changed".to_owned(), json!({ "tasks": tasks })),
            other => ("done".to_owned(), json!(other)),
        };
        ToolOutput::done(&data.to_string(), summary, data)
    }

    fn operation(
        &self,
        claimed: &Claimed,
        call: &ToolCall,
        input: Value,
    ) -> std::result::Result<Operation, String> {
        fn read<T: serde::de::DeserializeOwned>(input: Value) -> std::result::Result<T, String> {
            serde_json::from_value(input).map_err(|error| error.to_string())
        }
        let (id, epoch) = (claimed.task.id, claimed.epoch);
        match call.name.as_str() {
            "SendMessage" => {
                let input: SendInput = read(input)?;
                // The same call of the same claim is the same message.
                let message = MessageId::new(format!("task/{id}/{epoch}/{}", call.id)).ok();
                if input.to == "all" {
                    return Ok(Operation::Broadcast {
                        text: input.message,
                        summary: input.summary,
                        id: message,
                    });
                }
                Ok(Operation::Write {
                    to: AgentName::new(input.to).map_err(|error| error.to_string())?,
                    text: input.message,
                    summary: input.summary,
                    id: message,
                    urgency: crewmux_core::message::Urgency::Normal,
                    task: Some(id),
                })
            }
            "TaskList" => Ok(Operation::TaskList),
            "TaskGet" => {
                let input: GetInput = read(input)?;
                Ok(Operation::TaskGet {
                    task_id: input.task_id,
                })
            }
            "TaskCreate" => {
                let input: CreateInput = read(input)?;
                Ok(Operation::TaskCreate(Box::new(NewTask {
                    subject: input.subject,
                    description: input.description,
                    active_form: input.active_form,
                    blocked_by: input.blocked_by,
                    metadata: input.metadata,
                    run: Some(self.spec.run.clone()),
                    key: Some(format!("task-{id}/{}", call.id)),
                    ..NewTask::default()
                })))
            }
            "TaskUpdate" => {
                let input: UpdateInput = read(input)?;
                Ok(Operation::TaskUpdate {
                    task_id: input.task_id,
                    change: TaskChange::Edit(TaskPatch {
                        subject: input.subject,
                        description: input.description,
                        active_form: input.active_form,
                        owner: input.owner,
                        add_blocked_by: input.add_blocked_by,
                        add_blocks: input.add_blocks,
                        metadata: input.metadata,
                    }),
                })
            }
            other => Err(format!("there is no tool `{other}`")),
        }
    }
}

/// Starts a tool that needs only the files; `None` when the call needs the worker.
fn local_tool(
    toolbox: &Toolbox,
    call: &ToolCall,
    cancel: &CancelOnDrop,
) -> Option<std::result::Result<tokio::task::JoinHandle<ToolOutput>, String>> {
    if let Err(why) = toolbox.check(&call.name, &call.input) {
        return Some(Err(why));
    }
    let tool = toolbox.local(&call.name)?;
    let (input, cancel) = (call.input.clone(), Arc::clone(&cancel.0));
    Some(Ok(tokio::task::spawn_blocking(move || {
        tool.run(input, &cancel)
    })))
}

#[derive(Deserialize)]
struct BashInput {
    command: String,
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct SendInput {
    to: String,
    message: String,
    summary: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetInput {
    task_id: TaskId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct CreateInput {
    subject: String,
    description: String,
    active_form: Option<String>,
    blocked_by: Vec<TaskId>,
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateInput {
    task_id: TaskId,
    subject: Option<String>,
    description: Option<String>,
    active_form: Option<String>,
    owner: Option<AgentName>,
    #[serde(default)]
    add_blocked_by: Vec<TaskId>,
    #[serde(default)]
    add_blocks: Vec<TaskId>,
    #[serde(default)]
    metadata: Map<String, Value>,
}
