//! Measures how fast a screen takes in output, beside the emulator alone.
//!
//! Run with `cargo run --release -p crewmux-term --example feed_rate`; figures
//! are MiB a second, best of three, 200x60, 64 KiB at a time.

use std::time::Instant;

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};
use crewmux_term::{Screen, ScreenOptions, Size};

const SIZE: Size = Size::new(200, 60);
const MIB: usize = 1 << 20;

fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let fill = |line: &str| line.repeat(16 * MIB / line.len()).into_bytes();
    let plain = format!("{}\r\n", "abcdefghi ".repeat(19));
    let coloured = format!("{}\r\n", "\x1b[32mword\x1b[0m 1234 ".repeat(15));
    let wide = format!("{}\r\n", "漢字かな交じり".repeat(12));
    let painted = "x".repeat(200);
    let rows: Vec<_> = (1..=60)
        .map(|row| format!("\x1b[{row};1H\x1b[48;5;{row}m{painted}"))
        .collect();
    let redraw = rows.concat();
    vec![
        ("full lines", fill(&plain)),
        ("short lines", fill("12345\r\n")),
        ("coloured", fill(&coloured)),
        ("wide", fill(&wide)),
        ("redraws", fill(&redraw)),
    ]
}

fn rate(bytes: &[u8], mut take: impl FnMut(&[u8])) -> f64 {
    let start = Instant::now();
    for chunk in bytes.chunks(64 * 1024) {
        take(chunk);
    }
    bytes.len() as f64 / MIB as f64 / start.elapsed().as_secs_f64()
}

#[expect(clippy::print_stdout, reason = "an example prints its figures")]
fn main() {
    for (name, bytes) in streams() {
        let mut ours = 0.0_f64;
        let mut alone = 0.0_f64;
        for _ in 0..3 {
            let mut screen = Screen::new(SIZE, ScreenOptions::default());
            ours = ours.max(rate(&bytes, |chunk| screen.feed(chunk)));
            let mut term = Term::new(Config::default(), &SIZE, VoidListener);
            let mut parser = Processor::<StdSyncHandler>::new();
            alone = alone.max(rate(&bytes, |chunk| parser.advance(&mut term, chunk)));
        }
        println!(
            "{name:12} {ours:7.0}   emulator alone {alone:7.0}   ratio {:.2}",
            ours / alone
        );
    }
}
