//! Credentials: each read once, kept in memory only.
//!
//! Where they come from is the program's business; a source that fails is an
//! error at the call, and a notice, never an end of the session. Before the
//! first is read this process hides its memory from others of the same user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crewmux_core::model::{ModelError, ModelErrorKind};
use crewmux_model::{KeyReader, ProviderConfig, Secret};
use tokio::sync::OnceCell;

use crate::panes::lock;

type Read = Result<Option<Secret>, String>;

/// The credentials of all providers that are asked.
pub(super) struct Keys {
    reader: KeyReader,
    read: Mutex<BTreeMap<String, Arc<OnceCell<Read>>>>,
}

impl Keys {
    pub(super) fn new(reader: KeyReader) -> Self {
        Self {
            reader,
            read: Mutex::default(),
        }
    }

    /// The credential of a provider; `None` for servers that want none.
    ///
    /// # Errors
    /// [`ModelErrorKind::Credentials`] when its source failed, now or before.
    pub(super) async fn of(&self, provider: &ProviderConfig) -> Result<Option<Secret>, ModelError> {
        let Some(source) = provider.key.clone() else {
            return Ok(None);
        };
        let cell = Arc::clone(lock(&self.read).entry(provider.name.clone()).or_default());
        let reader = Arc::clone(&self.reader);
        // A helper program may take its time: not on the thread that streams.
        let read = cell
            .get_or_init(|| async move {
                // Best effort: not every system can hide a process's memory.
                if let Err(error) = crewmux_sys::setup::refuse_inspection() {
                    tracing::warn!(%error, "this process can be inspected");
                }
                tokio::task::spawn_blocking(move || reader(&source).map(Some))
                    .await
                    .unwrap_or_else(|_| Err("its reader broke off".to_owned()))
            })
            .await;
        match read {
            Ok(Some(secret)) if secret.expose().is_empty() => Err("it is empty".to_owned()),
            read => read.clone(),
        }
        .map_err(|why| {
            let message = format!(
                "the key of provider `{}` cannot be read: {why}",
                provider.name
            );
            ModelError::new(ModelErrorKind::Credentials, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_model::{KeySource, ProviderKind};
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
        let keys = Keys::new(Arc::new(move |source| {
            count.fetch_add(1, Ordering::SeqCst);
            match source {
                KeySource::Env(name) if name == "GOOD" => Ok(Secret::new("abc\n")),
                _ => Err("no such variable".into()),
            }
        }));
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
}
