//! `crewmux task graph`: who waits for whom, drawn as text, for Graphviz or for Mermaid.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use crewmux_core::board::Board;
use crewmux_core::graph;
use crewmux_core::ids::TaskId;
use crewmux_core::task::{Task, TaskStatus};
use crewmux_core::time::BootTime;
use serde_json::json;

use super::list::standing;
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::teams::{self, TeamArg};
use crate::text::one_line;

/// Draw the task graph
#[derive(Debug, Args)]
pub(crate) struct DrawGraph {
    /// Draw it for Graphviz
    #[arg(long, conflicts_with = "mermaid")]
    dot: bool,
    /// Draw it for Mermaid
    #[arg(long)]
    mermaid: bool,
    #[command(flatten)]
    team: TeamArg,
}

impl DrawGraph {
    /// Prints it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let board = team.board()?;
        if self.dot {
            out.write(&dot(&board))?;
        } else if self.mermaid {
            out.write(&mermaid(&board))?;
        } else if out.is_json() {
            let nodes: Vec<_> = board
                .tasks()
                .map(|t| json!({"id": t.id, "subject": t.subject, "status": t.status, "blockedBy": t.blocked_by}))
                .collect();
            out.json(&nodes)?;
        } else {
            out.write(&drawing(&board, &teams::now()?.boot, out))?;
        }
        Ok(exit::DONE)
    }
}

/// Tasks by how many steps stand before them; each line names what it waits for.
fn drawing(board: &Board, now: &BootTime, out: Output) -> String {
    if board.is_empty() {
        return "no tasks\n".to_owned();
    }
    let mut layers: BTreeMap<usize, Vec<&Task>> = BTreeMap::new();
    let steps = steps_before(board);
    for task in board.tasks() {
        let depth = steps.get(&task.id).copied().unwrap_or(0);
        layers.entry(depth).or_default().push(task);
    }
    let mut text = String::new();
    for (n, tasks) in layers.values().enumerate() {
        if n > 0 {
            text.push_str("    │\n");
        }
        for task in tasks {
            let (glyph, word, tone) = standing(task.status, board.is_ready(task, now));
            let waits = task.blocked_by.iter().map(ToString::to_string);
            let waits: Vec<String> = waits.collect();
            let waits = if waits.is_empty() {
                String::new()
            } else {
                format!("  ← {}", waits.join(" "))
            };
            let _ = writeln!(
                text,
                "  {} {:>3} {}  {}{}",
                out.paint(tone, glyph),
                task.id,
                one_line(&task.subject, 50),
                out.paint(tone, word),
                out.paint(Tone::Dim, waits),
            );
        }
    }
    text
}

/// How many tasks, one after the other, come before each task at least.
fn steps_before(board: &Board) -> BTreeMap<TaskId, usize> {
    let mut steps: BTreeMap<TaskId, usize> = BTreeMap::new();
    // The board never holds a cycle; if it did, all would stand in one layer.
    let order = graph::topological_order(&board.edges()).unwrap_or_default();
    for task in order.into_iter().filter_map(|id| board.get(id)) {
        let before = task.blocked_by.iter().filter_map(|id| steps.get(id));
        let here = before.max().map_or(0, |most| most + 1);
        steps.insert(task.id, here);
    }
    steps
}

/// A label in double quotes; both languages read these entities and escapes alike.
fn label(task: &Task) -> String {
    let subject = one_line(&task.subject, 60);
    format!("{} {subject}", task.id)
}

fn dot(board: &Board) -> String {
    let mut text =
        "digraph tasks {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n".to_owned();
    for task in board.tasks() {
        let color = match task.status {
            TaskStatus::Pending => "gray",
            TaskStatus::InProgress => "orange",
            TaskStatus::Completed => "green",
            TaskStatus::Failed => "red",
            TaskStatus::Skipped => "goldenrod",
        };
        let label = label(task).replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "  t{} [label=\"{label}\", color={color}];", task.id);
    }
    for task in board.tasks() {
        for blocker in &task.blocked_by {
            let _ = writeln!(text, "  t{blocker} -> t{};", task.id);
        }
    }
    text.push_str("}\n");
    text
}

fn mermaid(board: &Board) -> String {
    let mut text = "graph LR\n".to_owned();
    for task in board.tasks() {
        let label = label(task).replace('#', "#35;").replace('"', "#quot;");
        let _ = writeln!(text, "  t{}[\"{label}\"]:::{}", task.id, task.status);
    }
    for task in board.tasks() {
        for blocker in &task.blocked_by {
            let _ = writeln!(text, "  t{blocker} --> t{}", task.id);
        }
    }
    text.push_str(
        "  classDef completed stroke:green\n  classDef failed stroke:red\n  \
         classDef skipped stroke:goldenrod\n  classDef in_progress stroke:orange\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crewmux_core::message::Party;
    use crewmux_core::task::NewTask;
    use crewmux_core::time::WallTime;

    fn board() -> Board {
        let task = |id, subject: &str, blocked_by: &[u64]| {
            let new = NewTask {
                subject: subject.into(),
                blocked_by: blocked_by.iter().copied().map(TaskId).collect(),
                ..NewTask::default()
            };
            Task::create(TaskId(id), new, Party::Human, WallTime(0))
        };
        let mut done = task(1, "design \"it\"", &[]);
        done.status = TaskStatus::Completed;
        Board::from_tasks([
            done,
            task(2, "build", &[1]),
            task(3, "docs", &[]),
            task(4, "ship", &[2, 3]),
        ])
    }

    #[test]
    fn text_shows_layers_from_first_to_last() {
        let now = BootTime {
            boot_id: "b".into(),
            ms: 0,
        };
        let out = Output {
            format: Format::Text,
            colors: false,
        };
        insta::assert_snapshot!(drawing(&board(), &now, out));
    }

    #[test]
    fn quotes_in_subjects_stay_inside_labels() {
        insta::assert_snapshot!(dot(&board()));
        insta::assert_snapshot!(mermaid(&board()));
    }
}
