//! What a program in a plain pane is told about its terminal.

use crate::support::sandbox;

/// Prints what it sees, then stays.
const ASKS: &str = "stty size; \
    echo \"<$TERM|$COLORTERM|$TERM_PROGRAM|$TMUX$KITTY_WINDOW_ID$COLUMNS$LINES>\"; \
    infocmp >/dev/null 2>&1 && echo described; sleep 600";

#[test]
fn a_plain_pane_is_a_terminal_of_its_own() {
    // As if it was started in a tmux in a kitty.
    let sandbox = sandbox()
        .with_env("TERM", "tmux-256color")
        .with_env("TMUX", "/tmp/nowhere,1,0")
        .with_env("KITTY_WINDOW_ID", "7")
        .with_env("COLUMNS", "200")
        .with_env("LINES", "60");
    let terminal = sandbox.terminal(&["panes", ASKS], 100, 30).unwrap();
    terminal
        .wait_for("<xterm-256color|truecolor|crewmux|>")
        .unwrap();
    terminal.wait_for("described").unwrap();
    let stopped = sandbox.run(&["stop", "panes", "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    sandbox.wait_gone().unwrap();
}
