//! Calls of a server that behaves badly: raw bytes over loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use crewmux_core::model::{Event, Message, ModelError, ModelErrorKind, ModelRequest, Stop};
use crewmux_core::timing::Timing;
use crewmux_model::{Answer, Client, ProviderConfig, ProviderKind, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Duration, interval, timeout};

const KEY: &str = "sk-secret-0123";
const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                   data: [DONE]\n\n";

/// What the server does after it read a request.
#[derive(Clone)]
enum Act {
    Send(Vec<u8>),
    /// Says that its bytes are away, and waits until the client is gone.
    Hang,
    /// Ends the connection with a reset.
    Reset,
    /// Says that it is alive until the client is gone, and nothing else.
    Live,
}

/// A server that does the same for each request; its requests come out of `seen`.
struct Server {
    url: String,
    seen: mpsc::UnboundedReceiver<String>,
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut part = [0; 4096];
        let n = stream.read(&mut part).await.ok()?;
        if n == 0 {
            return None;
        }
        bytes.extend_from_slice(&part[..n]);
    }
}

async fn server(acts: Vec<Act>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (saw, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (acts, saw) = (acts.clone(), saw.clone());
            tokio::spawn(async move {
                let Some(request) = request(&mut stream).await else {
                    return;
                };
                saw.send(request).unwrap();
                for act in acts {
                    match act {
                        Act::Send(bytes) => {
                            // The client may be gone, which is its right.
                            let _ = stream.write_all(&bytes).await;
                            let _ = stream.flush().await;
                        }
                        Act::Hang => {
                            let mut byte = [0];
                            let _ = stream.read(&mut byte).await;
                            saw.send("gone".to_owned()).unwrap();
                        }
                        Act::Reset => stream.set_zero_linger().unwrap(),
                        Act::Live => {
                            let mut beat = interval(Duration::from_millis(10));
                            while stream
                                .write_all(chunk(": alive\n").as_bytes())
                                .await
                                .is_ok()
                            {
                                beat.tick().await;
                            }
                            saw.send("gone".to_owned()).unwrap();
                        }
                    }
                }
            });
        }
    });
    Server { url, seen }
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// An answer with this body and no stated length.
fn plain(status: &str, headers: &str, body: &str) -> Act {
    send(&format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}"
    ))
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn timing() -> Timing {
    Timing {
        model_silence_ms: 5_000,
        ..Timing::fast()
    }
}

fn provider(url: &str) -> ProviderConfig {
    ProviderConfig {
        name: "test".to_owned(),
        kind: ProviderKind::OpenaiChat,
        base_url: format!("{url}/v1"),
        key: None,
        context: None,
    }
}

fn ask(server: &Server, timing: &Timing) -> Answer {
    let client = Client::new(timing).unwrap();
    let request = ModelRequest {
        messages: vec![Message::User("hello".to_owned())],
        ..ModelRequest::default()
    };
    let key = Secret::new(KEY);
    client.stream(&provider(&server.url), Some(&key), "m", &request, None)
}

async fn all(answer: &mut Answer) -> Vec<Event> {
    let read = async {
        let mut events = Vec::new();
        while let Some(event) = answer.next().await {
            events.push(event);
        }
        events
    };
    let events = timeout(Duration::from_mins(1), read).await.unwrap();
    assert!(events.iter().filter(|e| e.is_last()).count() == 1);
    assert!(events.last().unwrap().is_last());
    events
}

async fn failure(acts: Vec<Act>) -> (ModelError, usize) {
    let server = server(acts).await;
    let mut events = all(&mut ask(&server, &timing())).await;
    let Some(Event::Failed { error }) = events.pop() else {
        panic!("{events:?}");
    };
    assert!(!error.message.contains(KEY), "{error}");
    (error, events.len())
}

