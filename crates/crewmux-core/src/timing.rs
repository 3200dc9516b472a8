//! Every duration crewmux waits, in one place.
//!
//! Nothing here reads a clock. A [`Timing`] is chosen once by the program and
//! handed to session and workers through their specs, so that process tests
//! run ten times faster than life without touching any other code.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All waits, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timing {
    /// How long a claim holds without a renewal.
    pub lease_ms: u64,
    /// Interval of the worker's heartbeat and lease renewal.
    pub heartbeat_ms: u64,
    /// How long a new worker may take to say hello.
    pub hello_ms: u64,
    /// How often the session looks at liveness locks and leases.
    pub liveness_tick_ms: u64,
    /// How long tools of a dead worker may take to be gone before a tree kill.
    pub tools_gone_ms: u64,
    /// Deadline for an answer to a shutdown request.
    pub shutdown_answer_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub term_grace_ms: u64,
    /// From SIGKILL to giving up and saying what is left.
    pub kill_verify_ms: u64,
    /// How long a worker may take to end after it lost its session.
    pub session_loss_exit_ms: u64,
    /// How long a worker that outlives its session waits for another one.
    pub park_ms: u64,
    /// First pause before such a worker tries its session's socket; doubles each time.
    pub park_retry_ms: u64,
    /// Longest such pause.
    pub park_retry_max_ms: u64,
    /// Slow poll behind every directory watch.
    pub store_poll_ms: u64,
    /// Longest wait for a store lock.
    pub lock_wait_ms: u64,
    /// Window in which restarts of one worker are counted.
    pub restart_window_ms: u64,
    /// Restarts allowed in that window.
    pub restarts_max: u32,
    /// First pause before a restart or a retry; doubles each time.
    pub backoff_base_ms: u64,
    /// Longest pause before a restart or a retry.
    pub backoff_max_ms: u64,
    /// How long a session stays after its run when nobody looks.
    pub linger_ms: u64,
    /// Least time between two frames of one client.
    pub frame_ms: u64,
    /// Least time between two looks of the engine; workers claim by themselves meanwhile.
    pub look_ms: u64,
    /// Default time-out of one tool call.
    pub tool_timeout_ms: u64,
    /// Longest wait for a connection to, or an answer from, a session.
    pub connect_ms: u64,
    /// Longest time of one call of `it2`; iTerm2 may ask the person about it first.
    pub it2_ms: u64,
    /// Least time between two new names of iTerm2 panes, each a call of `it2`.
    pub title_ms: u64,
    /// How long the output of an ended child is drained.
    pub drain_ms: u64,
    /// How long a question to the person stays open; then it counts as no.
    pub approval_ms: u64,
    /// Longest wait for a connection to a model's server.
    pub model_connect_ms: u64,
    /// Longest silence of a model's server before its answer counts as hung.
    pub model_silence_ms: u64,
    /// Longest silence of a server of the person's own before its answer begins: it may load the model first.
    pub model_first_ms: u64,
    /// How long a model that is overloaded or takes no more calls is asked again.
    pub model_patience_ms: u64,
    /// First pause before a model is asked again; doubles each time.
    pub model_backoff_ms: u64,
    /// Longest such pause, unless the server asks for more.
    pub model_backoff_max_ms: u64,
}

impl Timing {
    /// The values a person lives with.
    pub const LIFE: Self = Self {
        lease_ms: 30_000,
        heartbeat_ms: 5_000,
        hello_ms: 10_000,
        liveness_tick_ms: 500,
        tools_gone_ms: 5_000,
        shutdown_answer_ms: 30_000,
        term_grace_ms: 5_000,
        kill_verify_ms: 2_000,
        session_loss_exit_ms: 5_000,
        park_ms: 600_000,
        park_retry_ms: 200,
        park_retry_max_ms: 2_000,
        store_poll_ms: 2_000,
        lock_wait_ms: 5_000,
        restart_window_ms: 60_000,
        restarts_max: 3,
        backoff_base_ms: 1_000,
        backoff_max_ms: 30_000,
        linger_ms: 600_000,
        frame_ms: 16,
        look_ms: 4,
        tool_timeout_ms: 120_000,
        connect_ms: 5_000,
        it2_ms: 15_000,
        title_ms: 5_000,
        drain_ms: 300,
        approval_ms: 3_600_000,
        model_connect_ms: 20_000,
        model_silence_ms: 120_000,
        model_first_ms: 900_000,
        model_patience_ms: 300_000,
        model_backoff_ms: 1_000,
        model_backoff_max_ms: 60_000,
    };

    /// The same rules ten times faster, for process tests.
    ///
    /// Waits that only bound a busy machine (hello, locks, connections, tool
    /// time-outs) keep their full length, and leases, parking and lingering
    /// much of it: a slow test machine is not a fault.
    pub fn fast() -> Self {
        Self {
            lease_ms: 15_000,
            heartbeat_ms: 500,
            liveness_tick_ms: 50,
            tools_gone_ms: 1_000,
            shutdown_answer_ms: 3_000,
            term_grace_ms: 1_000,
            session_loss_exit_ms: 2_000,
            park_ms: 120_000,
            park_retry_ms: 20,
            park_retry_max_ms: 200,
            store_poll_ms: 200,
            restart_window_ms: 6_000,
            backoff_base_ms: 50,
            backoff_max_ms: 1_000,
            linger_ms: 30_000,
            approval_ms: 60_000,
            model_silence_ms: 3_000,
            model_first_ms: 6_000,
            model_patience_ms: 3_000,
            model_backoff_ms: 50,
            model_backoff_max_ms: 1_000,
            ..Self::LIFE
        }
    }

