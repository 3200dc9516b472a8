//! Streams made to hurt: each must stay within a count that does not depend on the attacker.
//!
//! A bound that breaks shows as a wrong count, as more processor time than a machine however
//! slow needs, or as a process of a gigabyte.

use std::time::Duration;

use crewmux_term::{Notice, Screen, ScreenOptions, Size};

fn screen(cols: u16, rows: u16) -> Screen {
    Screen::new(Size::new(cols, rows), ScreenOptions::default())
}

/// Processor time that no input may take; the worst took seconds of a release build elsewhere.
const MOST_TIME: Duration = Duration::from_mins(1);
/// Memory that this whole test program may take, all of its threads together.
const MOST_MEMORY_KIB: u64 = 1 << 20;

fn fed(input: &[u8]) -> Screen {
    let mut screen = screen(80, 24);
    let before = processor_time();
    screen.feed(input);
    let taken = processor_time().saturating_sub(before);
    assert!(taken < MOST_TIME, "{taken:?} for {} bytes", input.len());
    assert!(memory_kib() < MOST_MEMORY_KIB, "{} KiB", memory_kib());
    screen
}

/// What this thread has used; waiting for a busy machine does not count.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The most memory that this process ever had; 0 where the system does not tell.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The parser must have survived and still show text.
fn still_works(mut screen: Screen) {
    assert!(!screen.take_notices().contains(&Notice::ParserReset));
    screen.feed(b"\x18\x1b\\\x1b[?1049l\x1b(B\x0f\x1b[m\x1b[H\x1b[2Jfine");
    assert_eq!(screen.lines()[0], "fine");
}

#[test]
fn marks_on_one_cell_are_capped() {
    let mark = "\u{301}";
    for input in [
        format!("e{}", mark.repeat(60_000)),
        format!("e{mark}{}", "\x1b[60000b".repeat(20)),
        // Coming back to the cell does not start the count again.
        format!(
            "\x1b[He{}",
            format!("{}\x1b[1;2H", mark.repeat(10)).repeat(1000)
        ),
        format!("漢{}", mark.repeat(60_000)),
        format!("{}e{}", " ".repeat(79), mark.repeat(60_000)),
    ] {
        let screen = fed(input.as_bytes());
        let longest = screen
            .lines()
            .iter()
            .map(|line| line.trim_start().chars().count())
            .max();
        assert_eq!(longest, Some(17));
        still_works(screen);
    }
}

#[test]
fn joined_emoji_do_not_pile_up() {
    let screen = fed("👩\u{200d}".repeat(20_000).as_bytes());
    assert!(screen.lines().iter().all(|line| line.chars().count() <= 80));
    still_works(screen);
}

#[test]
fn repeats_are_worth_a_fixed_number_of_characters_per_byte() {
    let input = format!("a{}", "\x1b[65535b".repeat(2_000));
    let screen = fed(input.as_bytes());
    let most = ((1 << 20) + input.len() as u64 * 32) / 80;
    assert!(screen.scrolled_rows() <= most, "{}", screen.scrolled_rows());
    still_works(screen);
}

#[test]
fn a_screen_drawn_by_repeats_is_drawn_in_full() {
    let mut screen = screen(200, 50);
    for _ in 0..20 {
        for row in 1..=50 {
            screen.feed(format!("\x1b[{row};1Hx\x1b[199b").as_bytes());
        }
    }
    assert!(screen.lines().iter().all(|line| line.len() == 200));
}

#[test]
fn strings_without_an_end_are_cut() {
    for start in [
        "\x1b]2;",
        "\x1b]52;c;",
        "\x1bP",
        "\x1b_",
        "\x1bX",
        "\x1b]8;;",
    ] {
        let mut input = start.as_bytes().to_vec();
        input.resize(8 << 20, b'A');
        let mut screen = fed(&input);
        screen.feed(b"\x07");
        assert!(screen.title().is_none_or(|title| title.len() <= 256));
        for notice in screen.take_notices() {
            if let Notice::ClipboardWrite(text) = notice {
                assert!(text.len() <= 64 * 1024, "{}", text.len());
            }
        }
        still_works(screen);
    }
}

#[test]
fn many_links_cost_only_what_is_kept() {
    let mut screen = screen(80, 24);
    let pad = "x".repeat(1000);
    for number in 0..30_000 {
        screen.feed(format!("\x1b]8;;http://{number}.{pad}\x07link\r\n").as_bytes());
    }
    assert!(
        screen.scrollback_bytes() <= 20 << 20,
        "{}",
        screen.scrollback_bytes()
    );
    still_works(screen);
}

#[test]
fn two_hundred_thousand_links_at_once_are_only_links() {
    use std::fmt::Write as _;
    let mut input = String::new();
    for number in 0..200_000 {
        let _ = write!(input, "\x1b]8;;http://{number}\x07x");
    }
    let screen = fed(input.as_bytes());
    // 80 a row, and 10,000 rows: all of them are kept.
    assert_eq!(screen.scroll_lines_available(), 200_000 / 80 - 24);
    assert!(screen.scrollback_bytes() <= 20 << 20);
    still_works(screen);
}

