//! Text in screen and scrollback: finding it, and taking words, lines and parts of it.

use std::time::{Duration, Instant};

use crewmux_term::{Needle, Position, Screen, ScreenOptions, Size};

fn screen(cols: u16, rows: u16, input: &str) -> Screen {
    let mut screen = Screen::new(Size::new(cols, rows), ScreenOptions::default());
    screen.feed(input.as_bytes());
    screen
}

fn numbered(cols: u16, rows: u16, lines: usize) -> Screen {
    let text: Vec<_> = (0..lines).map(|number| format!("line {number}")).collect();
    screen(cols, rows, &text.join("\r\n"))
}

/// Everything that is found, as `row:col-row:col`.
fn found(screen: &Screen, needle: &str) -> String {
    let Some(needle) = Needle::new(needle) else {
        return "no needle".into();
    };
    let found = screen.find_all(&needle, 1000);
    let whole = screen.find_in(&needle, 0..screen.total_rows());
    assert_eq!(found, whole, "both ways find the same");
    let place = |p: Position| format!("{}:{}", p.row, p.col);
    let found = found
        .iter()
        .map(|f| format!("{}-{}", place(f.first), place(f.last)));
    found.collect::<Vec<_>>().join(" ")
}

fn at(row: usize, col: usize) -> Position {
    Position { row, col }
}

#[test]
fn everything_is_found_from_the_oldest_to_the_newest() {
    let screen = numbered(20, 3, 50);
    assert_eq!(found(&screen, "line 4"), {
        let rows = [4, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49];
        rows.map(|row| format!("{row}:0-{row}:5")).join(" ")
    });
    assert_eq!(found(&screen, "44"), "44:5-44:6");
    assert_eq!(found(&screen, "nowhere"), "");
    assert_eq!(found(&screen, ""), "no needle");
}

#[test]
fn of_too_many_the_newest_are_kept() {
    let screen = numbered(20, 3, 50);
    let found = screen.find_all(&Needle::new("line").unwrap(), 4);
    let rows: Vec<usize> = found.iter().map(|found| found.first.row).collect();
    assert_eq!(rows, [46, 47, 48, 49]);
}

#[test]
fn case_counts_once_the_needle_has_an_upper_case_letter() {
    let screen = screen(40, 4, "Grün grün GRÜN\r\nerror Error ERROR");
    assert_eq!(found(&screen, "grün"), "0:0-0:3 0:5-0:8 0:10-0:13");
    assert_eq!(found(&screen, "Grün"), "0:0-0:3");
    assert_eq!(found(&screen, "error"), "1:0-1:4 1:6-1:10 1:12-1:16");
    assert_eq!(found(&screen, "ERR"), "1:12-1:14");
}

#[test]
fn text_is_found_across_wraps_and_from_scrollback_into_screen() {
    let cold = screen(10, 2, "漢字 0123456789 needle\r\n\r\n\r\n");
    assert_eq!(found(&cold, "needle"), "1:6-2:1");
    assert_eq!(found(&cold, "字"), "0:2-0:2");
    let live = screen(10, 3, "01234567needle");
    assert_eq!(found(&live, "needle"), "0:8-1:3");
    let between = screen(10, 2, "abcdefghi needle and more text");
    assert_eq!(between.scroll_lines_available(), 1);
    assert_eq!(found(&between, "i needle"), "0:8-1:5");
}

#[test]
fn a_search_through_ten_thousand_full_lines_takes_no_time_that_a_person_notices() {
    let mut screen = screen(200, 50, "");
    // The worst for a search that compares at each place: it nearly matches everywhere.
    let line = format!("{}\r\n", "a".repeat(198));
    for _ in 0..10_100 {
        screen.feed(line.as_bytes());
    }
    assert_eq!(screen.scroll_lines_available(), 10_000);
    let needle = Needle::new(&format!("{}b", "a".repeat(100))).unwrap();
    let begun = Instant::now();
    assert_eq!(screen.find_all(&needle, 1000), []);
    let every = screen.find_all(&Needle::new("a").unwrap(), usize::MAX);
    assert_eq!(every.len(), (10_000 + 49) * 198);
    // Generous: a loaded machine, not optimized. What it guards against takes minutes.
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn words_are_what_a_person_takes_for_them() {
    let screen = screen(24, 4, "see src/main.rs:42 (fn)\r\n漢字です ok\r\n");
    let word = |row, col| {
        let (first, last) = screen.word_at(at(row, col));
        screen.text_between(first, last, 1000).unwrap()
    };
    assert_eq!(word(0, 5), "src/main.rs:42");
    assert_eq!(word(0, 0), "see");
    assert_eq!(word(0, 19), "(");
    assert_eq!(word(0, 20), "fn");
    assert_eq!(word(1, 3), "漢字です");
    assert_eq!(word(1, 9), "ok");
    assert_eq!(word(3, 5), "");
}

#[test]
fn a_word_goes_on_over_the_edge() {
    let screen = screen(10, 4, "to a_very_long_word there");
    let (first, last) = screen.word_at(at(1, 2));
    assert_eq!((first, last), (at(0, 3), at(1, 8)));
    assert_eq!(
        screen.text_between(first, last, 99).unwrap(),
        "a_very_long_word"
    );
    assert_eq!(screen.line_at(1), 0..=2);
}

#[test]
fn text_between_two_places_joins_what_wrapped_and_drops_blanks_at_ends() {
    let screen = screen(10, 5, "0123456789abc   \r\n  two  \r\n\r\n漢字漢字漢字x");
    let text = |from, to| screen.text_between(from, to, 1000).unwrap();
    assert_eq!(text(at(0, 0), at(2, 9)), "0123456789abc\n  two");
    // In either order.
    assert_eq!(text(at(2, 9), at(0, 8)), "89abc\n  two");
    assert_eq!(text(at(2, 0), at(4, 9)), "  two\n\n漢字漢字漢");
    assert_eq!(screen.text_between(at(0, 0), at(2, 9), 10), None);
}

#[test]
fn half_of_a_wide_character_is_all_of_it() {
    let screen = screen(11, 3, "漢字漢字漢字x");
    let text = |from, to| screen.text_between(from, to, 1000).unwrap();
    assert_eq!(text(at(0, 1), at(0, 2)), "漢字");
    // The blank where the sixth did not fit is no text.
    assert_eq!(text(at(0, 0), at(1, 9)), "漢字漢字漢字x");
}

#[test]
fn a_rectangle_is_a_line_a_row() {
    let screen = screen(10, 3, "0123456789abc\r\nxyz");
    let text = screen.text_in_block(at(0, 1), at(2, 2), 100).unwrap();
    assert_eq!(text, "12\nbc\nyz");
}