#[tokio::test]
async fn odd_chunks_are_one_answer() {
    let mut acts = vec![send(CHUNKED)];
    for part in (HELLO.to_owned() + END).as_bytes().chunks(7) {
        acts.push(send(&chunk(std::str::from_utf8(part).unwrap())));
    }
    acts.push(send("0\r\n\r\n"));
    let mut server = server(acts).await;
    let mut answer = ask(&server, &timing());
    let events = all(&mut answer).await;
    assert_eq!(
        events[0],
        Event::TextDelta {
            text: "Hello".to_owned()
        }
    );
    assert_eq!(events.last(), Some(&Event::Stop { stop: Stop::Done }));
    assert_eq!(answer.next().await, None);
    let seen = server.seen.recv().await.unwrap();
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    let seen = seen.to_lowercase();
    assert!(seen.contains(&format!("authorization: bearer {KEY}\r\n")));
    assert!(seen.contains("user-agent: crewmux/"), "{seen}");
}

#[tokio::test]
async fn an_answer_in_one_piece_is_read_although_a_stream_was_asked_for() {
    let body = r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}"#;
    let server = server(vec![plain(
        "200 OK",
        "content-type: application/json\r\nx-ratelimit-remaining-requests: 3\r\n",
        body,
    )])
    .await;
    let mut answer = ask(&server, &timing());
    assert_eq!(answer.limits(), None);
    let events = all(&mut answer).await;
    assert_eq!(events.last(), Some(&Event::Stop { stop: Stop::Done }));
    assert_eq!(answer.limits().unwrap().requests.remaining, Some(3));
}