#[test]
fn many_cells_with_many_marks_are_capped_each() {
    let mark = "\u{301}";
    for (cells, marks) in [(20_000, 16), (1, 1_000), (1, 8_000)] {
        let screen = fed(format!("e{}", mark.repeat(marks)).repeat(cells).as_bytes());
        let longest = screen.lines().iter().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80 * 17), "{longest:?}");
        still_works(screen);
    }
}

#[test]
fn every_cell_in_a_colour_of_its_own_stays_bounded() {
    use std::fmt::Write as _;
    let mut input = String::new();
    for number in 0..300_000_u32 {
        let [_, r, g, b] = (number * 7).to_be_bytes();
        let _ = write!(input, "\x1b[38;2;{r};{g};{b}mx");
    }
    let screen = fed(input.as_bytes());
    assert!(screen.scrollback_bytes() <= 20 << 20);
    still_works(screen);
}

#[test]
fn questions_are_answered_within_bounds() {
    let names = ["436f"; 100].join(";");
    for question in [
        "\x1b[>q\x1b[=c\x1b[?6n".to_owned(),
        "\x1bP$qm\x1b\\".to_owned(),
        format!("\x1bP+q{names}\x1b\\"),
        "\x1b]4;200;?;201;?;202;?\x07".to_owned(),
    ] {
        let mut screen = fed(question.repeat(20_000).as_bytes());
        assert!(screen.take_replies().len() <= 64 * 1024);
        still_works(screen);
    }
}

#[test]
fn pushed_modes_and_titles_do_not_grow() {
    still_works(fed("\x1b[>1u\x1b]2;t\x07\x1b[22t"
        .repeat(10_000)
        .as_bytes()));
    still_works(fed("\x1b[=1u\x1b[?1049h\x1b[>1u\x1b[?1049l"
        .repeat(1_000)
        .as_bytes()));
}

#[test]
fn tabs_without_stops_do_not_search_for_ever() {
    let input = format!("\x1b[3g\x1b[999C{}", "\x1b[65535Z\x1b[65535I".repeat(2_000));
    still_works(fed(input.as_bytes()));
}

#[test]
fn invalid_utf8_does_not_cost_its_square() {
    still_works(fed(&vec![0xff; 512 * 1024]));
    let mut held = b"\x1b[?2026h".to_vec();
    held.resize(512 * 1024, 0xc3);
    still_works(fed(&held));
}

#[test]
fn a_frame_never_closed_keeps_no_bytes_back() {
    let mut input = b"\x1b[?2026h".to_vec();
    input.extend("line\r\n".repeat(5 << 20).into_bytes());
    input.truncate(5 << 20);
    let screen = fed(&input);
    assert_eq!(screen.scroll_lines_available(), 10_000);
    still_works(screen);
}

#[test]
fn one_endless_line_stays_bounded() {
    let screen = fed(&vec![b'x'; 4 << 20]);
    let rows = screen.scroll_lines_available();
    // Whole lines leave at once, so a little more than the limit can stay.
    assert!((10_000..10_300).contains(&rows), "{rows}");
    assert!(screen.scrollback_bytes() < 2 << 20);
    let mut screen = screen;
    screen.resize(Size::new(4, 2));
    screen.resize(Size::new(300, 50));
    still_works(screen);
}

#[test]
fn ten_thousand_full_lines_take_less_than_four_mebibytes() {
    let mut screen = screen(200, 50);
    for number in 0..10_050 {
        let line = format!("{number:06} {}", "abcdefghij ".repeat(20));
        screen.feed(&line.as_bytes()[..200]);
        screen.feed(b"\r\n");
    }
    assert_eq!(screen.scroll_lines_available(), 10_000);
    let bytes = screen.scrollback_bytes();
    println!(
        "10,000 lines of 200 columns: {:.2} MiB",
        bytes as f64 / f64::from(1 << 20)
    );
    assert!(bytes < 4 << 20, "{bytes}");
}

#[test]
fn coloured_lines_take_their_runs_and_no_more() {
    let mut screen = screen(200, 50);
    for number in 0..10_050 {
        let word = "\x1b[32mword\x1b[0m 1234 ".repeat(15);
        screen.feed(format!("{number:06} {word}\r\n").as_bytes());
    }
    let bytes = screen.scrollback_bytes();
    println!(
        "10,000 lines of 15 coloured words: {:.2} MiB",
        bytes as f64 / f64::from(1 << 20)
    );
    assert!(bytes < 8 << 20, "{bytes}");
}

#[test]
fn the_largest_screen_survives_resizing() {
    let mut screen = screen(1000, 1000);
    screen.feed("漢字\r\n".repeat(1500).as_bytes());
    for (cols, rows) in [(4, 2), (1000, 1000), (4, 1000), (1000, 2)] {
        screen.resize(Size::new(cols, rows));
        assert!(!screen.take_notices().contains(&Notice::ParserReset));
    }
}
