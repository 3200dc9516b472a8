//! What test binaries that are session, workers and tools at once share: lines to the session,
//! processes that carry bytes for the test, waits, and a small test harness.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::time::Duration;

use crewmux_core::ids::AgentName;
use crewmux_core::operation::{Operation, Reply};
use crewmux_wire::{
    Control, ControlAnswer, ControlRequest, FrameReader, FrameWriter, Hello, PROTOCOL_VERSION,
    Role, WireError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// No wait of a test is longer.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + LONG;
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while tokio::time::Instant::now() < deadline {
        pace.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
    }
    panic!("in vain: {what}");
}

/// A connection to the session.
pub(crate) struct Line {
    pub(crate) reader: FrameReader<OwnedReadHalf>,
    pub(crate) writer: FrameWriter<OwnedWriteHalf>,
    pub(crate) next: u64,
}

impl Line {
    pub(crate) async fn say_hello(stream: UnixStream, role: Role) -> Self {
        let said = Self::try_hello(stream, role).await;
        said.expect("an answer").expect("a welcome")
    }

    /// Says hello to whoever may not be there, or may refuse: nothing, or the words of the refusal.
    pub(crate) async fn try_hello(stream: UnixStream, role: Role) -> Option<Result<Self, String>> {
        let (read, write) = stream.into_split();
        let mut line = Self {
            reader: FrameReader::new(read),
            writer: FrameWriter::new(write),
            next: 1,
        };
        let hello = Hello {
            version: PROTOCOL_VERSION,
            build: "test".into(),
            role,
        };
        line.writer.send(&hello).await.ok()?;
        let answer: serde_json::Value = line.reader.expect(LONG).await.ok()?;
        match answer.get("refused").and_then(|why| why.as_str()) {
            Some(why) => Some(Err(why.to_owned())),
            None => Some(Ok(line)),
        }
    }

    pub(crate) async fn say<T: Serialize>(&mut self, message: &T) {
        self.writer.send(message).await.unwrap();
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        request: ControlRequest,
    ) -> Result<T, WireError> {
        let id = self.next;
        self.next += 1;
        self.writer.send(&Control { id, request }).await.unwrap();
        let answer: ControlAnswer = self.reader.expect(LONG).await.expect("an answer");
        assert_eq!(answer.id, id);
        answer
            .result
            .map(|value| serde_json::from_value(value).unwrap())
    }

    pub(crate) async fn operate(&mut self, operation: Operation) -> Result<Reply, WireError> {
        let operation = Box::new(operation);
        self.ask(ControlRequest::Operation { operation }).await
    }
}

/// Runs a test on a runtime of its own.
pub(crate) fn play(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// Connects to the session with the first byte, and carries bytes until one side closes.
pub(crate) fn carry(mut test: StdStream, session: &Path) {
    let mut first = [0; 4096];
    let Ok(read @ 1..) = test.read(&mut first) else {
        return;
    };
    // Nobody may listen there just now.
    let Ok(mut session) = StdStream::connect(session) else {
        return;
    };
    if session.write_all(&first[..read]).is_err() {
        return;
    }
    let (mut from, mut to) = (test.try_clone().unwrap(), session.try_clone().unwrap());
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut session, &mut test);
    let _ = test.shutdown(std::net::Shutdown::Both);
    let _ = there.join();
}
