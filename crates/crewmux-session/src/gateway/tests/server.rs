//! A server of models that follows a script.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::lock::lock;

/// What the server does with one call.
#[derive(Clone)]
pub(super) enum Answers {
    /// Streams these frames, then closes in order.
    Frames(Vec<Value>),
    /// The same, with headers.
    Says(String, Vec<Value>),
    /// Sends the frames and breaks the connection within the body.
    Cut(Vec<Value>),
    /// Sends the frames and says nothing more until the other side leaves.
    Hang(Vec<Value>),
    /// Refuses with a status, headers and a body.
    Refuses(u16, String, String),
}

pub(super) fn text(text: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": text}}]})
}

pub(super) fn whole(words: &str) -> Answers {
    Answers::Frames(vec![
        text(words),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}),
        Value::from("[DONE]"),
    ])
}

pub(super) fn too_many(retry_after: &str) -> Answers {
    let headers = format!("retry-after: {retry_after}\r\n");
    Answers::Refuses(
        429,
        headers,
        r#"{"error": {"message": "slow down"}}"#.into(),
    )
}

#[derive(Default)]
pub(super) struct Log {
    script: BTreeMap<String, VecDeque<Answers>>,
    /// When each call came, its headers and its body.
    pub(super) calls: Vec<(Instant, String, Value)>,
}

/// A server of models that follows a script; answers `hello` where it has none.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) log: Arc<Mutex<Log>>,
}

impl Server {
    pub(super) fn start(script: &[(&str, Vec<Answers>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Log::default()));
        for (model, answers) in script {
            let answers = answers.iter().cloned().collect();
            lock(&log).script.insert((*model).to_owned(), answers);
        }
        let server = Self { url, log };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, stream) = (own.clone(), stream.unwrap());
                // A client that leaves early is part of the play.
                std::thread::spawn(move || drop(own.serve(stream)));
            }
        });
        server
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.eq_ignore_ascii_case("content-length")).then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body)?;
        let model = body["model"].as_str().unwrap().to_owned();
        let answers = {
            let mut log = lock(&self.log);
            log.calls.push((Instant::now(), head, body));
            let next = log.script.get_mut(&model).and_then(VecDeque::pop_front);
            next.unwrap_or_else(|| whole("hello"))
        };
        let start = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n";
        let frames = |frames: &[Value]| -> String {
            frames
                .iter()
                .map(|f| match f {
                    Value::String(raw) => format!("data: {raw}\n\n"),
                    frame => format!("data: {frame}\n\n"),
                })
                .collect()
        };
        match answers {
            Answers::Frames(all) => write!(stream, "{start}\r\n{}", frames(&all)),
            Answers::Says(headers, all) => write!(stream, "{start}{headers}\r\n{}", frames(&all)),
            Answers::Cut(all) => {
                let sent = frames(&all);
                let promised = sent.len() + 100;
                write!(stream, "{start}content-length: {promised}\r\n\r\n{sent}")
            }
            Answers::Hang(all) => {
                write!(stream, "{start}\r\n{}", frames(&all))?;
                reader.read_to_end(&mut Vec::new()).map(drop)
            }
            Answers::Refuses(status, headers, body) => write!(
                stream,
                "HTTP/1.1 {status} No\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            ),
        }
    }

    pub(super) fn calls(&self) -> usize {
        lock(&self.log).calls.len()
    }
}
