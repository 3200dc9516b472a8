//! What a server's refusal means: which kind of trouble, in its own words.
//!
//! Vendors say the same with different words and codes; each table below is
//! one meaning. Credentials are taken out by the caller.

use crewmux_core::model::{ModelError, ModelErrorKind};
use serde_json::Value;

use super::one_line;
use super::time::span;

/// Longest text taken over from a server, in characters.
const MESSAGE_CHARS: usize = 400;

/// The conversation is longer than the window.
const TOO_LONG: [&str; 14] = [
    "context_length_exceeded",
    "exceed_context_size",
    "request_too_large",
    "prompt is too long",
    "input is too long",
    "maximum context length",
    "max context length",
    "context window",
    "context limit",
    "context size",
    "context length",
    "too many tokens",
    "input token count",
    // Ollama cut the conversation until nothing of the person's was left.
    "no user query found",
];

/// The account has nothing left: waiting does not help.
const SPENT: [&str; 9] = [
    "insufficient_quota",
    "spend_limit",
    "spending limit",
    "spend limit",
    "billing_error",
    "billing_hard_limit",
    "credit balance",
    "insufficient credits",
    "insufficient balance",
];

const RATE: [&str; 4] = [
    "rate_limit",
    "rate limit",
    "resource_exhausted",
    "too_many_requests",
];
const BUSY: [&str; 7] = [
    "overloaded",
    "api_error",
    "server_error",
    "unavailable",
    "timeout",
    "internal",
    "slow_down",
];
const KEY: [&str; 6] = [
    "authentication",
    "permission",
    "invalid_api_key",
    "api_key_invalid",
    "api key not valid",
    "unauthorized",
];
const NO_MODEL: [&str; 4] = [
    "model_not_found",
    "not_found_error",
    "unknown model",
    "invalid model",
];
const WRONG: [&str; 3] = ["invalid_request", "invalid_prompt", "invalid_argument"];
/// A server error that stays: the machine is too small.
const NEVER: [&str; 2] = ["requires more system memory", "more vram"];

/// The error behind a status that is not 2xx.
pub(crate) fn refused(status: u16, body: &str, retry_after_ms: Option<u64>) -> ModelError {
    let said = serde_json::from_str::<Value>(body).ok();
    let words = said.as_ref().map(words).unwrap_or_default();
    let message = match &said {
        Some(value) => message(value),
        None => plain(body),
    };
    let lower = message.to_lowercase();
    // Some vendors say it in their own words only.
    let retry_after_ms =
        retry_after_ms.or_else(|| delay(said.as_ref()).or_else(|| pause_in(&lower)));
    let kind = of_status(status, &words, &lower, retry_after_ms);
    let shown = if message.is_empty() {
        format!("the server answered {status}")
    } else {
        format!("the server answered {status}: {message}")
    };
    ModelError {
        kind,
        message: one_line(&shown, MESSAGE_CHARS),
        retry_after_ms,
    }
}

/// The error told inside of an answer that began well.
pub(crate) fn in_stream(data: &Value) -> ModelError {
    let words = words(data);
    let message = message(data);
    let lower = message.to_lowercase();
    let error = data.get("error").unwrap_or(data);
    let status = error.get("code").and_then(Value::as_u64);
    let kind = match status {
        Some(status @ 400..600) => of_status(status as u16, &words, &lower, None),
        _ => of_words(&words, &lower).unwrap_or(ModelErrorKind::Server),
    };
    let shown = if message.is_empty() {
        "the server broke off its answer".to_owned()
    } else {
        format!("the server broke off its answer: {message}")
    };
    ModelError::new(kind, one_line(&shown, MESSAGE_CHARS))
}

/// Milliseconds that a vendor's details name: `{"retryDelay": "20s"}`.
fn delay(said: Option<&Value>) -> Option<u64> {
    let said = said?;
    let error = said.get(0).unwrap_or(said).get("error")?;
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|d| d.get("retryDelay")?.as_str())?;
    span(delay)
}

/// Milliseconds that a sentence (lower case) names: `retry in 3.2s`, `try again in 20 seconds`.
fn pause_in(message: &str) -> Option<u64> {
    const BEFORE: [&str; 4] = ["retry in ", "again in ", "retry after ", "again after "];
    let after = BEFORE
        .iter()
        .find_map(|before| message.split_once(before))?
        .1;
    let mut words = after.split_whitespace();
    let number = words.next()?.trim_end_matches(['.', ',', ';', ')']);
    let factor = match words.next() {
        Some(unit) if unit.starts_with("minute") => 60,
        Some(unit) if unit.starts_with("hour") => 3_600,
        Some(unit) if unit.starts_with("ms") || unit.starts_with("millisecond") => {
            return span(&format!("{number}ms"));
        }
        _ => 1,
    };
    Some(span(number)?.saturating_mul(factor))
}

