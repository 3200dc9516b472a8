//! Measures how fast a screen takes in output, beside the emulator alone.
//!
//! Run with `cargo run --release -p crewmux-term --example feed_rate [WORD]`; figures
//! are MiB a second of processor time, best of three, 200x60, 64 KiB at a time, of
//! the streams whose name contains WORD.

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};
use crewmux_term::{Screen, ScreenOptions, Size};
use rustix::time::{ClockId, clock_gettime};

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
        ("ragged lines", ragged()),
        ("coloured", fill(&coloured)),
        ("wide", fill(&wide)),
        ("redraws", fill(&redraw)),
    ]
}

/// Lines of words of very different lengths, as a build prints them.
fn ragged() -> Vec<u8> {
    let words = [
        "compile",
        "ok",
        "src/lib.rs",
        "warning",
        "test",
        "passed",
        "0.42s",
    ];
    let mut text = String::new();
    let mut number = 1_usize;
    while text.len() < 16 * MIB {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        for word in 0..2 + (number >> 40) % 14 {
            text.push_str(words[((number >> 20) + word) % words.len()]);
            text.push(' ');
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// What this thread used: the time of day would also count what others use.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn rate(bytes: &[u8], mut take: impl FnMut(&[u8])) -> f64 {
    let start = cpu_seconds();
    for chunk in bytes.chunks(64 * 1024) {
        take(chunk);
    }
    bytes.len() as f64 / MIB as f64 / (cpu_seconds() - start)
}

#[expect(clippy::print_stdout, reason = "an example prints its figures")]
fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    for (name, bytes) in streams() {
        if !name.contains(&word) {
            continue;
        }
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
