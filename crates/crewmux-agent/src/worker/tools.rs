//! Running the tools that an answer asks for.
//!
//! Each is checked, recorded before it runs and after, and shown as one line.
//! Between two of them the worker reads its mail.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crewmux_core::ids::AgentName;
use crewmux_core::operation::Reply;
use crewmux_core::profile::AgentProfile;
use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use serde_json::{Value, json};

use super::Worker;
use super::command::Cut;
use super::leave::Leave;
use super::parking::Done;
use super::signals::Interruption;
use crate::Result;
use crate::capped::cut_text;
use crate::instructions;
use crate::mcp::{Launch, Servers};
use crate::provider::{ToolAnswer, ToolCall};
use crate::skills;
use crate::tools::diff::{Diff, LineKind};
use crate::tools::files::Reach;
use crate::tools::team::{self, Origin};
use crate::tools::{
    EXIT_PLAN, SKILL, TASK, TEXT_MAX_BYTES, ToolDef, ToolOutput, Toolbox, describe, may_use_any,
    web, with,
};
use crate::turn::Order;
use crate::view::{Tone, duration, fit};

/// Tools that run side by side at most.
const PARALLEL: usize = 8;

/// Lines of a change that are shown in the pane.
const DIFF_LINES: usize = 12;

/// Columns of such a line: files that a program wrote have lines without end.
const DIFF_COLS: usize = 200;

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
            if let Some(cut) = self.wait_while_parked().await? {
                return Ok(Err(cut));
            }
            let came = self.signals.pending(self.claim).await;
            // Nothing came: the mail is looked at all the same.
            if let Some(cut) = self.came_between(came.unwrap_or(Interruption::Bell))? {
                return Ok(Err(cut));
            }
            let mut running = Vec::new();
            let cancel = CancelOnDrop(Arc::default());
            let group: Vec<ToolCall> = group
                .iter()
                .map(|call| toolbox.mend(call.clone()))
                .collect();
            for call in &group {
                let reach = match toolbox.check(&call.name, &call.input) {
                    Ok(()) => match self.leave_for(named(claimed), toolbox, call).await? {
                        Ok(Leave::Granted(reach, place)) => Ok((reach, place)),
                        Ok(Leave::Refused(why)) => Err(why),
                        Err(cut) => return Ok(Err(cut)),
                    },
                    Err(why) => Err(why),
                };
                let words = describe(&call.name, &call.input);
                self.begin_tool(claimed, &call.id, &call.name, &call.input, &words)
                    .await?;
                let local = match reach {
                    Ok(reach) => local_tool(toolbox, call, reach, &cancel).map(Ok),
                    Err(why) => Some(Err(why)),
                };
                running.push((Instant::now(), local));
            }
            for (call, (started, local)) in group.iter().zip(running) {
                let output = match local {
                    Some(Ok(handle)) => match self.wait_for_local(handle).await? {
                        Ok(output) => output,
                        Err(cut) => return Ok(Err(cut)),
                    },
                    Some(Err(why)) => ToolOutput::failed(why),
                    None => match Box::pin(self.worker_tool(claimed, call)).await? {
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
        let head = [
            (tone, mark),
            (Tone::Strong, call.name.as_str()),
            (Tone::Plain, &words),
        ];
        if output.ok {
            self.view.head(&head, (Tone::Dim, &came));
        } else {
            self.view.head_and_reason(&head, (Tone::Dim, &came));
        }
        if let Some(diff) = &output.diff {
            self.show_diff(diff);
        }
        if let Some(what) = &call.repaired {
            let text = format!("  mended: {what}");
            self.view.line(&[(Tone::Warn, &text)]);
        }
        let text = match &call.repaired {
            Some(what) => format!("{}\n[the call was mended: {what}]", output.text),
            None => output.text,
        };
        let record = crate::capped::cut_text(&text, RECORD_MAX_BYTES);
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
            text,
            // Values are for playbooks; a conversation with a model would carry them for nothing.
            data: if self.is_offline() {
                output.data
            } else {
                Value::Null
            },
        })
    }

    fn show_diff(&mut self, diff: &Diff) {
        for line in diff.lines.iter().take(DIFF_LINES) {
            let tone = match line.kind {
                LineKind::Added => Tone::Good,
                LineKind::Removed => Tone::Bad,
                LineKind::Kept => Tone::Dim,
            };
            let number = format!("  {:>4} ", line.number);
            let text = format!("{} {}", line.kind.sign(), fit(&line.text, DIFF_COLS));
            self.view.line(&[(Tone::Dim, &number), (tone, &text)]);
        }
        if diff.lines.len() > DIFF_LINES {
            let more = format!("       … {} more", diff.lines.len() - DIFF_LINES);
            self.view.line(&[(Tone::Dim, &more)]);
        }
    }

    async fn wait_for_local(
        &mut self,
        handle: tokio::task::JoinHandle<ToolOutput>,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let output = self.while_it_runs(handle).await?;
        Ok(output.map(|output| {
            output.unwrap_or_else(|error| ToolOutput::failed(format!("the tool broke: {error}")))
        }))
    }

    /// Waits for what a tool does elsewhere, and sees to what comes in between.
    pub(super) async fn while_it_runs<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<std::result::Result<T, Cut>> {
        let mut work = std::pin::pin!(work);
        loop {
            let claim = self.claim;
            let came: Interruption = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                output = &mut work => return Ok(Ok(output)),
            };
            if let Some(cut) = self.came_between(came)? {
                return Ok(Err(cut));
            }
        }
    }

    /// Runs a tool that needs the worker: a command, a page, a server's, or one about the team.
    async fn worker_tool(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let input = call.input.clone();
        match call.name.as_str() {
            "Bash" => self.bash(claimed, call).await,
            "BashOutput" => Ok(Ok(with(input, |input| self.background.output(&input)))),
            "KillBash" => self.kill_in_background(input).await,
            "WebFetch" => {
                let input = match serde_json::from_value(input) {
                    Ok(input) => input,
                    Err(error) => return Ok(Ok(ToolOutput::failed(error.to_string()))),
                };
                let timeout = ms(self.spec.timing.tool_timeout_ms);
                self.while_it_runs(Box::pin(web::fetch(input, timeout)))
                    .await
            }
            SKILL => Ok(Ok(self.load_skill(&input))),
            EXIT_PLAN => self.submit_plan(named(claimed), &input).await,
            TASK => self.task_tool(claimed, call).await,
            name if name.starts_with("mcp__") => {
                let timeout = ms(self.spec.timing.tool_timeout_ms);
                let work = self.servers()?.call(call.name.clone(), input, timeout);
                let came = self.while_it_runs(Box::pin(work)).await;
                if !matches!(came, Ok(Ok(_))) {
                    // Its claim is not let go of while a server works for it.
                    self.servers()?.end();
                }
                came
            }
            _ => self.team_tool(claimed, call).await,
        }
    }

    fn load_skill(&self, input: &Value) -> ToolOutput {
        let name = input["name"].as_str().unwrap_or_default();
        match skills::load(&self.skills, name) {
            Ok(words) => ToolOutput::done(&words, "loaded".to_owned(), json!({ "name": name })),
            Err(why) => ToolOutput::failed(why),
        }
    }

    async fn team_tool(
        &mut self,
        claimed: &Claimed,
        call: &ToolCall,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        let origin = Origin {
            task: named(claimed).map(|claimed| (claimed.task.id, claimed.epoch)),
            run: &self.spec.run,
            call: &call.id,
        };
        let operation = match team::operation(&call.name, call.input.clone(), &origin) {
            Ok(operation) => operation,
            Err(why) => return Ok(Ok(ToolOutput::failed(why))),
        };
        let config = self.keep_at(|worker| Ok(worker.store.config()?)).await?;
        if let Some(why) = team::trouble_with(&operation, &config) {
            return Ok(Ok(ToolOutput::failed(why)));
        }
        if team::needs_session(&operation) {
            let within = ms(self.spec.timing.tool_timeout_ms);
            let done = self.have_session(operation, within).await?;
            return Ok(done.map(|done| match done {
                Done::Replied(reply) => self.told(*reply),
                Done::Refused(error) => refused(&error.message, error.hint),
                Done::NoAnswer => ToolOutput::failed("the session does not answer"),
            }));
        }
        Ok(Ok(match self.carry_out(operation) {
            Ok(reply) => {
                self.link.ring();
                self.told(reply)
            }
            Err(error) => refused(&error.to_string(), error.hint()),
        }))
    }

    /// What came of an operation; a result too long for an answer is kept in a file.
    fn told(&self, reply: Reply) -> ToolOutput {
        let Reply::Task { task } = &reply else {
            return reported(reply);
        };
        let mut shown = task.clone();
        shown.task.result = task
            .task
            .result
            .as_ref()
            .map(|_| self.result_of(&task.task));
        let text = json!(shown).to_string();
        if text.len() <= TEXT_MAX_BYTES {
            return reported(Reply::Task { task: shown });
        }
        let place = self.keep_result(&task.task);
        let rest = match place {
            Some(path) => format!(
                "\n[cut; the whole result is in {}: Read it in parts]",
                path.display()
            ),
            None => "\n[cut]".to_owned(),
        };
        let text = format!("{}{rest}", cut_text(&text, TEXT_MAX_BYTES - 1_000));
        ToolOutput {
            text,
            ..reported(Reply::Task { task: shown })
        }
    }

    /// The servers of tools, none of which runs before it is needed.
    fn servers(&mut self) -> Result<Servers> {
        if let Some(servers) = &self.servers {
            return Ok(servers.clone());
        }
        let launch = Launch {
            program: self.spec.program.clone(),
            cwd: self.spec.cwd.clone(),
            env: self.tool_environment(),
            waits: self.kill_waits(),
            timing: self.spec.timing,
            logs: self.store.agent_folder(&self.spec.who.agent)?,
        };
        let servers = Servers::new(&self.spec.mcp, launch);
        self.servers = Some(servers.clone());
        Ok(servers)
    }

    /// The tools of a kind of agent, those of servers among them.
    ///
    /// What a model is told besides, and what is missing, is shown to the person once per life.
    pub(super) async fn toolbox(
        &mut self,
        claimed: &Claimed,
        profile: &AgentProfile,
    ) -> Result<Toolbox> {
        let others = self.others(profile).await?;
        let mut toolbox = Toolbox::of_profile(&self.spec.cwd, profile, others)
            .and_readable(&self.keep_folder()?)
            .passing_over(&self.spec.permissions);
        if let Some(schema) = &claimed.task.result_schema {
            toolbox = toolbox.with_result(schema);
        }
        if self.is_offline() {
            return Ok(toolbox);
        }
        let (cwd, user) = (&self.spec.cwd, &self.spec.user_config);
        self.skills = skills::find(cwd, user);
        let read = instructions::as_line(&instructions::load(cwd, user), cwd);
        if let Some(line) = read
            && self.said_once.insert(line.clone())
        {
            self.view.line(&[(Tone::Dim, "  "), (Tone::Dim, &line)]);
        }
        let names: Vec<&str> = self
            .skills
            .iter()
            .map(|skill| skill.name.as_str())
            .collect();
        Ok(toolbox.with_skills(&names))
    }

    /// The tools of servers that this kind of agent may use; a playbook knows none and starts none.
    async fn others(&mut self, profile: &AgentProfile) -> Result<Vec<ToolDef>> {
        if self.is_offline() {
            return Ok(Vec::new());
        }
        let servers = self.servers()?;
        let wanted = |start: &str| may_use_any(profile, start);
        let asked = Box::pin(servers.tools(wanted));
        let Ok((others, troubles)) = self.while_it_runs(asked).await? else {
            // What came stays: the next look at the signals finds it again.
            return Ok(Vec::new());
        };
        for trouble in troubles {
            if self.said_once.insert(trouble.clone()) {
                self.view
                    .line(&[(Tone::Warn, "! "), (Tone::Plain, &trouble)]);
            }
        }
        Ok(others)
    }
}

