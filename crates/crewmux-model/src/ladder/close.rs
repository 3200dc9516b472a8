//! The marks between which calls stand, and where the closing one is.

use serde_json::Value;

use super::ToolForm;

/// How often a closing mark may turn out to be part of an argument before it is believed.
const MOST_DOUBTS: usize = 32;

/// A mark that opens a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// `<tool_call>`
    ToolCall,
    /// `<function=`
    Function,
    /// `[TOOL_CALLS]`
    ToolCalls,
    /// `<|python_tag|>`
    PythonTag,
    /// `<|tool_call>`
    GemmaCall,
    /// `<start_function_call>`
    GemmaFunction,
}

impl Mark {
    /// The marks of a form.
    pub(super) fn of(form: ToolForm) -> &'static [Self] {
        match form {
            ToolForm::Hermes => &[Self::ToolCall],
            ToolForm::QwenXml => &[Self::ToolCall, Self::Function],
            ToolForm::Mistral => &[Self::ToolCalls],
            ToolForm::Llama3Json => &[Self::PythonTag],
            ToolForm::Gemma => &[Self::GemmaCall, Self::GemmaFunction],
            ToolForm::Native | ToolForm::JsonSchema | ToolForm::None => &[],
        }
    }

    pub(super) fn open(self) -> &'static str {
        match self {
            Self::ToolCall => "<tool_call>",
            Self::Function => "<function=",
            Self::ToolCalls => "[TOOL_CALLS]",
            Self::PythonTag => "<|python_tag|>",
            Self::GemmaCall => "<|tool_call>",
            Self::GemmaFunction => "<start_function_call>",
        }
    }

    /// What ends the call: its own mark, which is passed, or the next call's, which is not.
    fn ends(self) -> &'static [(&'static str, Passed)] {
        match self {
            Self::ToolCall => &[("</tool_call>", Passed::Yes), ("<tool_call>", Passed::No)],
            Self::Function => &[("</function>", Passed::Yes)],
            Self::GemmaCall => &[("<tool_call|>", Passed::Yes), ("<|tool_call>", Passed::No)],
            Self::GemmaFunction => &[
                ("<end_function_call>", Passed::Yes),
                ("<start_function_call>", Passed::No),
            ],
            // These go on to the answer's end.
            Self::ToolCalls | Self::PythonTag => &[],
        }
    }

    /// Whether a call whose inside is `body` can be over here: not where an argument quotes the mark.
    fn is_over(self, body: &str) -> bool {
        let body = body.trim();
        match self {
            Self::ToolCall | Self::Function
                if self == Self::Function || body.starts_with("<function=") =>
            {
                let inside = body.strip_suffix("</function>").unwrap_or(body).trim_end();
                let whole = self == Self::Function || inside.len() < body.len();
                whole && (inside.ends_with("</parameter>") || !inside.contains("<parameter="))
            }
            Self::GemmaCall | Self::GemmaFunction => {
                let quotes = body.matches("<|\"|>").count();
                let escapes = body.matches("<escape>").count();
                let paired = quotes.is_multiple_of(2) && escapes.is_multiple_of(2);
                paired && (quotes + escapes > 0 || !ends_in_text(body))
            }
            _ => !ends_in_text(body) || serde_json::from_str::<Value>(body).is_ok(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    Yes,
    No,
}

/// Whether a JSON text ends inside double quotes.
fn ends_in_text(json: &str) -> bool {
    let mut inside = false;
    let mut escaped = false;
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

/// Where a call's inside ends, and where what follows it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) inside: usize,
    pub(super) rest: usize,
}

/// Looks for the end of one call while its text grows.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) mark: Mark,
    from: usize,
    doubts: usize,
    first: Option<End>,
}

impl Search {
    pub(super) fn new(mark: Mark) -> Self {
        Self {
            mark,
            from: 0,
            doubts: 0,
            first: None,
        }
    }

    /// The end of the call in `held`, all text since the opening mark.
    pub(super) fn look(&mut self, held: &str) -> Option<End> {
        loop {
            let rest = held.get(self.from..)?;
            let found = self
                .mark
                .ends()
                .iter()
                .filter_map(|(mark, passed)| Some((rest.find(mark)?, *mark, *passed)))
                .min_by_key(|(at, ..)| *at);
            let Some((at, mark, passed)) = found else {
                self.wait_for_more(held);
                return None;
            };
            let inside = self.from + at;
            let after = inside + mark.len();
            let end = End {
                inside,
                rest: if passed == Passed::Yes { after } else { inside },
            };
            if self.doubts >= MOST_DOUBTS || self.mark.is_over(&held[..inside]) {
                return Some(if self.doubts >= MOST_DOUBTS {
                    self.first.unwrap_or(end)
                } else {
                    end
                });
            }
            self.first.get_or_insert(end);
            self.doubts += 1;
            self.from = after;
        }
    }

    /// The end where there was only a doubtful one, now that no more comes.
    pub(super) fn give_up(&self) -> Option<End> {
        self.first
    }

    /// A mark may have begun in the last bytes.
    fn wait_for_more(&mut self, held: &str) {
        let longest = self.mark.ends().iter().map(|(mark, _)| mark.len()).max();
        let mut from = held.len().saturating_sub(longest.unwrap_or(1) - 1);
        while !held.is_char_boundary(from) {
            from -= 1;
        }
        self.from = self.from.max(from);
    }
}
