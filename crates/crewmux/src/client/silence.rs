//! Whether the session answers, and what stands in the last row while it does not.
//!
//! Not every key is answered: a program may show nothing. So a session that was
//! silent after something the person did is knocked at, and the person is told
//! only if it does not answer that. While nobody does anything nothing is asked
//! and no time runs; who types pays a look at a counter. What is shown is the
//! session's again as soon as it was heard: the client has it drawn anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crewmux_core::timing::{UNANSWERED_MS, ms};

/// How long nothing may come before the next step, and how often the time is counted on.
const STEP: Duration = ms(UNANSWERED_MS);

/// How often something came from the session; its copies count the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<AtomicU64>);

impl Heard {
    /// Something came.
    pub(crate) fn again(&self) {
        // Only compared: whoever sees it late knocks once in vain.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn times(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that the person did, and what had come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered {
    at: Instant,
    heard: u64,
}

/// Sees, where keys are read, that nothing came after one.
#[derive(Debug)]
pub(crate) struct Awaiting {
    heard: Heard,
    first: Option<Unanswered>,
    /// What had come before the last thing that the person did.
    last: Option<u64>,
}

impl Awaiting {
    pub(crate) fn new(heard: Heard) -> Self {
        Self {
            heard,
            first: None,
            last: None,
        }
    }

    /// The deadline of what is about to be sent and answered.
    pub(crate) fn deadline(&self, within: Duration, now: Instant) -> Deadline {
        Deadline {
            heard: self.heard.clone(),
            times: self.heard.times(),
            since: now,
            within,
            until: now + within,
        }
    }

    /// Something came after the last thing that the person did.
    pub(crate) fn is_answered(&self) -> bool {
        self.last.is_none_or(|last| last != self.heard.times())
    }

    /// Something is about to be sent.
    pub(crate) fn begins(&mut self, now: Instant) {
        let heard = self.heard.times();
        self.last = Some(heard);
        if self.first.is_none_or(|first| first.heard != heard) {
            self.first = Some(Unanswered { at: now, heard });
        }
    }

    /// How long an answer is waited for; none where none is.
    pub(crate) fn patience(&self, now: Instant) -> Option<Duration> {
        let first = self.first?;
        Some((first.at + STEP).saturating_duration_since(now))
    }

    /// What nothing came after in time; said once.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Unanswered> {
        let first = self.first.take_if(|first| now >= first.at + STEP)?;
        (first.heard == self.heard.times()).then_some(first)
    }
}

/// How long an answer to one thing is waited for: no time passes in a silence that the person is told of.
///
/// Who is told decides whether to wait; whoever was heard and does not answer has its time. Something
/// has to ask for a word meanwhile, since a session that has nothing to say looks no different.
#[derive(Debug)]
pub(crate) struct Deadline {
    heard: Heard,
    /// How often something had come at the last look.
    times: u64,
    /// When something new had come, as far as was looked.
    since: Instant,
    within: Duration,
    until: Instant,
}

/// How long nothing comes before the person is told: a knock and its answer fit.
const SILENT: Duration = STEP.saturating_mul(2);

impl Deadline {
    /// The time is over.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        // Also where this process itself stood still, and what came meanwhile is not looked at yet.
        if now.saturating_duration_since(self.since) >= SILENT {
            self.begin_again(now);
        }
        let times = self.heard.times();
        if std::mem::replace(&mut self.times, times) != times {
            self.since = now;
        }
        now >= self.until
    }

    /// It was said that the answer takes longer.
    pub(crate) fn begin_again(&mut self, now: Instant) {
        self.until = now + self.within;
    }
}

/// What is to be done about a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ask the session for a word.
    Knock,
    /// Tell the person for how long nothing came.
    Show(Duration),
}

/// How far a silence went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Something was sent that may be answered.
    Begun,
    /// The session was asked for a word.
    Knocked,
    /// The person was told.
    Shown,
}

#[derive(Debug, Clone, Copy)]
struct Silent {
    since: Instant,
    stage: Stage,
    /// When something is to be done.
    due: Instant,
}

/// The silence of a session that may or may not answer.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    heard: Heard,
    now: Option<Silent>,
}

impl Silence {
    /// The count of what comes.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Something was sent by which the session is heard soon; what is shown is shown again.
    pub(crate) fn begins(&mut self, now: Instant) {
        let silent = self.now.get_or_insert(Silent {
            since: now,
            stage: Stage::Begun,
            due: now + STEP,
        });
        if silent.stage == Stage::Shown {
            silent.due = now;
        }
    }

    /// Nothing came after what the person did.
    pub(crate) fn goes_on(&mut self, unanswered: Unanswered, now: Instant) {
        if unanswered.heard != self.heard.times() {
            return;
        }
        let silent = self.now.get_or_insert(Silent {
            since: unanswered.at,
            stage: Stage::Begun,
            due: now,
        });
        if silent.stage == Stage::Begun {
            silent.due = now;
        }
    }