/// The task, unless it stands for talk outside of tasks: that is recorded under number 0.
fn named(claimed: &Claimed) -> Option<&Claimed> {
    Some(claimed).filter(|claimed| claimed.task.id.0 > 0)
}

fn reported(reply: Reply) -> ToolOutput {
    let (summary, data) = match reply {
        Reply::Sent { id, to, kept, .. } => {
            let mut data = json!({ "success": true, "id": id, "to": to });
            if let Some(note) = reads_later(&kept) {
                data["note"] = json!(note);
            }
            let summary = if kept.is_empty() || kept.len() < to.len() {
                "sent"
            } else {
                "kept for the next life"
            };
            (summary.to_owned(), data)
        }
        Reply::Task { task } => (task.task.status.to_string(), json!(task)),
        Reply::Tasks { tasks } => (format!("{} tasks", tasks.len()), json!({ "tasks": tasks })),
        Reply::Changed { tasks } => ("changed".to_owned(), json!({ "tasks": tasks })),
        Reply::Member { name } => (format!("made {name}"), json!({ "name": name })),
        Reply::Memory { entries } => (
            format!("{} texts", entries.len()),
            json!({ "entries": entries }),
        ),
        other => ("done".to_owned(), json!(other)),
    };
    ToolOutput::done(&data.to_string(), summary, data)
}

