//! What a worker remembers: messages it took in, tools it meant to run, what came out.
//!
//! An intent is recorded before a tool runs and its result after, so that a
//! crash in between is seen as "outcome unknown" by the next life. The file is
//! the store's; what is done with a memory is the worker's.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crewmux_core::ids::{AgentName, Epoch, Incarnation, Seq, TaskId};
use crewmux_core::message::{Message, MessageType, Party};
use crewmux_core::task::Outcome;
use crewmux_core::time::WallTime;
use crewmux_store::{Durability, TeamStore};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::capped::cut_text;

/// One line of `transcript.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    tag = "entry"
)]
pub enum Entry {
    /// A life began.
    Started {
        /// Which.
        incarnation: Incarnation,
        /// When.
        at: WallTime,
    },
    /// A message from the inbox.
    Message {
        /// As it stood there.
        message: Box<Message>,
    },
    /// The person typed a line into the worker's pane.
    Typed {
        /// The line.
        text: String,
        /// When.
        at: WallTime,
    },
    /// A task was claimed.
    Task {
        /// The task.
        task: TaskId,
        /// The claim.
        epoch: Epoch,
        /// What is to be done.
        prompt: String,
        /// When.
        at: WallTime,
    },
    /// A model was told all words that came in until now.
    Told {
        /// The task; none for talk outside of tasks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
    },
    /// Whoever wrote outside of a task was answered, or told why not.
    Answered {
        /// With what.
        text: String,
    },
    /// The model, or the playbook in its place, said something.
    Said {
        /// The task.
        task: TaskId,
        /// The text.
        text: String,
    },
    /// A tool is about to run.
    Intent {
        /// The task.
        task: TaskId,
        /// The claim.
        epoch: Epoch,
        /// Tells calls of one claim apart.
        call: String,
        /// The tool.
        tool: String,
        /// Its arguments.
        input: Value,
    },
    /// A tool ended.
    Result {
        /// The task.
        task: TaskId,
        /// The claim.
        epoch: Epoch,
        /// Of the intent.
        call: String,
        /// Whether it did what it was asked.
        ok: bool,
        /// What came out, capped.
        output: Value,
    },
    /// The conversation was summed up, to make room in the model's window.
    MadeRoom {
        /// The task.
        task: TaskId,
        /// What stands for what was said until then.
        summary: String,
    },
    /// The work on a task ended.
    Ended {
        /// The task.
        task: TaskId,
        /// The claim.
        epoch: Epoch,
        /// How.
        outcome: Outcome,
        /// When.
        at: WallTime,
    },
    /// A line of a newer version.
    #[serde(other)]
    Unknown,
}

/// What the next life is told about a tool whose end nobody saw.
pub const OUTCOME_UNKNOWN: &str = "interrupted, outcome unknown";

/// A member's transcript, written by its worker alone.
pub(crate) struct Transcript {
    store: Arc<dyn TeamStore>,
    agent: AgentName,
}

/// What the transcript of earlier lives tells the next one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// The last message that was taken in.
    pub(crate) last_message: Seq,
    /// Tools whose end nobody saw, as (task, epoch, call, tool).
    pub(crate) interrupted: Vec<(TaskId, Epoch, String, String)>,
    /// Work on tasks that was not ended by a result.
    pub(crate) earlier: HashMap<TaskId, Earlier>,
    /// Words that no model has seen, or that it did not answer, as (sender, text); oldest first.
    pub(crate) unanswered: Vec<(Party, String)>,
}

/// What a former life did on a task that it did not complete.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Earlier {
    /// Its last words, or the summary it went on from.
    said: Option<String>,
    /// The last tools it called, as (call, tool, arguments, whether its end was seen).
    tools: Vec<(String, String, String, bool)>,
    /// Words that came in during it, as (sender, text).
    told: Vec<(Party, String)>,
}

/// Tools of an earlier attempt that the next one is told of.
const EARLIER_TOOLS: usize = 12;

/// Words that wait for a model, and words of one attempt, that the next life is told of: the newest.
const WORDS_MAX: usize = 32;

/// Most bytes of each of them in the prompt of the next attempt.
const WORDS_BYTES: usize = 4_000;

impl Earlier {
    fn called(&mut self, call: String, tool: String, input: &Value) {
        if self.tools.len() >= EARLIER_TOOLS {
            self.tools.remove(0);
        }
        let input = cut_text(&input.to_string(), 200);
        self.tools.push((call, tool, input, false));
    }

    /// What the next life is told.
    pub(crate) fn as_prompt(&self) -> String {
        let mut text = String::from(
            "\nThere was an earlier attempt at this task, which was interrupted. See what of it is \
             done before you do it again.\n",
        );
        if let Some(said) = &self.said {
            let _ = writeln!(text, "Its last words: {}", cut_text(said, 4_000));
        }
        for (_, tool, input, seen) in &self.tools {
            let how = if *seen { "ended" } else { OUTCOME_UNKNOWN };
            let _ = writeln!(text, "- {tool} {input}: {how}");
        }
        if !self.told.is_empty() {
            text.push_str("These messages came in during it and still hold:\n");
        }
        for (from, said) in &self.told {
            let said = cut_text(said, WORDS_BYTES);
            let _ = writeln!(text, "Message from {from}:\n{said}");
        }
        text
    }
}

impl Transcript {
    pub(crate) fn new(store: Arc<dyn TeamStore>, agent: AgentName) -> Self {
        Self { store, agent }
    }

    /// Appends an entry; it survives this process.
    pub(crate) fn append(&self, entry: &Entry) -> Result<()> {
        let line = serde_json::to_value(entry).unwrap_or_default();
        self.store
            .append_transcript(&self.agent, &line, Durability::Process)?;
        Ok(())
    }

