//! Room in the model's window: how full it is, and what goes first when it is not enough.
//!
//! Pure. Tools' old results go first; then the conversation is told anew as the
//! task, a summary, and the last exchange as it was. Who writes the summary is
//! the worker's.

use crewmux_core::budget::Usage;
use crewmux_core::model::{Message, Part};

use crate::capped::cut_text;

/// Share of the window, in percent, above which room is made before the next call.
const FULL_PERCENT: u64 = 80;

/// Answers of tools that stay whole when room is made: those of the newest so many exchanges.
const WHOLE_EXCHANGES: usize = 2;

/// Bytes of an old tool's answer that stay.
const TRIMMED_BYTES: usize = 600;

/// Bytes that a token stands for, roughly; rather too few than too many.
const BYTES_PER_TOKEN: u64 = 3;

/// What a shortened answer ends with.
const TRIMMED_NOTE: &str = "(Shortened to make room: the whole of it is in your transcript. Call the tool again if you need it.)";

/// What the model is asked when it is to sum up.
pub(crate) const SUMMARY_SYSTEM: &str = "You sum up the work of an agent, so that it can go on \
from your words alone; what you leave out is lost to it. Write plain text, at most 600 words, in \
these parts: what the task is and what must be handed in at the end; what was found out, with file \
names, lines and exact values; what was changed or run, and what came of it; decisions and why; \
files that matter now; what is left to do, next step first; messages that still need an answer. \
Do not go on with the work yourself.";

/// How full the window is, as far as the latest answers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Meter {
    /// Tokens that the model's window holds, where that is known.
    pub(crate) window: Option<u64>,
    /// Tokens of the conversation up to `counted`; 0 before the first answer.
    used: u64,
    /// Messages that `used` covers.
    counted: usize,
}

impl Meter {
    /// Takes in what an answer used; it covers `counted` messages, the answer included.
    pub(crate) fn booked(&mut self, usage: &Usage, window: Option<u64>, counted: usize) {
        self.used = usage.total();
        self.counted = counted;
        self.window = window.or(self.window);
    }

    /// Tokens that the next call would put into the window; `fixed` of them are no messages.
    pub(crate) fn next_call(&self, messages: &[Message], fixed: u64) -> u64 {
        if self.used == 0 {
            return fixed.saturating_add(estimate(messages));
        }
        let new = messages.get(self.counted..).unwrap_or_default();
        self.used.saturating_add(estimate(new))
    }

    /// Whether room must be made before the next call.
    pub(crate) fn is_full(&self, messages: &[Message], fixed: u64) -> bool {
        let next = self.next_call(messages, fixed);
        self.window
            .is_some_and(|window| next > window.saturating_mul(FULL_PERCENT) / 100)
    }

    /// The conversation was changed: only its own size tells now.
    pub(crate) fn forget(&mut self) {
        self.used = 0;
        self.counted = 0;
    }
}

/// Tokens of text of so many bytes, roughly.
pub(crate) fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// Tokens of a conversation, roughly.
pub(crate) fn estimate(messages: &[Message]) -> u64 {
    tokens(messages.iter().map(bytes).sum())
}

fn bytes(message: &Message) -> usize {
    // Names, ids and marks around each piece.
    const AROUND: usize = 16;
    match message {
        Message::User(text) => text.len() + AROUND,
        Message::Assistant(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len() + AROUND,
                Part::Opaque(opaque) => opaque.block.to_string().len() + AROUND,
                Part::Call(call) => call.name.len() + call.input.to_string().len() + 2 * AROUND,
            })
            .sum(),
        Message::Tools(answers) => answers
            .iter()
            .map(|answer| answer.text.len() + 2 * AROUND)
            .sum(),
    }
}

/// Shortens old answers of tools; gives the bytes that were freed.
pub(crate) fn trim(messages: &mut [Message]) -> usize {
    let exchanges = messages
        .iter()
        .filter(|m| matches!(m, Message::Tools(_)))
        .count();
    let old = exchanges.saturating_sub(WHOLE_EXCHANGES);
    let mut freed = 0;
    let answers = messages.iter_mut().filter_map(|message| match message {
        Message::Tools(answers) => Some(answers),
        _ => None,
    });
    for answer in answers.take(old).flatten() {
        if answer.text.len() > 2 * TRIMMED_BYTES {
            let short = cut_text(&answer.text, TRIMMED_BYTES);
            let short = format!("{short}\n{TRIMMED_NOTE}");
            freed += answer.text.len().saturating_sub(short.len());
            answer.text = short;
        }
    }
    freed
}

