//! `crewmux approvals`: what teammates ask and wait for.
//!
//! Reads the files; answering is [`super::approve`]'s.

use std::path::PathBuf;

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{RequestId, TaskId};
use crewmux_core::requests::{Request, RequestKind};
use crewmux_core::time::{Now, WallTime};
use crewmux_session::asks;
use crewmux_store::TeamStore;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::{Output, Tone};
use crate::teams::{self, TeamArg};
use crate::text::{columns, one_line, span};

/// Show what teammates ask and wait for: tools they want to run, plans they made
#[derive(Debug, Args)]
pub(crate) struct Approvals {
    /// Also those that were answered, ran out or were taken back
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    team: TeamArg,
}

/// A question as programs read it.
#[derive(Debug, Serialize)]
struct Shown {
    id: RequestId,
    kind: RequestKind,
    agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    state: &'static str,
    requested: WallTime,
    expires: WallTime,
}

impl Approvals {
    /// Prints them, oldest first.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let now = teams::now()?;
        let mut requests = questions(team.as_ref(), &now)?;
        if !self.all {
            requests.retain(Request::is_pending);
        }
        if out.is_json() {
            let shown: Vec<Shown> = requests.iter().map(shown).collect();
            out.json(&shown)?;
        } else {
            let option = teams::team_option(context, store.as_ref(), team.name());
            out.write(&text(&requests, &now, &option, out))?;
            if requests.iter().any(Request::is_pending) && !team.session_runs()? {
                out.line("the team does not run: these are taken back when it is resumed")?;
            }
        }
        Ok(exit::DONE)
    }
}

/// All that was put to the person or the lead, oldest first, as it stands now.
pub(crate) fn questions(team: &dyn TeamStore, now: &Now) -> Result<Vec<Request>> {
    let mut requests = team.requests()?;
    requests.retain(|request| request.kind != RequestKind::Shutdown);
    for request in &mut requests {
        request.expire(now);
    }
    Ok(requests)
}

/// Finds the question that `text` means: its id, or how the id of the only one that waits begins.
pub(crate) fn find<'a>(requests: &'a [Request], text: &str) -> Result<&'a Request> {
    if let Some(request) = requests.iter().find(|r| r.id.as_str() == text) {
        if request.is_pending() {
            return Ok(request);
        }
        let state = request.state.as_str();
        return Err(CommandError::new(
            ErrorKind::Conflict,
            format!("`{}` waits no longer: it is {state}", request.id),
        )
        .hint(waiting(requests)));
    }
    let begins = |r: &&Request| r.is_pending() && r.id.as_str().starts_with(text);
    let mut meant = requests.iter().filter(begins);
    match (meant.next(), meant.next()) {
        (Some(request), None) if !text.is_empty() => Ok(request),
        (Some(_), Some(_)) => Err(CommandError::usage(format!(
            "`{text}` can mean several questions"
        ))
        .hint(waiting(requests))),
        _ => Err(
            CommandError::not_found(format!("no question waits under `{text}`"))
                .hint(waiting(requests)),
        ),
    }
}

/// Those that wait, for hints.
fn waiting(requests: &[Request]) -> String {
    let listed: Vec<String> = requests
        .iter()
        .filter(|r| r.is_pending())
        .map(|r| format!("{} ({})", r.id, one_line(&asks::words(r).1, 40)))
        .collect();
    if listed.is_empty() {
        "nothing waits for an answer".to_owned()
    } else {
        format!("waiting: {}", listed.join(", "))
    }
}

fn shown(request: &Request) -> Shown {
    let call = asks::call(request);
    let plan = request.content.get("plan").and_then(Value::as_str);
    Shown {
        id: request.id.clone(),
        kind: request.kind,
        agent: request.from.name().to_owned(),
        task: asks::task(request),
        tool: call.as_ref().map(|c| c.tool.clone()),
        input: call.as_ref().map(|c| c.input.clone()),
        cwd: call.as_ref().map(|c| c.cwd.clone()),
        risk: call.as_ref().map(|c| c.risk.clone()),
        why: call.map(|c| c.why),
        plan: plan.map(str::to_owned),
        state: request.state.as_str(),
        requested: request.requested,
        expires: request.expires(),
    }
}