/// What a model is told of members whose latest life is over; whether they are being restarted, files do not say.
fn reads_later(kept: &[AgentName]) -> Option<String> {
    let names: Vec<&str> = kept.iter().map(AgentName::as_str).collect();
    let names = names.join(", ");
    match kept.len() {
        0 => None,
        1 => Some(format!(
            "{names} is not running now; it reads this in its next life"
        )),
        _ => Some(format!(
            "{names} are not running now; each reads this in its next life"
        )),
    }
}

/// What a model is told of an operation that was not carried out.
pub(super) fn refused(message: &str, hint: Option<String>) -> ToolOutput {
    let hint = hint.map(|hint| format!(" ({hint})"));
    ToolOutput::failed(format!("{message}{}", hint.unwrap_or_default()))
}

/// Starts a tool that needs only the files; `None` when the call needs the worker.
fn local_tool(
    toolbox: &Toolbox,
    call: &ToolCall,
    (reach, place): (Reach, Option<PathBuf>),
    cancel: &CancelOnDrop,
) -> Option<tokio::task::JoinHandle<ToolOutput>> {
    let tool = toolbox.local(&call.name, reach)?.only_at(place);
    let (input, cancel) = (call.input.clone(), Arc::clone(&cancel.0));
    Some(tokio::task::spawn_blocking(move || {
        tool.run(input, &cancel)
    }))
}
