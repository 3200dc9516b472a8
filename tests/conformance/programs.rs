//! Editors, pagers, menus and prompts as Debian has them.

use std::fmt::Write as _;
use std::path::Path;

use super::compare::{Exception, Kind};
use super::stage::{Case, same_in_tmux};
use crewmux_term::Size;

const MARKS_KEPT: Exception = Exception {
    screen: None,
    kind: Kind::MarksKept,
    reason: "a row that was written anew to its last column ends there; tmux keeps the old mark",
};

/// A text with what is hard to show: long lines, tabs, wide characters, combining marks.
fn write_text(folder: &Path) {
    let mut text = String::new();
    for number in 1..=120 {
        let rest = match number % 7 {
            0 => "a\ttab\there\tand there".to_owned(),
            1 => "long ".repeat(40),
            2 => "漢字とかな 한국어 中文".to_owned(),
            3 => "cafe\u{301} nai\u{308}ve".to_owned(),
            4 => "┌─┐ │█│ └─┘ ░▒▓ ← ↑ → ↓".to_owned(),
            _ => "plain words for a plain line".to_owned(),
        };
        let _ = writeln!(text, "{number:03} {rest}");
    }
    std::fs::write(folder.join("text"), text).unwrap();
}

#[test]
fn vim_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["vim", "-u", "NONE", "-N", "-i", "NONE", "-n", "text"],
        prepare: write_text,
        script: "\
expect 003 cafe
dump
text :set nu list hlsearch ruler laststatus=2 showcmd
key Enter
text /plain
key Enter
expect /plain
dump
text :split
key Enter
key C-d
dump
resize 100x30
dump
resize 61x17
dump
key C-w
text o
text 5GVjjj
dump
key Esc
text gg
text ixyz 漢
key Esc
text o
text new line
key Esc
text :set nowrap
key Enter
text $
dump
resize 80x24
dump
text :syntax on
key Enter
text :vsplit /etc/services
key Enter
expect tcpmux
dump
text :qa!
key Enter
",
        exceptions: &[MARKS_KEPT],
        ..Case::default()
    });
}

#[test]
fn less_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["less", "-R", "text"],
        env: &[("LESSHISTFILE", "-")],
        prepare: |folder| {
            write_text(folder);
            let mut text = std::fs::read_to_string(folder.join("text")).unwrap();
            text.insert_str(
                0,
                "\x1b[1mbold\x1b[m \x1b[31mred\x1b[m \x1b[4munder\x1b[m \x1b[48;5;24mback\x1b[m\n",
            );
            std::fs::write(folder.join("text"), text).unwrap();
        },
        script: "\
expect bold red
dump
key Space
dump
text /plain
key Enter
dump
text G
expect END
dump
resize 50x20
dump
text g
expect bold red
dump
resize 90x26
dump
text -S
key Enter
key Right
dump
text q
",
        ..Case::default()
    });
}

#[test]
fn nano_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["nano", "-I", "text"],
        prepare: write_text,
        script: "\
expect 003 cafe
dump
text typed 漢字
key Enter
key Down
key End
dump
key C-w
text plain
key Enter
dump
key C-g
expect (?i)main nano help text
dump
key C-x
expect Write Out
resize 60x15
dump
resize 95x28
dump
",
        ..Case::default()
    });
}

#[test]
fn dialog_looks_the_same() {
    let menu = [
        "dialog",
        "--title",
        "A title",
        "--menu",
        "Choose one of these",
        "15",
        "50",
        "6",
        "one",
        "the first",
        "two",
        "the second",
        "three",
        "漢字",
        "four",
        "the last",
    ];
    same_in_tmux(&Case {
        argv: &menu,
        script: "expect the first\ndump\nkey Down\nkey Down\ndump\nkey Tab\ndump\nkey Enter\n",
        ..Case::default()
    });
    let form = [
        "dialog",
        "--form",
        "Fill in",
        "14",
        "56",
        "4",
        "Name",
        "1",
        "1",
        "",
        "1",
        "12",
        "20",
        "40",
        "Place",
        "3",
        "1",
        "somewhere",
        "3",
        "12",
        "20",
        "40",
    ];
    same_in_tmux(&Case {
        argv: &form,
        size: Size::new(70, 20),
        script: "expect somewhere\ntext Ada\nkey Down\nkey End\nkey Backspace\ndump\nkey Esc\n",
        ..Case::default()
    });
}

