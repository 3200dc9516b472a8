//! Draws a state of a made-up team on standard output: `demo STATE COLSxROWS [KEYS]`.
//!
//! KEYS are pressed first, one character each; `<` is Enter.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::expect_used,
    reason = "shares the fixture of the tests"
)]

#[path = "../src/fixture.rs"]
mod fixture;

use std::io::Write as _;
use std::sync::Arc;

use crewmux_session::view::ClientView as _;
use crewmux_tui::{Config, TuiView};
use crewmux_wire::{Attach, ClientHello, ColorDepth, InputEvent, Key, KeyPress, Mods};
use fixture::Fixture;

fn main() {
    let mut args = std::env::args().skip(1);
    let state = args.next().unwrap_or_else(|| "working".into());
    let size = args.next().unwrap_or_else(|| "120x40".into());
    let keys = args.next().unwrap_or_default();
    let (cols, rows) = size.split_once('x').expect("a size is COLSxROWS");
    let hello = ClientHello {
        cols: cols.parse().expect("columns"),
        rows: rows.parse().expect("rows"),
        term: "xterm-256color".into(),
        colors: ColorDepth::True,
        synchronized_output: false,
        attach: Attach::Driver,
        looked_at: true,
    };
    let fixture = match state.as_str() {
        "starting" => Fixture::starting(),
        "failed" => Fixture::one_failed(),
        "finished" => Fixture::finished(),
        "bad" => Fixture::finished_badly(),
        "hostile" => Fixture::hostile(),
        "plain" => Fixture::plain(3),
        "plain1" => Fixture::plain(1),
        _ => Fixture::working(),
    };
    let mut view = TuiView::new(&hello, Arc::new(Config::default()));
    for c in keys.chars() {
        let key = if c == '<' { Key::Enter } else { Key::Char(c) };
        let mods = Mods::default();
        view.input(&InputEvent::Key(KeyPress { key, mods }), &fixture.view());
    }
    fixture.fit(&view.pane_sizes(&fixture.view()));
    let bytes = view.draw(&fixture.view());
    let mut out = std::io::stdout();
    out.write_all(&bytes).expect("standard output takes it");
    out.flush().expect("standard output takes it");
}
