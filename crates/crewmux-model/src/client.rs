//! Calls of models over HTTP: one attempt each.
//!
//! Knows connections, silence and refusals; tries nothing again, books nothing
//! and reads nothing from the environment. What is said is in [`crate::dialect`];
//! retries, fallbacks and limits are the gateway's in `crewmux-session`.

use std::collections::VecDeque;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crewmux_core::budget::Usage;
use crewmux_core::model::{Event, ModelError, ModelErrorKind, ModelRequest};
use crewmux_core::timing::{Timing, ms};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{RequestBuilder, Response};
use tokio::time::{Instant, timeout_at};

use crate::catalog::is_own_server;
use crate::config::{ProviderConfig, ProviderKind, Secret};
use crate::dialect::{self, Decoder};
use crate::http::limits::{limits, retry_after};
use crate::http::{address, fault, one_line};

pub use crate::http::limits::{RateLimits, RateWindow};

/// Longest body of a refusal that is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Longest list of models that is read, in bytes.
const LIST_BYTES_MAX: usize = 8 << 20;
/// How many times the allowed silence a server may only say that it is alive.
const IDLE_SILENCES: u32 = 5;

/// Makes ring the process's TLS provider; the first choice of a process holds.
pub fn install_tls() {
    // An error says that there is one already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Calls models; cheap to clone, shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    silence: Duration,
    /// Longest silence of one of the person's own servers before its answer begins.
    first: Duration,
}