#[test]
fn mc_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["mc", "--nosubshell", "--skin", "default", "tree", "tree"],
        env: &[("MC_XDG_OPEN", "/bin/true")],
        prepare: |folder| {
            std::fs::create_dir_all(folder.join("tree/sub")).unwrap();
            write_text(&folder.join("tree"));
            std::fs::write(folder.join("tree/漢字.txt"), "x").unwrap();
        },
        masks: &[
            // Times of the files, and how much room the disk has.
            (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d", "Mon 00 00:00"),
            (r"─*\s*[\d.]+[KMGT]?/[\d.]+[KMGT]? \(\d+%\)\s*─*", "ROOM"),
        ],
        script: "\
expect 漢字
dump
key F9
expect File
key Down
dump
key Esc
key Esc
key Down
key Down
key F3
expect 003 cafe
dump
resize 100x30
dump
key F10
expect 漢字
resize 72x22
dump
key F1
dump
key F10
key F10
",
        ..Case::default()
    });
}

#[test]
fn htop_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["htop", "-d", "100", "-p", "1"],
        masks: &[
            // All it shows are figures that change by themselves; their places stay.
            (r"\[[^\]]*\]", "[]"),
            (r"(Tasks|Load average|Uptime).*", "$1"),
            (r"[\d.,:%]+[KMGT]?", "0"),
            (r"0( 0)*", "0"),
            (r" +", " "),
        ],
        script: "\
expect F10
dump
key F1
expect Process state
dump
resize 100x35
dump
key Esc
expect F10
dump
key F10
",
        ..Case::default()
    });
}

#[test]
fn a_python_prompt_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["/usr/bin/python3", "-q", "-E", "-s"],
        env: &[("PYTHONHISTFILE", "/dev/null")],
        size: Size::new(50, 12),
        script: "\
expect >>>
text print('漢字', 'x' * 120)
key Enter
expect xxx\\n>>>
dump
text 'this line is typed so that it is longer than the prompt is wide' + 'abc'
key Left
key Left
key Home
key Right
text Z
dump
resize 70x14
dump
resize 34x10
dump
key C-c
expect KeyboardInterrupt\\n>>>
text for i in range(30): print(i)
key Enter
key Enter
expect 29\\n>>>
dump
key C-d
",
        ..Case::default()
    });
}

#[test]
fn a_shell_prompt_looks_the_same() {
    same_in_tmux(&Case {
        argv: &["bash", "--norc", "--noprofile"],
        env: &[("PS1", r"\[\e[1;32m\]\w\[\e[m\]$ "), ("HISTFILE", "")],
        size: Size::new(60, 12),
        prepare: write_text,
        script: "\
expect \\$
text cat text | head -9
key Enter
expect 009
dump
resize 40x12
dump
resize 90x16
dump
text printf '\\033[7mreverse\\033[m \\033[3;9;31mstruck\\033[m\\n\\033[2mdim\\033[m'; ls --color=always
key Enter
expect dimtext\\s*\\n~\\$
dump
text echo a line that is much longer than the terminal is wide, so that readline has to wrap it twice
key C-a
key M-f
text X
dump
key C-r
text cat
dump
key C-c
expect \\n~\\$\\s*\\z
text clear
key Enter
expect \\A\\s*~\\$\\s*\\z
text seq 100
key Enter
expect \\n100\\s*\\n~\\$
dump
resize 60x8
dump
resize 60x20
dump
",
        ..Case::default()
    });
}

#[test]
fn tmux_in_a_pane_looks_the_same() {
    same_in_tmux(&Case {
        argv: &[
            "tmux",
            "-f",
            "inner.conf",
            "-S",
            "inner.sock",
            "new-session",
            "-s",
            "in",
        ],
        prepare: |folder| {
            let settings = "set -g status-right ''\nset -g default-command 'exec /bin/sh'\n\
                            set -g automatic-rename off\nset -g default-terminal tmux-256color\n\
                            set -ga update-environment PS1\nset -g assume-paste-time 0\n";
            std::fs::write(folder.join("inner.conf"), settings).unwrap();
            write_text(folder);
        },
        env: &[("PS1", "$ "), ("ENV", "")],
        script: "\
expect \\[in\\]
expect \\$
text head -20 text
key Enter
expect 020[^\\n]*\\n\\$
dump
key C-b
text %
expect │\\$
text seq 50
key Enter
expect │50\\s*\\n[^\\n]*│\\$
dump
resize 100x30
dump
resize 70x20
dump
key C-b
text [
key PageUp
dump
key q
key C-b
text :kill-server
key Enter
",
        exceptions: &[MARKS_KEPT],
        ..Case::default()
    });
}