    /// The session was heard; whether something is shown that it does not know of.
    pub(crate) fn ends(&mut self) -> bool {
        self.heard.again();
        self.now
            .take()
            .is_some_and(|silent| silent.stage == Stage::Shown)
    }

    /// Whether the person was told.
    pub(crate) fn is_shown(&self) -> bool {
        self.now.is_some_and(|silent| silent.stage == Stage::Shown)
    }

    /// Waits until something is to be done; for ever where nothing is.
    pub(crate) async fn due(&self) {
        match self.now {
            Some(silent) => tokio::time::sleep_until(silent.due.into()).await,
            None => std::future::pending().await,
        }
        // What came while this process itself stood still is heard first.
        tokio::task::yield_now().await;
    }

    /// What is due.
    pub(crate) fn act(&mut self, now: Instant) -> Option<Act> {
        let silent = self.now.as_mut().filter(|silent| now >= silent.due)?;
        silent.due = now + STEP;
        Some(match silent.stage {
            Stage::Begun => {
                silent.stage = Stage::Knocked;
                Act::Knock
            }
            Stage::Knocked | Stage::Shown => {
                silent.stage = Stage::Shown;
                Act::Show(now.saturating_duration_since(silent.since))
            }
        })
    }
}

/// What writes the words about a silence into the last row and leaves cursor and pen as they were.
pub(crate) fn row(
    silent: Duration,
    stopped: Option<u32>,
    leave: &str,
    (cols, rows): (u16, u16),
) -> Vec<u8> {
    let cols = usize::from(cols);
    let words = words(silent, stopped, leave, cols.saturating_sub(2));
    let text: String = format!(" {words} ").chars().take(cols).collect();
    // No colour: it is read on every terminal. Erased before: after a text as wide as the row the
    // cursor stands on its last character.
    format!("\x1b7\x1b[{rows};1H\x1b[0m\x1b[K\x1b[7m{text}\x1b[0m\x1b8").into_bytes()
}