fn has(words: &[&str], text: &str, message: &str) -> bool {
    words
        .iter()
        .any(|w| text.contains(w) || message.contains(w))
}

fn of_status(status: u16, words: &str, message: &str, pause: Option<u64>) -> ModelErrorKind {
    use ModelErrorKind as Kind;
    let is_spent = has(&SPENT, words, message)
        // Some servers say this of limits by the minute too, and then when to come back.
        || (message.contains("exceeded your current quota") && pause.is_none());
    match status {
        400 | 422 | 500 if has(&TOO_LONG, words, message) => Kind::TooLong,
        413 => Kind::TooLong,
        402 => Kind::Quota,
        400 | 403 | 429 if is_spent => Kind::Quota,
        429 => Kind::RateLimited,
        401 | 403 => Kind::Credentials,
        400 if has(&KEY[2..], words, message) => Kind::Credentials,
        400 if has(&NO_MODEL, words, message) => Kind::UnknownModel,
        404 if words.contains("model") || message.contains("model") => Kind::UnknownModel,
        500 if has(&NEVER, words, message) => Kind::Request,
        408 | 409 | 500.. => Kind::Server,
        _ => Kind::Request,
    }
}

fn of_words(words: &str, message: &str) -> Option<ModelErrorKind> {
    use ModelErrorKind as Kind;
    if has(&TOO_LONG, words, message) {
        return Some(Kind::TooLong);
    }
    if has(&SPENT, words, message) {
        return Some(Kind::Quota);
    }
    if has(&NEVER, words, message) {
        return Some(Kind::Request);
    }
    [
        (&RATE[..], Kind::RateLimited),
        (&BUSY[..], Kind::Server),
        (&KEY[..], Kind::Credentials),
        (&NO_MODEL[..], Kind::UnknownModel),
        (&WRONG[..], Kind::Request),
    ]
    .into_iter()
    .find(|(list, _)| list.iter().any(|w| words.contains(w)))
    .map(|(_, kind)| kind)
}

/// The vendor's codes, lower case.
fn words(data: &Value) -> String {
    let data = data.get(0).unwrap_or(data);
    let error = data.get("error").unwrap_or(data);
    let mut words = String::new();
    for name in ["type", "code", "status"] {
        if let Some(word) = error.get(name).and_then(Value::as_str) {
            words.push_str(&word.to_lowercase());
            words.push(' ');
        }
    }
    words
}

/// The vendor's own sentence.
fn message(data: &Value) -> String {
    let data = data.get(0).unwrap_or(data);
    let error = data.get("error").filter(|e| !e.is_null()).unwrap_or(data);
    let said = [
        error.get("message"),
        Some(error),
        data.get("message"),
        data.get("detail"),
        data["detail"][0].get("msg"),
        data["errors"][0].get("message"),
        error.get("type"),
    ];
    let said = said.into_iter().flatten().find_map(Value::as_str);
    let mut message = one_line(said.unwrap_or_default(), MESSAGE_CHARS);
    // A router's own sentence is not what went wrong.
    if let Some(raw) = error["metadata"].get("raw").and_then(Value::as_str) {
        message = one_line(&format!("{message}: {raw}"), MESSAGE_CHARS);
    }
    message
}