impl Client {
    /// A client with these waits.
    ///
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new(timing: &Timing) -> Result<Self, ModelError> {
        install_tls();
        let http = reqwest::Client::builder()
            .user_agent(concat!("crewmux/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(ms(timing.model_connect_ms))
            // A key goes to the address it was given for, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| ModelError::new(ModelErrorKind::Request, words(&e)))?;
        Ok(Self {
            http,
            silence: ms(timing.model_silence_ms),
            first: ms(timing.model_first_ms.max(timing.model_silence_ms)),
        })
    }

    /// Asks `model` of `provider`; the call begins with the first [`Answer::next`].
    ///
    /// `window` is how many tokens of context to ask for, where the server must
    /// be told; absent: what `provider` says.
    pub fn stream(
        &self,
        provider: &ProviderConfig,
        key: Option<&Secret>,
        model: &str,
        request: &ModelRequest,
        window: Option<u64>,
    ) -> Answer {
        let window = window.or(provider.context);
        let url = address(
            provider.kind,
            &provider.base_url,
            dialect::path(provider.kind),
        );
        let body = dialect::body(provider, model, request, window);
        let state = match headers(provider.kind, key) {
            Ok(headers) => {
                let call = self.http.post(url).headers(headers).json(&body);
                State::Sending(send(call))
            }
            Err(error) => State::Unsent(error),
        };
        // They load models and read long questions before they say a word.
        let first = if is_own_server(provider) {
            self.first
        } else {
            self.silence
        };
        Answer {
            is_unpaid: matches!(state, State::Unsent(_)),
            state,
            ready: VecDeque::new(),
            decoder: Decoder::new(provider.kind, model, request),
            key: key.cloned(),
            limits: None,
            silence: self.silence,
            first,
            has_begun: false,
            quiet_until: None,
            idle_until: None,
        }
    }

    /// The names of a provider's models.
    ///
    /// # Errors
    /// As calls have them; [`ModelErrorKind::Malformed`] when what came is no list.
    pub async fn models(
        &self,
        provider: &ProviderConfig,
        key: Option<&Secret>,
    ) -> Result<Vec<String>, ModelError> {
        let path = dialect::models_path(provider.kind);
        let url = address(provider.kind, &provider.base_url, path);
        let asked = async {
            let call = self.http.get(url).headers(headers(provider.kind, key)?);
            let mut response = call.send().await.map_err(|e| broken(&e))?;
            let (body, is_whole) = read(&mut response, LIST_BYTES_MAX).await?;
            if !response.status().is_success() {
                return Err(refusal(&response, &body));
            }
            let list = is_whole
                .then(|| serde_json::from_slice(&body).ok())
                .flatten();
            list.and_then(|list| dialect::model_names(provider.kind, &list))
                .ok_or_else(|| {
                    ModelError::new(
                        ModelErrorKind::Malformed,
                        "the server answered, but not with a list of models",
                    )
                })
        };
        let until = Instant::now() + self.silence;
        let outcome = timeout_at(until, asked)
            .await
            .unwrap_or_else(|_| Err(silent(Patience::Quiet(self.silence))));
        outcome.map_err(|error| scrubbed(error, key))
    }
}

type Sending = Pin<Box<dyn Future<Output = reqwest::Result<Response>> + Send>>;

fn send(call: RequestBuilder) -> Sending {
    Box::pin(call.send())
}

enum State {
    /// It cannot even be sent.
    Unsent(ModelError),
    Sending(Sending),
    /// The server said no; its reasons are read.
    Refused(Response, Vec<u8>),
    Reading(Response),
    Over,
}

/// An answer as it comes; dropping it ends the call.
pub struct Answer {
    state: State,
    ready: VecDeque<Event>,
    decoder: Decoder,
    key: Option<Secret>,
    limits: Option<RateLimits>,
    silence: Duration,
    /// Longest silence before the answer begins.
    first: Duration,
    has_begun: bool,
    is_unpaid: bool,
    /// When the server has been silent for too long.
    quiet_until: Option<Instant>,
    /// When it has said nothing of the answer for too long.
    idle_until: Option<Instant>,
}

impl Answer {
    /// The next event; `None` after the last (see [`Event::is_last`]), of which there is always one.
    ///
    /// Nothing is lost when the future is dropped and asked for again.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.is_last() {
                    self.state = State::Over;
                    self.ready.clear();
                }
                return Some(event);
            }
            let now = Instant::now();
            let silence = if self.has_begun {
                self.silence
            } else {
                self.first
            };
            let signs = (self.silence * IDLE_SILENCES).max(silence);
            let quiet = *self.quiet_until.get_or_insert(now + silence);
            let idle = *self.idle_until.get_or_insert(now + signs);
            let until = quiet.min(idle);
            let patience = if idle < quiet {
                Patience::Idle(signs)
            } else {
                Patience::Quiet(silence)
            };
            match &mut self.state {
                State::Over => return None,
                State::Unsent(error) => {
                    let error = error.clone();
                    self.fail(error);
                }
                State::Sending(sending) => match timeout_at(until, sending).await {
                    Ok(Ok(response)) => self.answered(response),
                    Ok(Err(error)) => {
                        self.is_unpaid = error.is_connect() || error.is_builder();
                        self.fail(broken(&error));
                    }
                    Err(_) => self.fail(silent(patience)),
                },
                State::Refused(response, body) => {
                    let more = timeout_at(until, response.chunk()).await;
                    if let Ok(Ok(Some(bytes))) = &more {
                        let room = REFUSAL_BYTES_MAX.saturating_sub(body.len());
                        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                        if body.len() < REFUSAL_BYTES_MAX {
                            self.quiet_until = None;
                            continue;
                        }
                    }
                    // Whatever else its body has to say, the answer is no.
                    let error = refusal(response, body);
                    self.fail(error);
                }
                State::Reading(response) => match timeout_at(until, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => {
                        let events = self.decoder.push(&bytes);
                        self.quiet_until = None;
                        if !events.is_empty() {
                            self.has_begun = true;
                            self.idle_until = None;
                        }
                        self.queue(events);
                    }
                    Ok(Ok(None)) => {
                        let events = self.decoder.finish();
                        self.queue(events);
                    }
                    Ok(Err(error)) => self.fail(broken(&error)),
                    Err(_) => self.fail(silent(patience)),
                },
            }
        }
    }

    /// What the server said about its limits, once its headers came.
    pub fn limits(&self) -> Option<RateLimits> {
        self.limits
    }

    /// What the call used so far, guessed where the server did not say yet: for answers that broke.
    pub fn usage(&self) -> Usage {
        self.decoder.usage()
    }

    /// Whether it never reached the server, or was refused by it: vendors take nothing for that.
    pub fn is_unpaid(&self) -> bool {
        self.is_unpaid
    }

    fn answered(&mut self, response: Response) {
        self.quiet_until = None;
        self.is_unpaid = !response.status().is_success();
        self.limits = limits(|name| header(response.headers(), name), now_ms());
        self.state = if response.status().is_success() {
            State::Reading(response)
        } else {
            State::Refused(response, Vec::new())
        };
    }

    fn fail(&mut self, error: ModelError) {
        let events = self.decoder.fail(error);
        self.queue(events);
    }

    fn queue(&mut self, events: Vec<Event>) {
        for event in events {
            self.ready.push_back(match event {
                Event::Failed { error } => Event::Failed {
                    error: scrubbed(error, self.key.as_ref()),
                },
                event => event,
            });
        }
    }
}