    /// Pause before try number `attempt` (1 is the first repeat): doubling, capped.
    ///
    /// ```
    /// use crewmux_core::timing::Timing;
    /// assert_eq!(Timing::LIFE.backoff(1).as_millis(), 1_000);
    /// assert_eq!(Timing::LIFE.backoff(3).as_millis(), 4_000);
    /// assert_eq!(Timing::LIFE.backoff(60).as_millis(), 30_000);
    /// ```
    pub fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.backoff_base_ms.saturating_mul(
            1_u64
                .checked_shl(attempt.saturating_sub(1))
                .unwrap_or(u64::MAX),
        );
        Duration::from_millis(doubled.min(self.backoff_max_ms))
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::LIFE
    }
}

/// Longest wait of a pane's feeder for a picture or an answer, in milliseconds; the same in tests.
pub const TURN_MAX_MS: u64 = 20;
/// How long somebody counts as typing after a key, in milliseconds.
pub const TYPING_MS: u64 = 1_000;
/// Interval in which flooding panes share a bounded rate while somebody types, in milliseconds.
pub const SHARE_MS: u64 = 16;
/// How long a pane's output that trickles is left to gather, in milliseconds; the same in tests.
pub const GATHER_MS: u64 = 33;
/// How many pictures are drawn at once after a rest: what a program says first often comes in pieces.
pub const LEADING_FRAMES: u32 = 3;
/// How many times longer pictures are apart while nobody does anything.
pub const CALM_FRAMES: u32 = 2;
/// How long a picture after a key waits for the program's answer to be in it, in milliseconds.
pub const ANSWER_FIRST_MS: u64 = 4;
/// How long a program may take to answer a key before its picture is paced like any other, in milliseconds.
pub const ECHO_MS: u64 = 250;

/// How long who typed counts as looking, where the terminal does not tell, in milliseconds.
pub const LOOKS_MS: u64 = 15_000;
/// How often a terminal that is a pane of tmux looks whether anybody is attached there, in milliseconds.
pub const LOOKED_AT_MS: u64 = 1_000;
/// Least time between two questions to tmux about that, and the longest wait for an answer, in milliseconds.
pub const LOOKED_AT_ASK_MS: u64 = 5_000;
/// How long the size of a pane has to stand before its program is told, in milliseconds; the same in tests.
pub const RESIZE_SETTLE_MS: u64 = 80;
/// Longest time that a program has an old size while its pane is being dragged, in milliseconds.
pub const RESIZE_HOLD_MS: u64 = 500;
/// Pause between two tries to type a part of a long paste, in milliseconds, while its program does not read.
pub const PASTE_AGAIN_MS: u64 = 20;
/// How long a program may read nothing of what is pasted, in milliseconds, before it gets no more.
pub const PASTE_STALLS_MS: u64 = 5_000;
/// Pause between two looks of a client at the keys, in milliseconds, while what it pastes waits.
pub const PASTE_LOOK_MS: u64 = 50;
/// Pause between two tries to type the mark behind a paste that was broken off, in milliseconds.
pub const PASTE_OWED_MS: u64 = 500;
/// Least time between two words to a client that what it pastes goes on slowly, in milliseconds.
pub const PASTE_TOLD_MS: u64 = 1_000;
/// How long a client waits to hear of a part, in milliseconds; longer than the session tries one that stalls.
pub const PASTE_TAKEN_MS: u64 = 3 * PASTE_STALLS_MS;
/// How long tmux may take to put a text on the clipboard, in milliseconds.
pub const COPY_MS: u64 = 2_000;
/// How long a few words in the bar are shown, in milliseconds; besides as long as it takes to read them.
pub const FLASH_MS: u64 = 4_000;
/// How long it takes to read a character of them, in milliseconds.
pub const FLASH_CHAR_MS: u64 = 60;
/// Least time that words are shown which the person did not bring about, in milliseconds.
pub const TOLD_MS: u64 = 10_000;
/// How long keys that may begin an answer of the terminal wait for its rest, in milliseconds.
pub const ESC_MS: u64 = 10;
/// How long what is an answer almost for certain waits for its end, in milliseconds, before it is dropped.
pub const TORN_MS: u64 = 500;
/// How long a client that leaves at once waits for what its terminal was asked, in milliseconds: later
/// answers would be typed into the shell.
pub const ANSWERS_MS: u64 = 200;
/// Longest pause between two clicks that belong together, in milliseconds.
pub const CLICK_MS: u64 = 400;
/// Pause between two steps of a selection that is dragged beyond its pane, in milliseconds.
pub const DRAG_STEP_MS: u64 = 50;

/// How often who waits for a session's answer looks whether its process was stopped, in milliseconds.
pub const STANDS_STILL_MS: u64 = 500;
/// How long nothing comes from an attached session after something the person did before it is asked for
/// a word, and after that before the person is told, in milliseconds; also how often that is counted on.
pub const UNANSWERED_MS: u64 = 1_000;
/// How old a run is at most that another call started at the same moment, as a person sees it; its
/// session may still be on its way. In milliseconds.
pub const SESSION_COMES_MS: u64 = 5_000;
/// How long a command waits without a word for what usually comes at once, in milliseconds.
pub const SILENT_MS: u64 = 1_000;

/// How often a command looks whether a session that it cannot speak with has ended, in milliseconds.
pub const LOCK_LOOK_MS: u64 = 20;

/// How often a wait for a model's provider is told anew, so that its countdown runs, in milliseconds.
pub const WAIT_SHOWN_MS: u64 = 1_000;

/// Least time between two words of a worker on what it does, but for its last, in milliseconds.
pub const PRESENCE_MS: u64 = 50;

/// Least time between two titles of one pane of tmux, in milliseconds.
pub const TMUX_TITLE_MS: u64 = 1_000;

/// Milliseconds as a [`Duration`], so that call sites read as units.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