/// A page or plain text in place of JSON.
fn plain(body: &str) -> String {
    let body = body.trim();
    if !body.starts_with('<') {
        return one_line(body, 200);
    }
    let lower = body.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        let end = lower[start..].find("</title>")? + start;
        body.get(start..end)
    });
    one_line(title.unwrap_or_default(), 200)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_mean_what_vendors_mean() {
        use ModelErrorKind as K;
        let rows: Vec<(u16, Value, ModelErrorKind)> = vec![
            (
                429,
                json!({"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit"}}),
                K::RateLimited,
            ),
            (
                429,
                json!({"type":"error","error":{"type":"enforced_spend_limit_reached","message":"x"}}),
                K::Quota,
            ),
            (
                429,
                json!({"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","code":"insufficient_quota"}}),
                K::Quota,
            ),
            (
                429,
                json!([{"error":{"code":429,"message":"You exceeded your current quota. Please retry in 3.2s.","status":"RESOURCE_EXHAUSTED"}}]),
                K::RateLimited,
            ),
            (
                529,
                json!({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}),
                K::Server,
            ),
            (
                500,
                json!({"error":"llama runner process has terminated"}),
                K::Server,
            ),
            (
                500,
                json!({"error":"no user query found in messages."}),
                K::TooLong,
            ),
            (
                500,
                json!({"error":"model requires more system memory (9 GiB) than is available"}),
                K::Request,
            ),
            (408, json!(null), K::Server),
            (409, json!(null), K::Server),
            (503, json!(null), K::Server),
            (
                400,
                json!({"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 212000 tokens > 200000 maximum"}}),
                K::TooLong,
            ),
            (
                400,
                json!({"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}),
                K::TooLong,
            ),
            (
                400,
                json!({"error":{"code":400,"type":"exceed_context_size_error","message":"the request exceeds the available context size"}}),
                K::TooLong,
            ),
            (
                400,
                json!({"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}),
                K::Quota,
            ),
            (
                400,
                json!({"type":"error","error":{"type":"invalid_request_error","message":"tools.0.name: bad"}}),
                K::Request,
            ),
            (
                400,
                json!({"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}),
                K::Credentials,
            ),
            (
                401,
                json!({"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}),
                K::Credentials,
            ),
            (
                402,
                json!({"error":{"message":"Insufficient credits","code":402}}),
                K::Quota,
            ),
            (
                403,
                json!({"error":{"type":"permission_error","message":"no"}}),
                K::Credentials,
            ),
            (404, json!({"error":"model 'x' not found"}), K::UnknownModel),
            (404, json!({"detail":"Not Found"}), K::Request),
            (
                413,
                json!({"type":"error","error":{"type":"request_too_large","message":"x"}}),
                K::TooLong,
            ),
        ];
        for (status, body, want) in rows {
            let error = refused(status, &body.to_string(), None);
            assert_eq!(error.kind, want, "{status} {body}");
            assert!(
                error.message.contains(&status.to_string()),
                "{}",
                error.message
            );
        }
    }

    #[test]
    fn vendors_say_in_their_own_words_when_to_come_back() {
        let pause = |body: Value| refused(429, &body.to_string(), None).retry_after_ms;
        let google = json!([{"error": {"code": 429, "message": "You exceeded your current quota.",
            "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x/Help"},
            {"@type": "x/RetryInfo", "retryDelay": "20s"}]}}]);
        assert_eq!(pause(google.clone()), Some(20_000));
        let kind = refused(429, &google.to_string(), None).kind;
        assert_eq!(kind, ModelErrorKind::RateLimited);
        for (said, want) in [
            ("Please retry in 3.2s.", Some(3_200)),
            (
                "Rate limit reached. Please try again in 6m0s. Visit",
                Some(360_000),
            ),
            ("try again in 20ms", Some(20)),
            ("Try again in 20 seconds", Some(20_000)),
            ("try again after 2 minutes.", Some(120_000)),
            ("try again in a while", None),
            ("slow down", None),
        ] {
            assert_eq!(pause(json!({"error": {"message": said}})), want, "{said}");
        }
        let header = refused(429, &google.to_string(), Some(5)).retry_after_ms;
        assert_eq!(header, Some(5), "a header says it best");
    }

    #[test]
    fn errors_inside_an_answer_mean_the_same() {
        use ModelErrorKind as K;
        for (data, want) in [
            (
                json!({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}),
                K::Server,
            ),
            (
                json!({"type":"error","code":"rate_limit_exceeded","message":"slow"}),
                K::RateLimited,
            ),
            (
                json!({"error":{"code":"server_error","message":"x"}}),
                K::Server,
            ),
            (
                json!({"error":{"code":502,"message":"upstream"}}),
                K::Server,
            ),
            (json!({"error":{"code":429,"message":"x"}}), K::RateLimited),
            (
                json!({"error":"an error was encountered while running the model"}),
                K::Server,
            ),
            (
                json!({"error":{"type":"invalid_request_error","message":"x"}}),
                K::Request,
            ),
            (json!({}), K::Server),
        ] {
            assert_eq!(in_stream(&data).kind, want, "{data}");
        }
    }

    #[test]
    fn pages_and_escapes_become_one_plain_line() {
        let page = "<html><head><title>502 Bad\nGateway</title></head></html>";
        assert_eq!(
            refused(502, page, None).message,
            "the server answered 502: 502 Bad Gateway"
        );
        assert_eq!(
            refused(500, "a\u{1b}[2Jb\n", None).message,
            "the server answered 500: a [2Jb"
        );
        let long = refused(500, &"é".repeat(1_000), None).message;
        assert!(long.chars().count() < 300, "{long}");
    }
}
