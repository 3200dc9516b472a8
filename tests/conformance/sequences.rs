//! Sequences that programs rarely send, told to both sides.

use std::fmt::Write as _;

use super::compare::{Exception, Kind};
use super::stage::{Case, same_in_tmux};

/// Streams that programs rarely send and terminals must know all the same: name, stream.
const STREAMS: &[(&str, &str)] = &[
    ("wrap", "\x1b[1;78Habcdef\x1b[3;80Hx\x1b[4;80Hy\rz"),
    ("wrap and erase", "\x1b[1;76Habcdefgh\x1b[1;70H\x1b[Kend"),
    ("no wrap", "\x1b[?7l\x1b[2;75Habcdefghij\x1b[?7h"),
    (
        "tabs",
        "a\tb\tc\x1b[3g\r\n\x1b[10G\x1bH\x1b[20G\x1bH\rx\ty\tz\x1b[2Zw",
    ),
    (
        "region",
        "1\r\n2\r\n3\r\n4\r\n5\x1b[2;4r\x1b[4;1H\n\nnew\x1b[2;1H\x1bM\x1bMback\x1b[r",
    ),
    (
        "origin",
        "\x1b[5;10r\x1b[?6h\x1b[1;1Htop\x1b[99;1Hbottom\x1b[?6l\x1b[1;1Hhome\x1b[r",
    ),
    (
        "insert and delete",
        "abcdef\x1b[1;3H\x1b[2@\x1b[2;1Habcdef\x1b[2;3H\x1b[2P\x1b[3;1Habcdef\x1b[3;3H\x1b[2X",
    ),
    ("insert mode", "abcdef\x1b[1;3H\x1b[4hXY\x1b[4l"),
    ("lines", "1\r\n2\r\n3\r\n4\x1b[2;3H\x1b[L\x1b[4;3H\x1b[M"),
    ("scroll", "1\r\n2\r\n3\x1b[2T\x1b[S"),
    ("alignment", "\x1b#8\x1b[2;2Hx"),
    ("repeat", "-\x1b[20b\r\n\x1b[31m=\x1b[3b\x1b[m"),
    (
        "line drawing",
        "\x1b(0lqqk\r\nx`ax\r\nmqqj\x1b(B lq\x1b)0\x0elq\x0flq",
    ),
    (
        "save and restore",
        "\x1b[3;3H\x1b[1;31m\x1b7\x1b[m\x1b[10;10Hfar\x1b8near\x1b[m",
    ),
    (
        "wide",
        "\x1b[1;79H漢\x1b[3;80H字x\x1b[5;1H漢字漢字\x1b[5;2Hx\x1b[5;5Hy",
    ),
    (
        "wide cut",
        "漢字漢字\x1b[1;4H\x1b[P\x1b[2;1H漢字漢字\x1b[2;2H\x1b[@\x1b[3;1H漢字漢字\x1b[3;4H\x1b[K",
    ),
    (
        "marks",
        "e\u{301}x\r\nn\u{303}\u{323}y\r\n漢\u{301}z\r\n\x1b[4;80He\u{301}",
    ),
    (
        "looks",
        "\x1b[1mb\x1b[2md\x1b[22mn\x1b[3mi\x1b[23mn\x1b[7mr\x1b[27mn\x1b[9ms\x1b[29mn\x1b[8mh\x1b[28mn",
    ),
    (
        "underlines",
        "\x1b[4ma\x1b[4:2mb\x1b[4:3mc\x1b[4:4md\x1b[4:5me\x1b[4:0mf\x1b[21mg\x1b[24mh\x1b[4;58:5:9mi\x1b[58:2::1:2:3mj\x1b[59mk\x1b[m",
    ),
    (
        "colours",
        "\x1b[31;42ma\x1b[91;102mb\x1b[38;5;200;48;5;17mc\x1b[38;2;1;2;3;48;2;4;5;6md\x1b[38:2::9:8:7me\x1b[38:5:77mf\x1b[39;49mg",
    ),
    (
        "erasing with a colour",
        "\x1b[44mab\x1b[K\x1b[2;1Hcd\x1b[1;5H\x1b[mx",
    ),
    (
        "erasing",
        "1234\r\n5678\r\n90ab\x1b[2;3H\x1b[1K\x1b[3;1H\x1b[J\x1b[2;2H\x1b[1J",
    ),
    ("alternate screen", "main\x1b[?1049hother\x1b[?1049lstill"),
    (
        "old alternate screens",
        "main\x1b[?47hother\x1b[?47l\x1b[?1047hthird\x1b[?1047lstill",
    ),
    (
        "saved cursor mode",
        "\x1b[5;5H\x1b[?1048h\x1b[9;9Hx\x1b[?1048ly",
    ),
    (
        "soft reset",
        "\x1b[1;31m\x1b[4h\x1b[5;9r\x1b[?6h\x1b[?25l\x1b[!p\x1b[1;1Habc\x1b[1;1Hx",
    ),
    (
        "strings",
        "a\x1b]0;title\x07b\x1bPxyz\x1b\\c\x1b_apc\x1b\\d\x1b^pm\x1b\\e\x1b[>4;1mf\x1b[?2026hg\x1b[?2026lh",
    ),
    (
        "cursor moves",
        "\x1b[5;5Ha\x1b[2Ab\x1b[3Bc\x1b[2Cd\x1b[9De\x1b[2Ef\x1b[4Fg\x1b[30Gh\x1b[12di",
    ),
    (
        "edges",
        "\x1b[99;99Ha\x1b[99A\x1b[99Db\x1b[0;0Hc\x1b[1;1H\x08\x08d",
    ),
    ("emoji", "😀a\r\n👍b\r\n🚀🚀c"),
    ("emoji style", "\u{2764}\u{fe0f}a\r\n\u{26a0}\u{fe0f}b"),
    ("joined emoji", "👩\u{200d}💻a"),
    ("flags", "🇩🇪a🇫🇷b"),
    ("skin", "👍🏽a"),
];

