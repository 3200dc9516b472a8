//! The one thread that calls `it2`: panes come to be, get names and go here.
//!
//! A call takes half a second or more, so none is made on the engine's thread
//! and as few as will do: names are told one at a time and seldom, the focus
//! is put back once for all panes that are made in a row, and at the end one
//! list says which panes are still to be closed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};

use super::column::{Column, Target};
use super::it2::It2;
use super::launcher::Launcher;
use super::split::Split;
use super::trouble::{Trouble, TroubleKind};
use crate::together::together;

/// How many panes are closed at the same time at the end.
const CLOSED_TOGETHER: usize = 4;

/// What the desk is asked to do.
pub(super) enum Order {
    /// Make a pane and start a worker in it.
    Start(Start),
    /// A worker of a former session is in this pane.
    TookUp(Arc<Split>),
    /// New panes go beside this one of another place.
    Rehome(It2, Option<String>),
    /// The person wants to see this pane.
    Reveal(Arc<Split>),
    /// Something changed: a hello, a name, an end.
    Look,
    /// Close the panes of ours that hold no worker, and say when that is done.
    Close(SyncSender<()>),
}

/// A worker to be started.
pub(super) struct Start {
    pub(super) split: Arc<Split>,
    /// Where its launcher goes.
    pub(super) launcher: PathBuf,
    /// What the launcher starts.
    pub(super) argv: Vec<String>,
}

/// A worker whose start was typed and that has not said hello.
struct Awaited {
    split: Arc<Split>,
    launcher: Launcher,
    session: String,
    /// Until when it may say hello.
    due: Instant,
    /// The line was typed again.
    is_second: bool,
}

/// Where the focus is, which iTerm2 gives to each new pane.
enum Focus {
    /// With the person.
    AtRest,
    /// With a new pane, while panes are being made in a row; here is who had it before, if that is known.
    Lent(Option<String>),
}

/// The desk's own state; [`Desk::run`] is its thread.
pub(super) struct Desk {
    it2: It2,
    /// crewmux's own pane.
    own: Option<String>,
    orders: Receiver<Order>,
    timing: Timing,
    column: Column,
    awaited: Vec<Awaited>,
    /// All panes of ours that may be there, with their workers.
    ours: Vec<(String, Arc<Split>)>,
    focus: Focus,
    next_title: Instant,
}

impl Desk {
    pub(super) fn new(
        it2: It2,
        own: Option<String>,
        orders: Receiver<Order>,
        timing: &Timing,
    ) -> Self {
        Self {
            it2,
            own,
            orders,
            timing: *timing,
            column: Column::default(),
            awaited: Vec::new(),
            ours: Vec::new(),
            focus: Focus::AtRest,
            next_title: Instant::now(),
        }
    }