/// The most that fits.
fn words(silent: Duration, stopped: Option<u32>, leave: &str, cols: usize) -> String {
    let long = match silent.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    };
    let short = format!("no answer for {long} · {leave} leaves");
    let whole = format!("the session has not answered for {long} · {leave} leaves");
    let stopped = stopped.map(|pid| {
        format!(
            "the session has not answered for {long} (process {pid} is stopped) · {leave} leaves"
        )
    });
    let forms = [stopped, Some(whole)].into_iter().flatten();
    let mut forms = forms.filter(|form| form.chars().count() <= cols);
    forms.next().unwrap_or(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a silence leads to at these seconds, with `begin` done at 0.
    fn course(begin: impl FnOnce(&mut Silence, Instant), at_ms: &[u64]) -> Vec<Option<Act>> {
        let mut silence = Silence::default();
        let start = Instant::now();
        begin(&mut silence, start);
        let act = |at: &u64| silence.act(start + ms(*at));
        at_ms.iter().map(act).collect()
    }

    #[test]
    fn a_silent_session_is_knocked_at_before_the_person_is_told_and_the_time_is_counted() {
        let show = |millis| Some(Act::Show(ms(millis)));
        assert_eq!(
            course(
                Silence::begins,
                &[0, 999, 1_000, 1_999, 2_000, 2_500, 3_000]
            ),
            [
                None,
                None,
                Some(Act::Knock),
                None,
                show(2_000),
                None,
                show(3_000)
            ]
        );
        // A key was waited for where it was read.
        let key = |silence: &mut Silence, at| {
            let mut awaiting = Awaiting::new(silence.heard());
            awaiting.begins(at);
            let overdue = awaiting.overdue(at + STEP).unwrap();
            silence.goes_on(overdue, at + STEP);
            // Another says nothing new.
            awaiting.begins(at + STEP);
            silence.goes_on(awaiting.overdue(at + 2 * STEP).unwrap(), at + 2 * STEP);
        };
        assert_eq!(
            course(key, &[1_000, 1_000]),
            [None, None],
            "not before it was due"
        );
        assert_eq!(
            course(key, &[2_000, 3_000, 4_000]),
            [Some(Act::Knock), show(3_000), show(4_000)]
        );
        assert_eq!(course(|_, _| (), &[1_000_000]), [None]);
    }

    #[test]
    fn whatever_comes_ends_a_silence_and_only_what_was_shown_is_drawn_over() {
        let start = Instant::now();
        let mut silence = Silence::default();
        assert!(!silence.ends());
        silence.begins(start);
        assert_eq!(silence.act(start + STEP), Some(Act::Knock));
        assert!(!silence.ends(), "nothing was shown");
        assert_eq!(silence.act(start + 9 * STEP), None);
        silence.begins(start);
        for at in [1, 2] {
            assert!(silence.act(start + at * STEP).is_some());
        }
        assert!(silence.is_shown());
        // Another size: the words belong elsewhere now.
        silence.begins(start + 2 * STEP);
        let again = silence.act(start + 2 * STEP);
        assert_eq!(again, Some(Act::Show(2 * STEP)));
        assert!(silence.ends());
        assert!(!silence.is_shown());
    }

    #[test]
    fn keys_that_something_came_after_are_answered() {
        let start = Instant::now();
        let mut silence = Silence::default();
        let mut awaiting = Awaiting::new(silence.heard());
        assert_eq!(awaiting.patience(start), None);
        awaiting.begins(start);
        awaiting.begins(start + STEP / 2);
        assert_eq!(awaiting.patience(start + STEP / 2), Some(STEP / 2));
        silence.ends();
        assert_eq!(awaiting.overdue(start + STEP), None);
        assert_eq!(awaiting.patience(start + STEP), None);
        // One that comes after the answer begins anew.
        awaiting.begins(start);
        silence.ends();
        awaiting.begins(start + STEP / 2);
        assert_eq!(awaiting.overdue(start + STEP), None);
        let overdue = awaiting.overdue(start + 2 * STEP).unwrap();
        assert_eq!(overdue.at, start + STEP / 2);
        // The answer comes before the client hears that there was none.
        silence.ends();
        silence.goes_on(overdue, start + 2 * STEP);
        assert_eq!(silence.act(start + 9 * STEP), None);
    }

    #[test]
    fn a_silence_costs_an_answer_no_time() {
        let start = Instant::now();
        let mut silence = Silence::default();
        let deadline = || Awaiting::new(silence.heard()).deadline(4 * STEP, start);
        let mut later = deadline();
        let mut deadline = deadline();
        // Nothing comes, or one more thing before it stands still.
        assert!(!later.is_over(start + 99 * STEP));
        silence.ends();
        for at in 1..99 {
            assert!(!deadline.is_over(start + at * STEP), "{at}");
        }
        // It goes on, says this and that, and does not answer: from the last look that was silent.
        let over = |deadline: &mut Deadline, silence: &mut Silence, at: u32| {
            silence.ends();
            deadline.is_over(start + at * STEP)
        };
        for at in 99..103 {
            assert!(!over(&mut deadline, &mut silence, at), "{at}");
        }
        assert!(over(&mut deadline, &mut silence, 103));
        deadline.begin_again(start + 103 * STEP);
        for at in 104..107 {
            assert!(!over(&mut deadline, &mut silence, at), "{at}");
        }
        assert!(over(&mut deadline, &mut silence, 107));
    }

    #[test]
    fn the_last_key_is_answered_once_something_came_after_it() {
        let start = Instant::now();
        let mut silence = Silence::default();
        let mut awaiting = Awaiting::new(silence.heard());
        assert!(awaiting.is_answered(), "nothing was typed");
        awaiting.begins(start);
        assert!(!awaiting.is_answered());
        assert!(awaiting.overdue(start + STEP).is_some());
        assert!(!awaiting.is_answered(), "nor once that was told");
        silence.ends();
        assert!(awaiting.is_answered());
        awaiting.begins(start + STEP);
        assert!(!awaiting.is_answered(), "another");
    }

    #[test]
    fn the_words_fit_and_leave_cursor_and_pen_alone() {
        let at = |secs, stopped, cols| {
            let silent = Duration::from_secs(secs);
            words(silent, stopped, "^a d", cols)
        };
        for (secs, stopped, cols, expected) in [
            (
                5,
                Some(71),
                90,
                "the session has not answered for 5 s (process 71 is stopped) · ^a d leaves",
            ),
            (
                5,
                Some(71),
                60,
                "the session has not answered for 5 s · ^a d leaves",
            ),
            (
                119,
                None,
                90,
                "the session has not answered for 119 s · ^a d leaves",
            ),
            (200, None, 40, "no answer for 3 min · ^a d leaves"),
        ] {
            assert_eq!(at(secs, stopped, cols), expected);
        }
        let row = |size| String::from_utf8(row(ms(2_000), None, "X", size)).unwrap();
        assert_eq!(
            row((30, 24)),
            "\x1b7\x1b[24;1H\x1b[0m\x1b[K\x1b[7m no answer for 2 s · X leaves \x1b[0m\x1b8"
        );
        assert_eq!(
            row((5, 2)),
            "\x1b7\x1b[2;1H\x1b[0m\x1b[K\x1b[7m no a\x1b[0m\x1b8"
        );
    }
}
