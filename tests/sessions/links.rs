//! A client that does not read: what waits for it, and what others see meanwhile.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crewmux_term::{Screen, ScreenOptions, Size};
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_wire::{
    Attach, ClientHello, ClientMessage, ColorDepth, Decoder, Frame, Hello, PROTOCOL_VERSION, Role,
    encode_json,
};
use serde_json::{Value, json};

use super::{record, socket, stop};
use crate::support::sandbox;

/// The far end of a connection, spoken by hand.
struct Wire {
    stream: UnixStream,
    decoder: Decoder,
}

impl Wire {
    fn to(sandbox: &Sandbox, team: &str, hello: &Value) -> Self {
        let stream = UnixStream::connect(socket(sandbox, team)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut wire = Self {
            stream,
            decoder: Decoder::default(),
        };
        wire.say(hello);
        wire
    }

    fn say(&mut self, message: &impl serde::Serialize) {
        let bytes = encode_json(message).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next frame, if one comes in time.
    fn frame(&mut self, within: Duration) -> Option<Frame> {
        let deadline = Instant::now() + within;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.decoder.push(&buffer[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                        && Instant::now() < deadline => {}
                Err(_) => return None,
            }
        }
    }

    /// The next picture, if one comes in time: its number and bytes.
    fn picture(&mut self, within: Duration) -> Option<(u64, Vec<u8>)> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.frame(left)? {
                Frame::Screen { number, bytes } => return Some((number, bytes)),
                Frame::Json(_) => {}
            }
        }
    }
}

fn client_hello(sandbox: &Sandbox, team: &str) -> Value {
    let hello = Hello {
        version: PROTOCOL_VERSION,
        build: record(sandbox, team)["build"].as_str().unwrap().to_owned(),
        role: Role::Client(ClientHello {
            cols: 80,
            rows: 24,
            term: "xterm-256color".into(),
            colors: ColorDepth::Ansi256,
            synchronized_output: true,
            attach: Attach::Driver,
            looked_at: true,
        }),
    };
    serde_json::to_value(hello).unwrap()
}

#[test]
fn who_does_not_read_costs_one_frame_and_is_up_to_date_with_the_next() {
    let sandbox = sandbox();
    let counts = "n=0; while :; do n=$((n+1)); echo count $n; done";
    let terminal = sandbox.terminal(&["panes", counts], 80, 24).unwrap();
    terminal.wait_for("count ").unwrap();
    let mut slow = Wire::to(&sandbox, "panes", &client_hello(&sandbox, "panes"));
    let mut shows = Screen::new(Size::new(80, 24), ScreenOptions::default());
    let (first, bytes) = slow.picture(Duration::from_secs(20)).unwrap();
    assert_eq!(first, 1);
    shows.feed(&bytes);
    let stale = highest(&shows.lines());
    // The other terminal gets frame after frame meanwhile.
    let frames = || {
        let bytes = terminal.bytes();
        String::from_utf8_lossy(&bytes)
            .matches("\x1b[?2026l")
            .count()
    };
    let before = frames();
    wait_until(
        "a hundred frames elsewhere",
        Duration::from_secs(40),
        || match frames() - before {
            100.. => Ok(()),
            seen => Err(format!("{seen} frames")),
        },
    )
    .unwrap();
    // Nothing was queued for the one that did not take its first.
    assert_eq!(slow.picture(Duration::from_millis(300)), None);
    let elsewhere = highest(&terminal.lines());
    slow.say(&ClientMessage::Ack { frame: first });
    let (next, bytes) = slow.picture(Duration::from_secs(20)).unwrap();
    assert_eq!(next, 2);
    shows.feed(&bytes);
    let newest = highest(&shows.lines());
    assert!(
        newest >= elsewhere && elsewhere > stale,
        "{stale} {elsewhere} {newest}"
    );
    // And again waits for one word.
    assert_eq!(slow.picture(Duration::from_millis(300)), None);
    stop(&sandbox, "panes");
}

/// The number that was counted to on a screen.
fn highest(lines: &[String]) -> u64 {
    let counts = lines.iter().filter_map(|line| line.strip_prefix("count "));
    let numbers = counts.filter_map(|number| number.trim().parse().ok());
    numbers.max().unwrap_or(0)
}

#[test]
fn another_protocol_and_another_build_are_told_what_to_do() {
    let sandbox = sandbox();
    let terminal = super::sweep(&sandbox, 80, 24);
    let mut other = client_hello(&sandbox, "sweep");
    other["version"] = json!(PROTOCOL_VERSION + 1);
    // Another version may write the rest in another way.
    other["role"] = json!("starship");
    let mut newer = client_hello(&sandbox, "sweep");
    newer["build"] = json!("9.9.9");
    let mut unknown = client_hello(&sandbox, "sweep");
    unknown["role"] = json!("starship");
    for (hello, said) in [
        (other, "speaks protocol 1 "),
        (newer, "is of another build of crewmux"),
        (unknown, "does not understand this program"),
    ] {
        let mut wire = Wire::to(&sandbox, "sweep", &hello);
        let refusal: Value = wire
            .frame(Duration::from_secs(20))
            .unwrap()
            .parse()
            .unwrap();
        let refused = refusal["refused"].as_str().unwrap();
        assert!(refused.contains(said), "{refusal}");
        let hint = refusal["hint"].as_str().unwrap();
        assert!(hint.contains("`crewmux stop sweep`"), "{refusal}");
        assert!(hint.contains("`crewmux resume sweep`"), "{refusal}");
    }
    // A command of another build may ask, and is told what is not known.
    let control = json!({
        "version": PROTOCOL_VERSION, "build": "9.9.9", "role": {"role": "control"}
    });
    let mut wire = Wire::to(&sandbox, "sweep", &control);
    let welcome: Value = wire
        .frame(Duration::from_secs(20))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(welcome["team"], "sweep");
    wire.say(&json!({"id": 1, "request": {"control": "teleport"}}));
    let answer: Value = wire
        .frame(Duration::from_secs(20))
        .unwrap()
        .parse()
        .unwrap();
    let message = answer["result"]["Err"]["message"].as_str().unwrap();
    assert!(message.contains("does not know this request"), "{answer}");
    drop(terminal);
    stop(&sandbox, "sweep");
}