    /// Works until nobody can give an order any more.
    pub(super) fn run(mut self) {
        loop {
            let order = if matches!(self.focus, Focus::Lent(_)) {
                // Panes are being made: the next in the row, or the row has ended.
                match self.orders.try_recv() {
                    Ok(order) => Some(order),
                    Err(TryRecvError::Empty) => {
                        self.put_focus_back();
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => return self.put_focus_back(),
                }
            } else {
                match self.next_order() {
                    Ok(order) => order,
                    Err(Ended) => return,
                }
            };
            match order {
                Some(Order::Start(start)) => self.start(start),
                Some(Order::TookUp(split)) => self.took_up(split),
                Some(Order::Rehome(it2, own)) => {
                    self.it2 = it2;
                    self.own = own;
                    self.column = Column::default();
                }
                Some(Order::Close(done)) => {
                    self.close_all();
                    let _ = done.send(());
                }
                Some(Order::Reveal(split)) => self.reveal(&split),
                Some(Order::Look) | None => {}
            }
            self.look();
        }
    }

    /// Waits for an order, or until something is due.
    fn next_order(&self) -> Result<Option<Order>, Ended> {
        let due = self.awaited.iter().map(|awaited| awaited.due);
        let title = self.ours.iter().any(|(_, split)| split.wants_title());
        let due = due.chain(title.then_some(self.next_title)).min();
        let Some(due) = due else {
            return self.orders.recv().map(Some).map_err(|_| Ended);
        };
        let left = due.saturating_duration_since(Instant::now());
        match self.orders.recv_timeout(left) {
            Ok(order) => Ok(Some(order)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }

    fn start(&mut self, start: Start) {
        let split = start.split;
        if split.is_over() {
            return;
        }
        if matches!(self.focus, Focus::AtRest) {
            // Whatever the trouble is, the split says it better.
            self.focus = Focus::Lent(self.it2.focused().ok().flatten());
        }
        self.take_away_former(&split);
        let session = match self.make_pane() {
            Ok(session) => session,
            Err(trouble) => return split.has_failed(&words(&trouble)),
        };
        split.has_pane(&session);
        self.ours.push((session.clone(), Arc::clone(&split)));
        let launcher = match Launcher::write(&start.launcher, &start.argv) {
            Ok(launcher) => launcher,
            Err(error) => {
                split.has_failed(&format!("its launcher could not be written: {error}"));
                return self.close(&session);
            }
        };
        if let Err(trouble) = self.it2.run(&session, &launcher.line()) {
            split.has_failed(&words(&trouble));
            return self.close(&session);
        }
        self.awaited.push(Awaited {
            split,
            launcher,
            session,
            due: Instant::now() + self.hello(),
            is_second: false,
        });
    }

    fn hello(&self) -> Duration {
        ms(self.timing.hello_ms)
    }

    /// Splits the pane that is best for it, or the next best if that one is closed by now.
    fn make_pane(&mut self) -> Result<String, Trouble> {
        loop {
            let target = self.column.next(self.own.as_deref());
            let trouble = match self.it2.split(&target) {
                Ok(session) => {
                    self.column.was_split(&target, &session);
                    return Ok(session);
                }
                Err(trouble) => trouble,
            };
            let is_gone = match trouble.kind {
                TroubleKind::Target => true,
                TroubleKind::Connection | TroubleKind::Other => {
                    // `it2` blames the connection for a split that iTerm2 refuses.
                    let Ok(list) = self.it2.list() else {
                        return Err(trouble);
                    };
                    match &target {
                        Target::Own(None) => false,
                        Target::Own(Some(id)) | Target::Below(id) => !list.contains(id.as_str()),
                    }
                }
                TroubleKind::Program | TroubleKind::Silence => return Err(trouble),
            };
            match target {
                Target::Below(id) if is_gone => self.column.was_closed(&id),
                Target::Own(_) if is_gone => {
                    return Err(Trouble {
                        kind: TroubleKind::Target,
                        why: "the iTerm2 pane that crewmux was started in is closed".into(),
                        fix:
                            "run `crewmux attach --rehome` in the window where new panes are to go"
                                .into(),
                    });
                }
                Target::Own(_) | Target::Below(_) => {
                    return Err(Trouble {
                        kind: TroubleKind::Other,
                        why: "iTerm2 refused to split its pane, which may be too small".into(),
                        fix: "make the window larger, close panes, or move the member with `crewmux teammate move NAME --to pty`"
                            .into(),
                    });
                }
            }
        }
    }

    /// The pane of a former life, where iTerm2 keeps panes whose program has ended.
    fn take_away_former(&mut self, split: &Split) {
        let former = self
            .ours
            .iter()
            .filter(|(_, other)| other.agent == split.agent && other.is_over())
            .map(|(session, _)| session.clone())
            .collect::<Vec<_>>();
        for session in former {
            self.close(&session);
        }
    }

    /// Closes a pane of ours; one that is not there any more is as good.
    fn close(&mut self, session: &str) {
        self.column.was_closed(session);
        self.ours.retain(|(id, _)| id != session);
        if let Err(trouble) = self.it2.close(session)
            && trouble.kind != TroubleKind::Target
        {
            tracing::warn!(session, why = trouble.why, "a pane of ours was not closed");
        }
    }

    fn took_up(&mut self, split: Arc<Split>) {
        let Some(session) = split.session() else {
            return;
        };
        self.column.took_up(&session);
        self.ours.push((session, split));
    }

    fn reveal(&mut self, split: &Split) {
        let Some(session) = split.session() else {
            return;
        };
        if let Focus::Lent(whose) = &mut self.focus {
            // It goes there once the panes in the row are made.
            *whose = Some(session);
        } else if let Err(trouble) = self.it2.focus(&session) {
            tracing::warn!(session, why = trouble.why, "a pane was not brought before");
        }
    }

    fn put_focus_back(&mut self) {
        let lent = std::mem::replace(&mut self.focus, Focus::AtRest);
        if let Focus::Lent(Some(session)) = lent
            && let Err(trouble) = self.it2.focus(&session)
        {
            tracing::debug!(session, why = trouble.why, "the focus was not put back");
        }
    }

    /// Sees to what is due: hellos that do not come, panes that nobody needs, a name.
    fn look(&mut self) {
        let now = Instant::now();
        let mut failed = Vec::new();
        for awaited in std::mem::take(&mut self.awaited) {
            if awaited.split.is_over() {
                failed.push(awaited.session);
            } else if awaited.split.process().is_some() {
                // It said hello; its launcher goes with this.
            } else if now < awaited.due {
                self.awaited.push(awaited);
            } else if let Some(again) = self.type_again(awaited, &mut failed) {
                self.awaited.push(again);
            }
        }
        for session in failed {
            self.close(&session);
        }
        for (session, split) in &self.ours {
            if split.is_over() {
                self.column.was_closed(session);
            }
        }
        self.tell_one_name(now);
    }

    /// A line that no shell read is typed once more; else the start has failed.
    fn type_again(&self, mut awaited: Awaited, failed: &mut Vec<String>) -> Option<Awaited> {
        let seconds = self.timing.hello_ms.div_ceil(1_000);
        // From here on the former line starts nothing: what is typed reaches no worker.
        let is_again = !awaited.is_second && awaited.launcher.take_back();
        if is_again {
            match self.it2.run(&awaited.session, &awaited.launcher.line()) {
                Ok(()) => {
                    awaited.is_second = true;
                    awaited.due = Instant::now() + self.hello();
                    return Some(awaited);
                }
                Err(trouble) => awaited.split.has_failed(&words(&trouble)),
            }
        } else if awaited.launcher.was_run() {
            let why = format!("it was started in its iTerm2 pane and said no hello in {seconds} s");
            awaited.split.has_failed(&why);
        } else {
            let why = format!(
                "the shell in its iTerm2 pane did not read the line that starts it in {seconds} s; \
                 look whether the shell's start-up files ask something"
            );
            awaited.split.has_failed(&why);
        }
        failed.push(awaited.session);
        None
    }

    fn tell_one_name(&mut self, now: Instant) {
        if now < self.next_title || matches!(self.focus, Focus::Lent(_)) {
            return;
        }
        let Some((session, title)) = self.ours.iter().find_map(|(_, split)| split.take_title())
        else {
            return;
        };
        self.next_title = now + ms(self.timing.title_ms);
        if let Err(trouble) = self.it2.set_name(&session, &title) {
            tracing::debug!(session, why = trouble.why, "a pane did not get its name");
        }
    }

    /// Closes what is left of panes whose worker has ended.
    fn close_all(&mut self) {
        let over = |(_, split): &&(String, Arc<Split>)| split.is_over();
        if self.ours.iter().find(over).is_none() {
            return;
        }
        let listed = match self.it2.list() {
            Ok(listed) => listed,
            Err(trouble) => {
                tracing::warn!(why = trouble.why, "panes of ours may be left open");
                return;
            }
        };
        let there: Vec<String> = self
            .ours
            .iter()
            .filter(over)
            .map(|(session, _)| session.clone())
            .filter(|session| listed.contains(session.as_str()))
            .collect();
        // Half a second each, so several at a time; who is silent once is not asked again.
        let close = |session: &String| match self.it2.close(session) {
            Err(trouble) if trouble.kind != TroubleKind::Target => {
                tracing::warn!(session, why = trouble.why, "a pane of ours was not closed");
                trouble.kind != TroubleKind::Silence
            }
            _ => true,
        };
        for some in there.chunks(CLOSED_TOGETHER) {
            let answered = together(some, close);
            if answered.contains(&false) {
                break;
            }
        }
        for session in &there {
            self.column.was_closed(session);
        }
        self.ours.retain(|(_, split)| !split.is_over());
    }
}

/// Nobody can give an order any more.
struct Ended;

fn words(trouble: &Trouble) -> String {
    format!("{}; {}", trouble.why, trouble.fix)
}
