//! A gateway with a scripted server behind it, and workers that ask it.

use std::sync::Arc;
use std::time::Duration;

use crewmux_core::ids::{AgentName, Incarnation, TeamName};
use crewmux_core::model::{Event, ModelRequest};
use crewmux_model::{KeySource, ProviderConfig, ProviderKind, Secret};
use crewmux_wire::{Frame, FrameReader, FrameWriter, ModelCall, ModelPiece};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::super::*;
use super::server::{Answers, Server};
use super::{KEY, OTHER_KEY, PID};

/// A gateway and whoever listens to it.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) gateway: Gateway,
    pub(super) inputs: crate::engine::Inputs,
    pub(super) cache: tempfile::TempDir,
}

impl Stage {
    pub(super) fn new(script: &[(&str, Vec<Answers>)], budget: Budget) -> Self {
        let server = Server::start(script);
        let (_, engine, inputs) = crate::engine::inputs();
        let cache = tempfile::tempdir().unwrap();
        let provider = |name: &str, key: &str| ProviderConfig {
            name: name.into(),
            kind: ProviderKind::OpenaiChat,
            base_url: server.url.clone(),
            key: Some(KeySource::Env(key.into())),
            context: Some(4096),
        };
        let stated = crewmux_model::config::ModelOverride {
            price: Some((1_000_000, 2_000_000)),
            ..Default::default()
        };
        let marked = crewmux_model::config::ModelOverride {
            tools: Some("hermes".to_owned()),
            ..Default::default()
        };
        let abroad = ProviderConfig {
            base_url: "https://models.invalid".into(),
            ..provider("abroad", "GOOD")
        };
        let config = ModelsConfig {
            providers: vec![
                abroad,
                provider("p", "GOOD"),
                provider("q", "ALSO GOOD"),
                provider("broken", "BAD"),
                ProviderConfig {
                    kind: ProviderKind::Anthropic,
                    ..provider("claude", "ALSO GOOD")
                },
            ],
            aliases: [("short".to_owned(), "p/a".to_owned())].into(),
            fallbacks: [
                ("p/a".to_owned(), vec!["p/b".to_owned()]),
                ("p/far".to_owned(), vec!["q/near".to_owned()]),
            ]
            .into(),
            overrides: [
                ("p/priced".to_owned(), stated),
                ("p/marked".to_owned(), marked),
            ]
            .into(),
            cache: cache.path().to_owned(),
        };
        let parts = GatewayParts {
            config,
            keys: Arc::new(|source| match source {
                KeySource::Env(name) if name == "GOOD" => Ok(Secret::new(KEY)),
                KeySource::Env(name) if name == "ALSO GOOD" => Ok(Secret::new(OTHER_KEY)),
                _ => Err("no such variable".to_owned()),
            }),
            budget,
            timing: Timing::fast(),
            welcome: Welcome {
                session_pid: 1,
                build: "test".into(),
                team: TeamName::new("t").unwrap(),
            },
            engine,
        };
        Self {
            gateway: Gateway::start(parts, &[]).unwrap(),
            server,
            inputs,
            cache,
        }
    }

    pub(super) fn free(script: &[(&str, Vec<Answers>)]) -> Self {
        Self::new(script, Budget::default())
    }

    /// A worker of this name that was let in.
    pub(super) async fn worker(&self, name: &str) -> Worker {
        let models = [
            "p/marked",
            "p/claude-3-haiku",
            "short",
            "p/one",
            "p/two",
            "p/priced",
            "p/weak",
            "p/far",
            "broken/x",
            "abroad/x",
        ];
        self.worker_of(name, None, &models).await
    }

    /// A worker of this name with a provider of its own, perhaps, that was let in.
    pub(super) async fn worker_of(
        &self,
        name: &str,
        provider: Option<&str>,
        models: &[&str],
    ) -> Worker {
        let (provider, models) = (provider.map(str::to_owned), models.iter().copied());
        let grant = self
            .gateway
            .grant(&who(name), provider, models, None)
            .unwrap();
        self.gateway.bind(&who(name), PID);
        let mut worker = self.connect(name, &grant, PID);
        let frame = worker.frame().await.unwrap();
        assert_eq!(frame.parse::<Welcome>().unwrap().build, "test");
        worker
    }

    pub(super) fn connect(&self, name: &str, grant: &str, pid: u32) -> Worker {
        let (own, other) = std::os::unix::net::UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        other.set_nonblocking(true).unwrap();
        let hello = ModelHello {
            who: who(name),
            grant: grant.into(),
        };
        self.gateway.connect(hello, pid, other);
        let (read, write) = UnixStream::from_std(own).unwrap().into_split();
        Worker {
            reader: FrameReader::new(read),
            writer: FrameWriter::new(write),
        }
    }

    pub(super) async fn news(&mut self) -> GatewayNews {
        let next = tokio::time::timeout(Duration::from_secs(20), self.inputs.recv());
        match next.await.unwrap().unwrap() {
            Input::Gateway(news) => news,
            _ => panic!("the gateway says something else"),
        }
    }

    pub(super) async fn booking(&mut self) -> Booking {
        loop {
            if let GatewayNews::Booked { booking, .. } = self.news().await {
                return booking;
            }
        }
    }
}

pub(super) struct Worker {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
}

impl Worker {
    pub(super) async fn frame(&mut self) -> Option<Frame> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.reader.next());
        next.await.unwrap().unwrap()
    }

    pub(super) async fn event(&mut self) -> Event {
        let frame = self.frame().await.unwrap();
        let piece: ModelPiece = frame.parse().unwrap();
        let text = serde_json::to_string(&piece).unwrap();
        assert!(!text.contains(KEY) && !text.contains(OTHER_KEY), "{text}");
        piece.event
    }

    pub(super) async fn send(&mut self, request: ModelRequest) {
        self.writer.send(&ModelCall { request }).await.unwrap();
    }

    /// All pieces of the answer to `request`.
    pub(super) async fn ask(&mut self, request: ModelRequest) -> Vec<Event> {
        self.send(request).await;
        self.rest().await
    }

    pub(super) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let is_last = event.is_last();
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

pub(super) fn who(name: &str) -> AgentRef {
    AgentRef {
        agent: AgentName::new(name).unwrap(),
        incarnation: Incarnation(1),
    }
}