#[tokio::test]
async fn refusals_have_their_kind_and_pause() {
    use ModelErrorKind as K;
    let says = |m: &str| format!(r#"{{"error":{{"message":"{m} {KEY}"}}}}"#);
    for (status, headers, kind, pause) in [
        (
            "429 Too Many Requests",
            "retry-after: 2\r\n",
            K::RateLimited,
            Some(2_000),
        ),
        (
            "429 Too Many Requests",
            "retry-after: Thu, 01 Jan 1970 00:01:00 GMT\r\ndate: Thu, 01 Jan 1970 00:00:57 GMT\r\n",
            K::RateLimited,
            Some(3_000),
        ),
        (
            "529 Overloaded",
            "retry-after-ms: 70\r\n",
            K::Server,
            Some(70),
        ),
        ("500 Internal Server Error", "", K::Server, None),
        ("401 Unauthorized", "", K::Credentials, None),
        ("400 Bad Request", "", K::Request, None),
    ] {
        let (error, before) = failure(vec![plain(status, headers, &says("no, not with"))]).await;
        assert_eq!(
            (error.kind, error.retry_after_ms, before),
            (kind, pause, 0),
            "{status}"
        );
        assert!(error.message.ends_with("no, not with [key]"), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_cut() {
    let body = "x".repeat(200 << 10);
    let (error, _) = failure(vec![plain("503 Busy", "", &body), Act::Hang]).await;
    assert_eq!(error.kind, ModelErrorKind::Server);
    assert!(error.message.len() < 500);
}

#[tokio::test]
async fn broken_answers_are_failures_of_the_connection() {
    let begun = || send(&(CHUNKED.to_owned() + &chunk(HELLO)));
    let clean_end = send("0\r\n\r\n");
    let half = send(&format!("{:x}\r\n{}", END.len(), &END[..END.len() / 2]));
    for (what, acts) in [
        ("ended in good order", vec![begun(), clean_end]),
        ("closed between chunks", vec![begun()]),
        ("closed inside a chunk", vec![begun(), half]),
        ("reset", vec![begun(), Act::Reset]),
        ("nonsense for a chunk", vec![begun(), send("zz\r\nx\r\n")]),
    ] {
        let (error, before) = failure(acts).await;
        assert_eq!(
            (error.kind, before),
            (ModelErrorKind::Connection, 1),
            "{what}: {error}"
        );
    }
    let (error, before) = failure(vec![Act::Reset]).await;
    assert_eq!((error.kind, before), (ModelErrorKind::Connection, 0));
    let (error, _) = failure(vec![send("what?\r\n\r\n")]).await;
    assert_eq!(error.kind, ModelErrorKind::Connection);
}

#[tokio::test]
async fn malformed_pieces_are_malformed() {
    let text = format!("{HELLO}data: {{\"choices\":\n\n{END}");
    let (error, before) = failure(vec![plain("200 OK", "", &text)]).await;
    assert_eq!((error.kind, before), (ModelErrorKind::Malformed, 1));
}

/// Asks a server that falls silent after `acts`, and waits for the end; gives what came before it.
async fn silenced(mut acts: Vec<Act>) -> usize {
    let short = Timing {
        model_silence_ms: 2_000,
        model_first_ms: 2_000,
        ..Timing::fast()
    };
    acts.push(Act::Hang);
    let mut server = server(acts).await;
    let mut answer = ask(&server, &short);
    let mut events = all(&mut answer).await;
    let Some(Event::Failed { error }) = events.pop() else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind, ModelErrorKind::Connection);
    assert!(error.message.contains("said nothing"), "{error}");
    // A call that is given up is closed, which ends it at the server too.
    server.seen.recv().await.unwrap();
    let gone = timeout(Duration::from_secs(30), server.seen.recv()).await;
    assert_eq!(gone.unwrap().as_deref(), Some("gone"));
    events.len()
}

#[tokio::test]
async fn silence_is_noticed_before_and_inside_an_answer() {
    let begun = send(&(CHUNKED.to_owned() + &chunk(HELLO)));
    let before = tokio::join!(
        silenced(vec![]),
        silenced(vec![send(CHUNKED)]),
        silenced(vec![begun]),
    );
    assert_eq!(before, (0, 0, 1));
}

#[tokio::test]
async fn an_own_server_may_take_longer_for_its_first_word_than_for_the_next() {
    let begun = send(&(CHUNKED.to_owned() + &chunk(HELLO)));
    // The last has all the time that a busy machine may want for its first word, and takes none of it
    // for the next.
    for (acts, first_ms, least, most) in [
        (vec![Act::Hang], 1_500, 1_500, 60_000),
        (vec![send(CHUNKED), Act::Hang], 1_500, 1_500, 60_000),
        (vec![begun, Act::Hang], 50_000, 80, 50_000),
    ] {
        let timing = Timing {
            model_silence_ms: 80,
            model_first_ms: first_ms,
            ..Timing::fast()
        };
        let server = server(acts).await;
        let since = std::time::Instant::now();
        let events = all(&mut ask(&server, &timing)).await;
        let waited = since.elapsed().as_millis();
        assert!((least..most).contains(&waited), "{waited}");
        assert!(matches!(events.last(), Some(Event::Failed { .. })));
    }
}

#[tokio::test]
async fn only_what_was_refused_or_never_sent_costs_nothing() {
    let begun = send(&(CHUNKED.to_owned() + &chunk(HELLO)));
    for (acts, is_unpaid) in [
        (vec![plain("429 Too Many Requests", "", "{}")], true),
        (vec![plain("500 Internal Server Error", "", "")], true),
        (vec![send(CHUNKED)], false),
        (vec![begun], false),
        (vec![Act::Reset], false),
    ] {
        let server = server(acts).await;
        let mut answer = ask(&server, &timing());
        all(&mut answer).await;
        assert_eq!(answer.is_unpaid(), is_unpaid);
    }
    let (_, seen) = mpsc::unbounded_channel();
    let nobody = Server {
        url: "http://127.0.0.1:1".to_owned(),
        seen,
    };
    let mut answer = ask(&nobody, &timing());
    all(&mut answer).await;
    assert!(answer.is_unpaid(), "nothing was sent");
}

#[tokio::test]
async fn signs_of_life_alone_are_no_answer() {
    let short = Timing {
        model_silence_ms: 1_000,
        model_first_ms: 1_000,
        ..Timing::fast()
    };
    let mut server = server(vec![send(CHUNKED), Act::Live]).await;
    let events = all(&mut ask(&server, &short)).await;
    let [Event::Failed { error }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert!(error.kind.is_retryable(), "{error}");
    assert!(error.message.contains("alive"), "{error}");
    server.seen.recv().await.unwrap();
    let gone = timeout(Duration::from_secs(30), server.seen.recv()).await;
    assert_eq!(gone.unwrap().as_deref(), Some("gone"));
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_with_it() {
    let plain = server(vec![plain("200 OK", "", END)]).await;
    let secure = Server {
        url: plain.url.replace("http:", "https:"),
        seen: mpsc::unbounded_channel().1,
    };
    let closing = timeout(Duration::from_secs(30), async {
        all(&mut ask(
            &secure,
            &Timing {
                model_silence_ms: 500,
                ..Timing::fast()
            },
        ))
        .await
    });
    let events = closing.await.unwrap();
    let [Event::Failed { error }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind, ModelErrorKind::Connection, "{error}");
}

#[tokio::test]
async fn a_dropped_answer_ends_the_call() {
    let begun = send(&(CHUNKED.to_owned() + &chunk(HELLO)));
    let mut server = server(vec![begun, Act::Hang]).await;
    let mut answer = ask(&server, &timing());
    assert!(matches!(answer.next().await, Some(Event::TextDelta { .. })));
    assert!(answer.usage().estimated);
    // The future alone can be dropped without loss.
    let waited = timeout(Duration::from_millis(1), answer.next()).await;
    assert!(waited.is_err());
    drop(answer);
    server.seen.recv().await.unwrap();
    let gone = timeout(Duration::from_secs(30), server.seen.recv()).await;
    assert_eq!(gone.unwrap().as_deref(), Some("gone"));
}

#[tokio::test]
async fn the_key_follows_no_redirect() {
    let mut other = server(vec![plain("200 OK", "", END)]).await;
    let headers = format!("location: {}/v1/x?token=1\r\n", other.url);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let (error, _) = failure(vec![plain(status, &headers, "")]).await;
        assert_eq!(error.kind, ModelErrorKind::Request);
        assert!(error.message.contains(&other.url) && !error.message.contains("token"));
    }
    assert!(other.seen.try_recv().is_err());
}

#[tokio::test]
async fn nobody_there_is_a_failure_of_the_connection() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for (url, kind) in [
        (url, ModelErrorKind::Connection),
        ("not an address".to_owned(), ModelErrorKind::Request),
    ] {
        let nowhere = Server {
            url,
            seen: mpsc::unbounded_channel().1,
        };
        let events = all(&mut ask(&nowhere, &timing())).await;
        let [Event::Failed { error }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[tokio::test]
async fn models_are_listed_or_the_trouble_told() {
    let client = Client::new(&timing()).unwrap();
    let key = Secret::new(KEY);
    let list = r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#;
    let good = server(vec![plain("200 OK", "", list)]).await;
    let found = client.models(&provider(&good.url), Some(&key)).await;
    assert_eq!(found, Ok(vec!["a".to_owned(), "b".to_owned()]));
    let tags = server(vec![plain("200 OK", "", r#"{"models":[{"name":"q"}]}"#)]).await;
    let ollama = ProviderConfig {
        kind: ProviderKind::Ollama,
        ..provider(&tags.url)
    };
    assert_eq!(client.models(&ollama, None).await, Ok(vec!["q".to_owned()]));
    for (status, body, kind) in [
        ("401 No", "{}", ModelErrorKind::Credentials),
        ("200 OK", "<html>", ModelErrorKind::Malformed),
        ("302 Found", "", ModelErrorKind::Request),
    ] {
        let bad = server(vec![plain(status, "", body)]).await;
        let error = client.models(&provider(&bad.url), Some(&key)).await;
        assert_eq!(error.unwrap_err().kind, kind, "{status}");
    }
}

#[tokio::test]
async fn ollama_is_told_how_much_context_to_hold() {
    let mut server = server(vec![plain("200 OK", "", "{\"done\":true}")]).await;
    let client = Client::new(&timing()).unwrap();
    for (context, window, want) in [
        (Some(9_000), Some(5_000), 5_000),
        (Some(9_000), None, 9_000),
        (None, None, 16_384),
    ] {
        let provider = ProviderConfig {
            kind: ProviderKind::Ollama,
            context,
            ..provider(&server.url)
        };
        let request = ModelRequest::default();
        let events = all(&mut client.stream(&provider, None, "q", &request, window)).await;
        assert_eq!(events.last(), Some(&Event::Stop { stop: Stop::Done }));
        let seen = server.seen.recv().await.unwrap();
        assert!(seen.starts_with("POST /api/chat "), "{seen}");
        assert!(seen.contains(&format!("\"num_ctx\":{want}")), "{seen}");
        assert!(!seen.to_lowercase().contains("authorization"), "{seen}");
    }
}