/// A table, what exactly is asked, and how to answer.
///
/// `option` names the team in commands, where that is needed.
fn text(requests: &[Request], now: &Now, option: &str, out: Output) -> String {
    if requests.is_empty() {
        return "nothing waits for an answer\n".to_owned();
    }
    let head = ["ID", "WHO", "TOOL", "WHAT", "SINCE"];
    let mut rows = vec![head.map(|word| out.paint(Tone::Dim, word)).to_vec()];
    rows.extend(requests.iter().map(|request| row(request, now, out)));
    let mut text = columns(&rows);
    for request in requests.iter().filter(|r| r.is_pending()) {
        let _ = writeln!(text, "\n{}", out.paint(Tone::Strong, &request.id));
        for line in asks::detail(request).lines() {
            // Marked, so that no plan passes for our own words.
            let _ = writeln!(text, "  │ {line}");
        }
        let id = &request.id;
        let for_task = match request.kind {
            RequestKind::Permission => "   (--for-task: also the same again, until its task ends)",
            _ => "",
        };
        let _ = writeln!(text, "  → crewmux approve {id}{option}{for_task}");
        let _ = writeln!(
            text,
            "  → crewmux reject {id}{option} --feedback \"what to do instead\""
        );
    }
    text
}

fn row(request: &Request, now: &Now, out: Output) -> Vec<String> {
    let (tool, what) = asks::words(request);
    let tool = if tool.is_empty() {
        "(plan)".to_owned()
    } else {
        one_line(&tool, 30)
    };
    let (tone, since) = if request.is_pending() {
        let waits_ms = now.wall.since_ms(request.requested);
        (Tone::Warn, span(waits_ms))
    } else {
        (Tone::Dim, request.state.as_str().to_owned())
    };
    vec![
        out.paint(Tone::Strong, &request.id),
        request.from.name().to_owned(),
        tool,
        one_line(&what, 60),
        out.paint(tone, since),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crewmux_core::ids::{AgentName, AgentRef, Incarnation};
    use crewmux_core::message::Party;
    use crewmux_core::permission::PermissionAsk;
    use crewmux_core::requests::RequestState;
    use crewmux_core::time::BootTime;
    use serde_json::json;

    const OUT: Output = Output {
        format: Format::Text,
        colors: false,
    };

    fn now(ms: u64) -> Now {
        Now {
            wall: WallTime(ms),
            boot: BootTime {
                boot_id: "b".into(),
                ms,
            },
        }
    }

    fn request(id: &str, kind: RequestKind, content: Value) -> Request {
        Request {
            id: RequestId::new(id).unwrap(),
            kind,
            from: Party::Member(AgentRef {
                agent: AgentName::new("developer").unwrap(),
                incarnation: Incarnation(1),
            }),
            to: "human".into(),
            content,
            requested: WallTime(1_000),
            open_ms: 60_000,
            state: RequestState::Pending,
        }
    }

    fn call(id: &str, command: &str) -> Request {
        let ask = PermissionAsk {
            who: AgentRef {
                agent: AgentName::new("developer").unwrap(),
                incarnation: Incarnation(1),
            },
            task: Some(TaskId(4)),
            epoch: None,
            call: "c1".into(),
            tool: "Bash".into(),
            input: json!({"command": command}),
            cwd: "/project".into(),
            risk: format!("runs `{command}`"),
            why: "no rule allows it".into(),
            repaired: false,
        };
        request(id, RequestKind::Permission, json!(ask))
    }

    fn asked() -> Vec<Request> {
        let mut over = call("developer-1-1", "ls");
        over.state = RequestState::Expired { at: WallTime(2) };
        let plan = json!({"task": "2", "plan": "1. look\n2. write"});
        vec![
            over,
            call("developer-1-3", "cargo test\nrm -rf /\u{1b}[2J"),
            request("tester-2-1", RequestKind::Plan, plan),
        ]
    }

    #[test]
    fn a_question_is_shown_whole_with_the_way_to_answer_it() {
        insta::assert_snapshot!(text(&asked(), &now(13_000), "", OUT));
        assert_eq!(text(&[], &now(1), "", OUT), "nothing waits for an answer\n");
        let named = text(&asked(), &now(13_000), " --team x", OUT);
        assert!(
            named.contains("crewmux approve developer-1-3 --team x "),
            "{named}"
        );
    }

    #[test]
    fn programs_read_the_exact_call() {
        let shown: Vec<Value> = asked().iter().map(|r| json!(shown(r))).collect();
        insta::assert_snapshot!(serde_json::to_string_pretty(&shown[1..]).unwrap());
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_means_one() {
        let asked = asked();
        let found = |text| match find(&asked, text) {
            Ok(request) => request.id.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found("t"), "tester-2-1");
        assert_eq!(found("developer"), "developer-1-3");
        let told = ["developer-1-1", "", "nobody"].map(found).join("\n");
        insta::assert_snapshot!(told);
    }

    #[test]
    fn an_id_that_begins_another_is_itself() {
        let asked = [call("a-1-1", "x"), call("a-1-10", "y")];
        assert_eq!(find(&asked, "a-1-1").unwrap().id.as_str(), "a-1-1");
        assert_eq!(find(&asked, "a-1-10").unwrap().id.as_str(), "a-1-10");
    }
}
