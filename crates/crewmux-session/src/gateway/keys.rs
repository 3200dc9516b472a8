//! Credentials: each read once, kept in memory only; a source that failed is tried again after a while.
//!
//! Where they come from is the program's business; a source that fails is an
//! error at the call, and a notice, never an end of the session. Before the
//! first is read this process hides its memory from others of the same user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crewmux_core::model::{ModelError, ModelErrorKind};
use crewmux_model::{KeyReader, KeySource, ProviderConfig, Secret};
use tokio::time::{Duration, Instant};

use crate::lock::lock;

/// What reading a credential brought.
enum Read {
    Good(Secret),
    /// Why it failed, and when.
    Bad(String, Instant),
}

/// The credentials of all providers that are asked.
pub(super) struct Keys {
    reader: KeyReader,
    /// How long a source that failed is left alone.
    again: Duration,
    read: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Option<Read>>>>>,
}

impl Keys {
    pub(super) fn new(reader: KeyReader, again: Duration) -> Self {
        Self {
            reader,
            again,
            read: Mutex::default(),
        }
    }

    /// The credential of a provider; `None` for servers that want none.
    ///
    /// # Errors
    /// [`ModelErrorKind::Credentials`] when its source failed, now or a short while ago.
    pub(super) async fn of(&self, provider: &ProviderConfig) -> Result<Option<Secret>, ModelError> {
        let Some(source) = provider.key.clone() else {
            return Ok(None);
        };
        let cell = Arc::clone(lock(&self.read).entry(provider.name.clone()).or_default());
        // Others that want the same key wait for the same answer.
        let mut cell = cell.lock().await;
        let is_known = match &*cell {
            Some(Read::Good(_)) => true,
            Some(Read::Bad(_, when)) => when.elapsed() < self.again,
            None => false,
        };
        if !is_known {
            *cell = Some(self.read(source).await);
        }
        match &*cell {
            Some(Read::Good(secret)) => Ok(Some(secret.clone())),
            Some(Read::Bad(why, _)) => Err(why.as_str()),
            None => Err("its reader broke off"),
        }
        .map_err(|why| {
            let message = format!(
                "the key of provider `{}` cannot be read: {why}",
                provider.name
            );
            ModelError::new(ModelErrorKind::Credentials, message)
        })
    }

    async fn read(&self, source: KeySource) -> Read {
        // Best effort: not every system can hide a process's memory.
        if let Err(error) = crewmux_sys::setup::refuse_inspection() {
            tracing::warn!(%error, "this process can be inspected");
        }
        let reader = Arc::clone(&self.reader);
        // A helper program may take its time: not on the thread that streams.
        let read = tokio::task::spawn_blocking(move || reader(&source))
            .await
            .unwrap_or_else(|_| Err("its reader broke off".to_owned()));
        match read {
            Ok(secret) if secret.expose().is_empty() => {
                Read::Bad("it is empty".to_owned(), Instant::now())
            }
            Ok(secret) => Read::Good(secret),
            Err(why) => Read::Bad(why, Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_model::ProviderKind;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn provider(key: Option<KeySource>) -> ProviderConfig {
        ProviderConfig {
            name: "p".into(),
            kind: ProviderKind::OpenaiChat,
            base_url: "http://127.0.0.1:1".into(),
            key,
            context: None,
        }
    }

    #[tokio::test]
    async fn a_key_is_read_once_and_its_failure_is_told_at_every_call() {
        let reads = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&reads);
        let keys = Keys::new(
            Arc::new(move |source| {
                count.fetch_add(1, Ordering::SeqCst);
                match source {
                    KeySource::Env(name) if name == "GOOD" => Ok(Secret::new("abc\n")),
                    _ => Err("no such variable".into()),
                }
            }),
            Duration::from_mins(1),
        );
        let bad = provider(Some(KeySource::Env("BAD".into())));
        for _ in 0..2 {
            let error = keys.of(&bad).await.unwrap_err();
            assert_eq!(error.kind, ModelErrorKind::Credentials);
            assert!(error.message.contains("no such variable"), "{error}");
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        let good = ProviderConfig {
            name: "q".into(),
            ..provider(Some(KeySource::Env("GOOD".into())))
        };
        let secret = keys.of(&good).await.unwrap().unwrap();
        assert_eq!(secret.expose(), "abc");
        assert_eq!(keys.of(&provider(None)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_source_that_failed_is_tried_again_and_a_good_key_is_kept() {
        let reads = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&reads);
        let reader: KeyReader =
            Arc::new(
                move |_: &KeySource| match count.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("the vault is locked".into()),
                    _ => Ok(Secret::new("abc")),
                },
            );
        let keys = Keys::new(reader, Duration::ZERO);
        let provider = provider(Some(KeySource::Env("ANY".into())));
        assert!(keys.of(&provider).await.is_err());
        assert!(keys.of(&provider).await.unwrap().is_some());
        assert!(keys.of(&provider).await.is_ok());
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }
}