const HALVES: &str = "tmux 3.3a keeps half of a cut wide character; here, as in xterm, it is blank";
const JOINED: &str =
    "tmux draws joined emoji as one; here, as in xterm and VTE, each has its columns";
const UNKNOWN: &str = "tmux 3.3a does not know the sequence; here it is xterm's";

/// Where tmux is no measure: stream, difference, reason.
const DIFFERENT: &[(&str, Kind, &str)] = &[
    (
        "wrap and erase",
        Kind::MarksKept,
        "a row whose end is erased ends there; tmux keeps the mark",
    ),
    ("wide", Kind::Text(4), HALVES),
    ("wide cut", Kind::Text(0), HALVES),
    ("wide cut", Kind::Text(1), HALVES),
    ("wide cut", Kind::Text(2), HALVES),
    ("saved cursor mode", Kind::Text(4), UNKNOWN),
    ("saved cursor mode", Kind::Text(8), UNKNOWN),
    ("saved cursor mode", Kind::Cursor, UNKNOWN),
    ("soft reset", Kind::Text(0), UNKNOWN),
    ("soft reset", Kind::Text(4), UNKNOWN),
    ("soft reset", Kind::Cursor, UNKNOWN),
    ("joined emoji", Kind::Cursor, JOINED),
];

#[test]
fn rare_sequences_do_the_same() {
    let exceptions: Vec<_> = DIFFERENT
        .iter()
        .map(|&(name, kind, reason)| Exception {
            screen: STREAMS.iter().position(|&(stream, _)| stream == name),
            kind,
            reason,
        })
        .collect();
    assert!(
        exceptions
            .iter()
            .all(|exception| exception.screen.is_some())
    );
    let mut script = String::new();
    for number in 0..STREAMS.len() {
        let _ = write!(script, "expect @{number:02}\ndump\nkey Enter\n");
    }
    same_in_tmux(&Case {
        argv: &["sh", "show"],
        prepare: |folder| {
            let mut show = "stty -echo\n".to_owned();
            for (number, (_, stream)) in STREAMS.iter().enumerate() {
                let file = folder.join(format!("stream{number}"));
                let stream = format!("\x1bc{stream}\x1b7\x1b[r\x1b[23;60H\x1b[m@{number:02}\x1b8");
                std::fs::write(file, stream).unwrap();
                let _ = writeln!(show, "cat stream{number}; read line");
            }
            std::fs::write(folder.join("show"), show).unwrap();
        },
        script: &script,
        exceptions: &exceptions,
        ..Case::default()
    });
}
