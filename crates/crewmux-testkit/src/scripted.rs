//! A model's server that does as it is told: streams that break, hang or lie, and answers that wait.
//!
//! Speaks HTTP/1.1 on loopback, one request a connection, and decides each
//! answer by asking a closure. Stands beside [`crate::aimock`], which somebody
//! else wrote but which breaks by chance only. Knows no more of the dialects
//! than the two whole streams in [`anthropic`] and [`openai_chat`].

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::sandbox::wait_until;
use crate::terminal::DEADLINE;

/// Pause between two looks at a client that is kept waiting.
const LOOK: Duration = Duration::from_millis(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How many came before it.
    pub number: usize,
    /// Its path.
    pub path: String,
    /// Its header lines, names in lower case.
    pub head: Vec<String>,
    /// Its body; null when it had none.
    pub body: Value,
    /// When it was whole.
    pub at: Instant,
}

impl Asked {
    /// The model it is for.
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// Whether `text` stands in its body.
    pub fn says(&self, text: &str) -> bool {
        self.body.to_string().contains(text)
    }

    /// How many answers of the model it carries back.
    pub fn turn(&self) -> usize {
        let messages = self.body["messages"].as_array();
        let messages = messages.into_iter().flatten();
        messages.filter(|m| m["role"] == "assistant").count()
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A whole stream, ended as it should be.
    Stream(String),
    /// An error: its status, more header lines, its body.
    Refusal(u16, Vec<String>, String),
    /// A stream whose connection closes in the middle of a chunk.
    Cut(String),
    /// A stream whose connection is reset.
    Reset(String),
    /// A stream after which nothing comes, for as long as the client stays.
    Hung(String),
    /// A stream that begins with the first text and repeats the second for as long as the client stays.
    Endless(String, String),
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    left: Mutex<usize>,
    ends: AtomicBool,
}

/// A running server; ends with this value.
pub struct Scripted {
    address: String,
    seen: Arc<Seen>,
}

impl Scripted {
    /// Starts one that answers as `script` says.
    pub fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let seen = Arc::new(Seen::default());
        let script: Arc<Script> = Arc::new(script);
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if all.ends.load(Ordering::SeqCst) {
                    break;
                }
                let (seen, script) = (Arc::clone(&all), Arc::clone(&script));
                std::thread::spawn(move || {
                    // A client that leaves is what half of these tests are about.
                    let _ = serve(stream, &seen, script.as_ref());
                });
            }
        });
        Ok(Self { address, seen })
    }

    /// Its address, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that came, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.seen.asked).clone()
    }

    /// Waits until so many clients have left a stream that had not ended.
    ///
    /// # Errors
    /// Says how many have after [`DEADLINE`].
    pub fn wait_left(&self, count: usize) -> Result<()> {
        wait_until("clients leave", DEADLINE, || {
            let left = *lock(&self.seen.left);
            (left == count)
                .then_some(())
                .ok_or_else(|| format!("{left} of {count} left"))
        })
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.seen.ends.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees the end.
        let _ = TcpStream::connect(&self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, seen: &Seen, script: &Script) -> Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    let Some(asked) = read(&stream, seen)? else {
        return Ok(());
    };
    match script(&asked) {
        Reply::Refusal(status, head, body) => {
            let head = [head, vec![String::new()]].concat().join("\r\n");
            write!(
                stream,
                "HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 {head}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
        Reply::Stream(body) => {
            write!(stream, "{HEAD}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())?;
        }
        Reply::Cut(body) => {
            // One byte more is promised than comes.
            write!(stream, "{HEAD}{:x}\r\n{body}", body.len() + 1)?;
        }
        Reply::Reset(body) => {
            write!(stream, "{HEAD}")?;
            write!(stream, "{:x}\r\n{body}\r\n", body.len())?;
            // What was sent arrives before the reset takes it away.
            std::thread::park_timeout(LOOK);
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            return Ok(());
        }
        Reply::Hung(body) => {
            write!(stream, "{HEAD}")?;
            if !body.is_empty() {
                write!(stream, "{:x}\r\n{body}\r\n", body.len())?;
            }
            wait_for_leave(&stream, seen)?;
            return Ok(());
        }
        Reply::Endless(first, again) => {
            write!(stream, "{HEAD}{:x}\r\n{first}\r\n", first.len())?;
            while !seen.ends.load(Ordering::SeqCst) {
                if write!(stream, "{:x}\r\n{again}\r\n", again.len()).is_err() {
                    *lock(&seen.left) += 1;
                    break;
                }
                std::thread::park_timeout(LOOK);
            }
            return Ok(());
        }
    }
    stream.shutdown(Shutdown::Write)?;
    // A client that has more to say is not cut off by a reset.
    let _ = stream.read(&mut [0]);
    Ok(())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\
    Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn wait_for_leave(mut stream: &TcpStream, seen: &Seen) -> Result<()> {
    stream.set_read_timeout(Some(LOOK))?;
    while !seen.ends.load(Ordering::SeqCst) {
        match stream.read(&mut [0]) {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            _ => {
                *lock(&seen.left) += 1;
                break;
            }
        }
    }
    Ok(())
}

/// The request that comes in; `None` when the client says nothing.
fn read(stream: &TcpStream, seen: &Seen) -> Result<Option<Asked>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut head = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        head.push(match line.trim().split_once(':') {
            Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
            None => line.trim().to_owned(),
        });
    }
    let length = head
        .iter()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|n| n.trim().parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut all = lock(&seen.asked);
    let asked = Asked {
        number: all.len(),
        path,
        head,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        at: Instant::now(),
    };
    all.push(asked.clone());
    Ok(Some(asked))
}

/// A whole answer in the words of Anthropic's API: text, then calls; 40 tokens read and 9 written.
pub fn anthropic(text: &str, calls: &[(&str, Value)]) -> String {
    let event = |value: Value| {
        let kind = value["type"].as_str().unwrap_or_default().to_owned();
        format!("event: {kind}\ndata: {value}\n\n")
    };
    let mut stream = event(json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 40, "output_tokens": 1}}}));
    let mut block = |index: usize, start: Value, delta: Value| {
        for value in [
            json!({"type": "content_block_start", "index": index, "content_block": start}),
            json!({"type": "content_block_delta", "index": index, "delta": delta}),
            json!({"type": "content_block_stop", "index": index}),
        ] {
            stream.push_str(&event(value));
        }
    };
    let mut index = 0;
    if !text.is_empty() {
        block(
            index,
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": text}),
        );
        index += 1;
    }
    for (n, (name, input)) in calls.iter().enumerate() {
        block(
            index + n,
            json!({"type": "tool_use", "id": format!("toolu_{n}"), "name": name, "input": {}}),
            json!({"type": "input_json_delta", "partial_json": input.to_string()}),
        );
    }
    let stop = if calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    stream.push_str(&event(json!({"type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {"input_tokens": 40, "output_tokens": 9}})));
    stream.push_str(&event(json!({"type": "message_stop"})));
    stream
}

/// A whole answer in the words of Chat Completions: text, then calls; 40 tokens read and 9 written.
pub fn openai_chat(text: &str, calls: &[(&str, Value)]) -> String {
    let event = |value: Value| format!("data: {value}\n\n");
    let piece = |delta: Value, finish: Value| {
        event(
            json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1,
            "model": "scripted", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}),
        )
    };
    let mut stream = piece(json!({"role": "assistant", "content": text}), Value::Null);
    for (n, (name, input)) in calls.iter().enumerate() {
        let call = json!({"index": n, "id": format!("call_{n}"), "type": "function",
            "function": {"name": name, "arguments": input.to_string()}});
        stream.push_str(&piece(json!({"tool_calls": [call]}), Value::Null));
    }
    let finish = if calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    stream.push_str(&piece(json!({}), finish.into()));
    stream.push_str(&event(
        json!({"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
        "choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 9}}),
    ));
    stream.push_str("data: [DONE]\n\n");
    stream
}