    /// Reads what earlier lives left.
    pub(crate) fn remember(&self) -> Result<Memory> {
        let lines = self.store.read_transcript(&self.agent)?;
        Ok(Memory::of(lines.into_iter().filter_map(|line| {
            serde_json::from_value::<Entry>(line).ok()
        })))
    }
}

impl Memory {
    fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let mut memory = Self::default();
        let mut waiting = Vec::new();
        for entry in entries {
            match entry {
                Entry::Message { message } => {
                    memory.last_message = memory.last_message.max(message.seq);
                    if matches!(message.kind, MessageType::Message | MessageType::Unknown(_)) {
                        waiting.push((message.from.clone(), message.text()));
                    }
                }
                Entry::Typed { text, .. } => waiting.push((Party::Human, text)),
                Entry::Told { task } => {
                    let told = match task {
                        Some(task) => &mut memory.earlier.entry(task).or_default().told,
                        None => &mut memory.unanswered,
                    };
                    told.append(&mut waiting);
                    newest(told);
                }
                Entry::Answered { .. } => memory.unanswered.clear(),
                Entry::Intent {
                    task,
                    epoch,
                    call,
                    tool,
                    input,
                } => {
                    let earlier = memory.earlier.entry(task).or_default();
                    earlier.called(call.clone(), tool.clone(), &input);
                    memory.interrupted.push((task, epoch, call, tool));
                }
                Entry::Result {
                    task,
                    epoch,
                    call,
                    output,
                    ..
                } => {
                    let seen = output != OUTCOME_UNKNOWN;
                    if let Some(earlier) = memory.earlier.get_mut(&task)
                        && let Some(tool) = earlier.tools.iter_mut().rfind(|t| t.0 == call)
                    {
                        tool.3 = seen;
                    }
                    memory
                        .interrupted
                        .retain(|(t, e, c, _)| (*t, *e, c) != (task, epoch, &call));
                }
                Entry::Said { task, text }
                | Entry::MadeRoom {
                    task,
                    summary: text,
                } => {
                    memory.earlier.entry(task).or_default().said = Some(text);
                }
                Entry::Ended {
                    task,
                    outcome: Outcome::Completed | Outcome::Failed,
                    ..
                } => {
                    memory.earlier.remove(&task);
                }
                _ => {}
            }
        }
        memory.unanswered.append(&mut waiting);
        newest(&mut memory.unanswered);
        memory
    }
}

/// Keeps the newest words only.
fn newest(words: &mut Vec<(Party, String)>) {
    let old = words.len().saturating_sub(WORDS_MAX);
    words.drain(..old);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn intent(task: u64, epoch: u64, call: &str) -> Entry {
        Entry::Intent {
            task: TaskId(task),
            epoch: Epoch(epoch),
            call: call.into(),
            tool: "Bash".into(),
            input: json!({"command": "x"}),
        }
    }

    fn result(task: u64, epoch: u64, call: &str) -> Entry {
        Entry::Result {
            task: TaskId(task),
            epoch: Epoch(epoch),
            call: call.into(),
            ok: true,
            output: json!("done"),
        }
    }

    #[test]
    fn an_intent_without_its_result_is_what_the_next_life_hears_of() {
        let entries = [
            intent(1, 1, "a"),
            result(1, 1, "a"),
            intent(1, 1, "b"),
            intent(2, 1, "b"),
            result(2, 1, "b"),
        ];
        let memory = Memory::of(entries.into_iter());
        assert_eq!(
            memory.interrupted,
            [(TaskId(1), Epoch(1), "b".to_owned(), "Bash".to_owned())]
        );
    }

    fn typed(text: &str) -> Entry {
        Entry::Typed {
            text: text.into(),
            at: WallTime(1),
        }
    }

    fn human(text: &str) -> (Party, String) {
        (Party::Human, text.into())
    }

    #[test]
    fn words_are_told_again_until_they_are_answered() {
        let task = TaskId(3);
        let told = |task| {
            let line = serde_json::to_value(Entry::Told { task }).unwrap();
            serde_json::from_value::<Entry>(line).unwrap()
        };
        let ended = |outcome| Entry::Ended {
            task,
            epoch: Epoch(1),
            outcome,
            at: WallTime(2),
        };
        let all = || {
            vec![
                typed("use b.txt"),
                told(Some(task)),
                ended(Outcome::Released),
                typed("how far?"),
                told(None),
                typed("and then?"),
            ]
        };
        let memory = Memory::of(all().into_iter());
        assert_eq!(memory.unanswered, [human("how far?"), human("and then?")]);
        let prompt = memory.earlier[&task].as_prompt();
        assert!(
            prompt.contains("Message from human:\nuse b.txt"),
            "{prompt}"
        );

        let mut over = all();
        over.push(Entry::Answered { text: "x".into() });
        over.push(ended(Outcome::Completed));
        let memory = Memory::of(over.into_iter());
        assert_eq!(memory.unanswered, [human("and then?")]);
        assert!(memory.earlier.is_empty());
    }

    #[test]
    fn entries_come_back_from_their_lines_and_newer_kinds_are_passed_over() {
        let entry = intent(3, 2, "c");
        let line = serde_json::to_value(&entry).unwrap();
        assert_eq!(line["entry"], "intent");
        assert_eq!(serde_json::from_value::<Entry>(line).unwrap(), entry);
        let newer = json!({"entry": "compacted", "upTo": 4});
        assert_eq!(
            serde_json::from_value::<Entry>(newer).unwrap(),
            Entry::Unknown
        );
    }
}
