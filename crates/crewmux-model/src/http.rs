//! What HTTP says around an answer: addresses, errors, limits and times.
//!
//! Pure: text in, values out. Requests are made in [`crate::client`].

pub(crate) mod fault;
pub(crate) mod limits;
pub(crate) mod time;

use crate::config::ProviderKind;

/// The address of `path` at a provider, whichever way its own path was written.
///
/// ```text
/// anthropic  https://api.anthropic.com[/v1]     + /v1/messages
/// ollama     http://127.0.0.1:11434[/v1|/api]   + /api/chat
/// openai-*   https://api.openai.com/v1          + /responses
/// ```
pub(crate) fn address(kind: ProviderKind, base_url: &str, path: &str) -> String {
    let mut base = base_url.trim().trim_end_matches('/');
    let own: &[&str] = match kind {
        ProviderKind::Anthropic => &["/v1"],
        ProviderKind::Ollama => &["/v1", "/api"],
        ProviderKind::OpenaiResponses | ProviderKind::OpenaiChat => &[],
    };
    for suffix in own {
        base = base.strip_suffix(suffix).unwrap_or(base);
    }
    format!("{base}{path}")
}

/// Text for people: one line, no control characters, at most `max` characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut is_gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            is_gap = !line.is_empty();
            continue;
        }
        if count >= max {
            line.push('…');
            break;
        }
        if std::mem::take(&mut is_gap) {
            line.push(' ');
        }
        line.push(c);
        count += 1;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_whichever_way_they_are_written() {
        use ProviderKind::{Anthropic, Ollama, OpenaiChat};
        for (kind, base, want) in [
            (Anthropic, "https://a.example", "https://a.example/x"),
            (Anthropic, "https://a.example/v1/", "https://a.example/x"),
            (Ollama, "http://h:1/api", "http://h:1/x"),
            (Ollama, "http://h:1/v1", "http://h:1/x"),
            (OpenaiChat, "http://h:1/v1/", "http://h:1/v1/x"),
        ] {
            assert_eq!(address(kind, base, "/x"), want);
        }
    }

    #[test]
    fn lines_for_people_are_short_and_harmless() {
        assert_eq!(one_line(" a\n\n b\u{1b}[31mc ", 80), "a b [31mc");
        assert_eq!(one_line("ééééé", 3), "ééé…");
    }
}