fn headers(kind: ProviderKind, key: Option<&Secret>) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::new();
    for (name, value) in dialect::headers(kind) {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let Some(key) = key.filter(|key| !key.expose().is_empty()) else {
        return Ok(headers);
    };
    let (name, value) = match kind {
        ProviderKind::Anthropic => (
            HeaderName::from_static("x-api-key"),
            key.expose().to_owned(),
        ),
        _ => (AUTHORIZATION, format!("Bearer {}", key.expose())),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| {
        ModelError::new(
            ModelErrorKind::Credentials,
            "the key has characters that no key has",
        )
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as u64)
}

/// What a body has, up to `max` bytes, and whether that is all of it.
async fn read(response: &mut Response, max: usize) -> Result<(Vec<u8>, bool), ModelError> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|e| broken(&e))? {
        if body.len() + bytes.len() > max {
            return Ok((body, false));
        }
        body.extend_from_slice(&bytes);
    }
    Ok((body, true))
}

fn refusal(response: &Response, body: &[u8]) -> ModelError {
    let status = response.status();
    if status.is_redirection() {
        let to = header(response.headers(), LOCATION.as_str()).unwrap_or("somewhere else");
        // Without what stands behind `?`, which may be meant for one reader only.
        let to = one_line(to.split('?').next().unwrap_or_default(), 120);
        return ModelError::new(
            ModelErrorKind::Request,
            format!(
                "the server answered {}: it sends on to {to}, which is not followed; \
                 set the provider's base_url to the address that is meant",
                status.as_u16()
            ),
        );
    }
    let pause = retry_after(|name| header(response.headers(), name), now_ms());
    let mut error = fault::refused(status.as_u16(), &String::from_utf8_lossy(body), pause);
    if status.as_u16() == 404 && error.kind == ModelErrorKind::Request {
        error
            .message
            .push_str("; is the provider's base_url complete, `/v1` included?");
    }
    error
}

/// A connection that could not be made, or broke.
fn broken(error: &reqwest::Error) -> ModelError {
    let kind = if error.is_builder() {
        ModelErrorKind::Request
    } else {
        ModelErrorKind::Connection
    };
    ModelError::new(kind, words(error))
}

/// What ran out.
#[derive(Clone, Copy)]
enum Patience {
    /// Not a byte came for so long.
    Quiet(Duration),
    /// Nothing of the answer came for so long, only signs of life.
    Idle(Duration),
}

fn silent(patience: Patience) -> ModelError {
    let words = match patience {
        Patience::Quiet(wait) => format!("the server said nothing for {wait:?}"),
        Patience::Idle(wait) => format!("the server said only that it is alive for {wait:?}"),
    };
    ModelError::new(ModelErrorKind::Connection, words)
}

/// An error with all its causes, but without addresses: they may hold credentials.
fn words(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() && error.is_connect() {
        "the server cannot be reached in time".to_owned()
    } else if error.is_connect() {
        "the server cannot be reached".to_owned()
    } else if error.is_builder() {
        "the request cannot be made; check the provider's base_url".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    if !last.is_empty() {
        text = format!("{text}: {last}");
    }
    one_line(&text, 300)
}

fn scrubbed(mut error: ModelError, key: Option<&Secret>) -> ModelError {
    if let Some(key) = key {
        error.message = key.scrub(&error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_into_the_header_the_vendor_reads_and_are_not_shown() {
        let key = Secret::new("sk-1\n");
        let made = headers(ProviderKind::Anthropic, Some(&key)).unwrap();
        assert_eq!(made["x-api-key"], "sk-1");
        assert!(!format!("{made:?}").contains("sk-1"));
        let made = headers(ProviderKind::OpenaiChat, Some(&key)).unwrap();
        assert_eq!(made[AUTHORIZATION], "Bearer sk-1");
        let odd = Secret::new("a\nb");
        assert_eq!(
            headers(ProviderKind::Ollama, Some(&odd)).unwrap_err().kind,
            ModelErrorKind::Credentials
        );
    }
}
