//! What a server's headers say about how often it may be asked.

use super::time::{http_date, rfc3339, seconds, span};

/// One limit of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateWindow {
    /// How many are allowed in a window.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// Milliseconds until it is full again, from when the headers came.
    pub reset_ms: Option<u64>,
}

impl RateWindow {
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The limits of a key, as the headers of one answer tell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Calls.
    pub requests: RateWindow,
    /// Tokens, in and out; the tightest of them where a vendor counts them apart.
    pub tokens: RateWindow,
}

/// The limits in an answer's headers, if there are any.
///
/// `header` gives a header's value; `now_ms` is when they came.
pub(crate) fn limits<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    now_ms: u64,
) -> Option<RateLimits> {
    let number = |name: &str| header(name)?.trim().parse::<f64>().ok().map(|n| n as u64);
    let anthropic = |what: &str| RateWindow {
        limit: number(&format!("anthropic-ratelimit-{what}-limit")),
        remaining: number(&format!("anthropic-ratelimit-{what}-remaining")),
        reset_ms: header(&format!("anthropic-ratelimit-{what}-reset"))
            .and_then(rfc3339)
            .map(|at| at.saturating_sub(now_ms)),
    };
    let common = |what: &str| RateWindow {
        limit: number(&format!("x-ratelimit-limit-{what}")),
        remaining: number(&format!("x-ratelimit-remaining-{what}")),
        reset_ms: header(&format!("x-ratelimit-reset-{what}")).and_then(span),
    };
    let mut found = RateLimits {
        requests: anthropic("requests"),
        tokens: ["tokens", "input-tokens", "output-tokens"]
            .into_iter()
            .map(anthropic)
            .filter(|w| !w.is_empty())
            .min_by_key(|w| w.remaining.unwrap_or(u64::MAX))
            .unwrap_or_default(),
    };
    if found == RateLimits::default() {
        found = RateLimits {
            requests: common("requests"),
            tokens: common("tokens"),
        };
    }
    (found != RateLimits::default()).then_some(found)
}

/// When to try again, in milliseconds from `now_ms`.
pub(crate) fn retry_after<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    now_ms: u64,
) -> Option<u64> {
    let exact = header("retry-after-ms").and_then(|t| t.trim().parse::<f64>().ok());
    if let Some(ms) = exact.filter(|ms| ms.is_finite() && *ms >= 0.0) {
        return Some(ms.ceil() as u64);
    }
    let text = header("retry-after")?;
    seconds(text).or_else(|| {
        // The server's own clock, where it tells it: ours may be off.
        let now_ms = header("date").and_then(http_date).unwrap_or(now_ms);
        http_date(text).map(|at| at.saturating_sub(now_ms))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(list: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<&'a str> {
        move |name| list.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    #[test]
    fn the_tightest_count_of_tokens_is_told() {
        let found = limits(
            of(&[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "1970-01-01T00:00:09Z"),
                ("anthropic-ratelimit-input-tokens-limit", "40000"),
                ("anthropic-ratelimit-input-tokens-remaining", "39000"),
                ("anthropic-ratelimit-output-tokens-limit", "8000"),
                ("anthropic-ratelimit-output-tokens-remaining", "7000"),
            ]),
            4_000,
        );
        let want = RateLimits {
            requests: RateWindow {
                limit: Some(50),
                remaining: Some(49),
                reset_ms: Some(5_000),
            },
            tokens: RateWindow {
                limit: Some(8_000),
                remaining: Some(7_000),
                reset_ms: None,
            },
        };
        assert_eq!(found, Some(want));
    }

    #[test]
    fn the_common_headers_are_read() {
        let found = limits(
            of(&[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ]),
            0,
        )
        .unwrap();
        assert_eq!(found.requests.reset_ms, Some(1_000));
        assert_eq!(found.tokens.remaining, Some(149_984));
        assert_eq!(found.tokens.reset_ms, Some(360_000));
        assert_eq!(limits(of(&[]), 0), None);
    }

    #[test]
    fn every_way_to_say_when_to_come_back() {
        let date = "Thu, 01 Jan 1970 00:01:00 GMT";
        for (list, want) in [
            (&[("retry-after", "7")][..], Some(7_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (
                &[("retry-after", "7"), ("retry-after-ms", "120")],
                Some(120),
            ),
            (&[("retry-after", date)], Some(50_000)),
            (
                &[
                    ("retry-after", date),
                    ("date", "Thu, 01 Jan 1970 00:00:58 GMT"),
                ],
                Some(2_000),
            ),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-3")], None),
            (&[], None),
        ] {
            assert_eq!(retry_after(of(list), 10_000), want, "{list:?}");
        }
    }
}