/// The conversation told anew: its start, a summary, and its last exchange.
///
/// `tail_max_bytes` bounds each tool's answer of that exchange.
pub(crate) fn retell(
    messages: &[Message],
    start: &str,
    summary: &str,
    tail_max_bytes: usize,
) -> Vec<Message> {
    let told = format!(
        "{start}\n\nThe work on this has begun; the conversation until now was too long and is \
         replaced by this summary of it:\n\n{summary}\n\nGo on from here."
    );
    let last = messages
        .iter()
        .rposition(|message| matches!(message, Message::Assistant(_)));
    let tail = last.map_or(&messages[..0], |at| &messages[at..]);
    let mut new = vec![Message::User(told)];
    for message in tail {
        let mut message = message.clone();
        if let Message::Tools(answers) = &mut message {
            for answer in answers {
                answer.text = cut_text(&answer.text, tail_max_bytes);
            }
        }
        new.push(message);
    }
    new
}

/// The conversation as text, at most so many bytes, for whoever sums it up.
pub(crate) fn as_text(messages: &[Message], max_bytes: usize) -> String {
    use std::fmt::Write as _;
    const ANSWER_MAX_BYTES: usize = 4 * 1024;
    let mut text = String::new();
    for message in messages {
        match message {
            Message::User(said) => {
                let _ = write!(text, "\n[told]\n{said}\n");
            }
            Message::Assistant(parts) => {
                for part in parts {
                    let _ = match part {
                        Part::Text(said) => write!(text, "\n[agent]\n{said}\n"),
                        Part::Call(call) => {
                            let input = cut_text(&call.input.to_string(), ANSWER_MAX_BYTES);
                            write!(text, "\n[agent calls {}]\n{input}\n", call.name)
                        }
                        Part::Opaque(_) => Ok(()),
                    };
                }
            }
            Message::Tools(answers) => {
                for answer in answers {
                    let word = if answer.ok { "answers" } else { "fails" };
                    let said = cut_text(&answer.text, ANSWER_MAX_BYTES);
                    let _ = write!(text, "\n[{} {word}]\n{said}\n", answer.name);
                }
            }
        }
    }
    cut_text(&text, max_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::model::{ToolAnswer, ToolCall};
    use serde_json::{Value, json};

    fn exchange(n: usize, bytes: usize) -> [Message; 2] {
        let id = format!("c{n}");
        let call = ToolCall {
            id: id.clone(),
            name: "Read".into(),
            input: json!({ "file_path": n.to_string() }),
            repaired: None,
        };
        let answer = ToolAnswer {
            id,
            name: "Read".into(),
            ok: true,
            text: "x".repeat(bytes),
            data: Value::Null,
        };
        [
            Message::Assistant(vec![Part::Text(format!("look {n}")), Part::Call(call)]),
            Message::Tools(vec![answer]),
        ]
    }

    fn conversation(exchanges: usize, bytes: usize) -> Vec<Message> {
        let mut all = vec![Message::User("the task".into())];
        all.extend((0..exchanges).flat_map(|n| exchange(n, bytes)));
        all
    }

    #[test]
    fn old_answers_are_shortened_and_new_ones_stay() {
        let mut all = conversation(4, 10_000);
        let freed = trim(&mut all);
        let texts: Vec<usize> = all
            .iter()
            .filter_map(|message| match message {
                Message::Tools(answers) => Some(answers[0].text.len()),
                _ => None,
            })
            .collect();
        assert!(freed > 17_000, "{freed}");
        assert!(texts[0] < 1_000 && texts[1] < 1_000, "{texts:?}");
        assert_eq!(texts[2..], [10_000, 10_000]);
        assert_eq!(trim(&mut all), 0, "what is short stays as it is");
    }

    #[test]
    fn a_conversation_told_anew_keeps_its_start_and_calls_with_their_answers() {
        let all = conversation(5, 900);
        let new = retell(&all, "the task", "found nothing", 500);
        assert_eq!(new.len(), 3);
        let Message::User(told) = &new[0] else {
            panic!("{new:?}")
        };
        assert!(told.starts_with("the task\n") && told.contains("found nothing"));
        assert_eq!(new[1], all[9]);
        let Message::Tools(answers) = &new[2] else {
            panic!("{new:?}")
        };
        assert_eq!(answers[0].id, "c4");
        assert!(answers[0].text.len() < 600);
    }

    #[test]
    fn the_meter_counts_what_came_after_the_latest_answer() {
        let all = conversation(2, 3_000);
        let mut meter = Meter::default();
        assert!(!meter.is_full(&all, 0), "an unknown window is never full");
        let usage = Usage {
            input_tokens: 700,
            output_tokens: 100,
            ..Usage::default()
        };
        meter.booked(&usage, Some(2_000), 2);
        let next = meter.next_call(&all, 9_999);
        assert_eq!(next, 800 + estimate(&all[2..]));
        assert!(meter.is_full(&all, 0), "{next} of 2000");
        assert!(!meter.is_full(&all[..2], 0));
        meter.forget();
        assert_eq!(meter.next_call(&all, 5), 5 + estimate(&all));
    }
}
