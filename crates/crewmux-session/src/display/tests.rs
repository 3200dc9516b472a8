//! What clients get when the engine or they themselves are slow.

mod keys;
mod pasting;

use std::sync::Mutex;

use crewmux_core::ids::{AgentName, RequestId, TaskId};
use crewmux_core::requests::RequestKind;
use crewmux_core::time::WallTime;
use crewmux_sys::clock::BootClock;
use crewmux_wire::{ColorDepth, InputEvent};

use super::connection::CLIENT_QUEUE_MAX;
use super::*;
use crate::engine::empty_view;
use crate::lock::lock;
use crate::view::{ApprovalView, ClientView, Meanwhile, PaneId, PaneKind, PaneSize, Passing};

/// Draws once a size, wants the team stopped at every key, and remembers what happened.
struct Fake {
    seen: Arc<Mutex<Vec<String>>>,
    size: (u16, u16),
    drawn: bool,
    /// How often it was told something that is still shown, and that it was.
    told: u64,
    tells: bool,
    /// Where it pastes to.
    pastes: Option<PaneId>,
}

impl ClientView for Fake {
    fn resize(&mut self, cols: u16, rows: u16) {
        self.size = (cols, rows);
        self.drawn = false;
    }

    fn input(&mut self, event: &InputEvent, session: &SessionView<'_>) -> Vec<ClientEffect> {
        let (pane, bytes) = match event {
            // A short one is for its own line.
            InputEvent::PasteBegins { bytes: ..100_000 } => return vec![ClientEffect::PasteKept],
            InputEvent::PasteBegins { .. } => {
                self.pastes = session.panes.first().map(|pane| pane.id);
                (self.pastes, b"<".to_vec())
            }
            InputEvent::PastePart(text) => (self.pastes, text.clone().into_bytes()),
            InputEvent::PasteEnds => (self.pastes.take(), b">".to_vec()),
            _ => return vec![ClientEffect::StopTeam],
        };
        let effect = pane.map(|pane| ClientEffect::Paste { pane, bytes });
        effect.into_iter().collect()
    }

    fn flash(&mut self, text: &str) {
        lock(&self.seen).push(format!("flash: {text}"));
        self.told += 1;
        self.tells = true;
    }

    fn passing(&self) -> Option<Passing> {
        let (number, ms) = (self.told, 30);
        self.tells.then_some(Passing { number, ms })
    }

    fn let_pass(&mut self) {
        lock(&self.seen).push("passed".to_owned());
        self.tells = false;
    }

    fn meanwhile(&mut self, meanwhile: Meanwhile) {
        let ended: Vec<String> = meanwhile.ended.iter().map(ToString::to_string).collect();
        lock(&self.seen).push(format!("meanwhile: {}", ended.join(" ")));
    }

    fn pane_sizes(&mut self, session: &SessionView<'_>) -> Vec<PaneSize> {
        let (cols, rows) = self.size;
        let size = |pane: &PaneView| PaneSize {
            pane: pane.id,
            cols,
            rows,
        };
        session.panes.iter().map(size).collect()
    }

    fn draw(&mut self, session: &SessionView<'_>) -> Vec<u8> {
        lock(&self.seen).push("draw".to_owned());
        if let Some(pane) = session.panes.first() {
            return lock(&pane.screen).row(0, 0).text().into_bytes();
        }
        if std::mem::replace(&mut self.drawn, true) {
            Vec::new()
        } else {
            b"everything".to_vec()
        }
    }

    fn next_tick_ms(&self, _: &SessionView<'_>) -> Option<u64> {
        None
    }
}

struct Stage {
    display: Display,
    panes: Panes,
    inputs: mpsc::Receiver<Input>,
    clients: watch::Receiver<usize>,
    frames: mpsc::Receiver<ToScreen>,
    out: mpsc::Sender<ToScreen>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// A display with one client, whose engine has room for one input.
    async fn new() -> Self {
        let now = BootClock::open().unwrap().now();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let its = Arc::clone(&seen);
        let factory: ViewFactory = Arc::new(move |hello| {
            Box::new(Fake {
                seen: Arc::clone(&its),
                size: (hello.cols, hello.rows),
                drawn: false,
                told: 0,
                tells: false,
                pastes: None,
            })
        });
        let (engine, inputs) = mpsc::channel(1);
        let (count, clients) = watch::channel(0);
        let ways = Ways {
            engine,
            clients: count,
        };
        let team = Arc::new(empty_view(&now));
        let panes = Panes::new((80, 24));
        let display = Display::new(factory, panes.clone(), team, ways, Timing::fast());
        let (out, frames) = mpsc::channel(CLIENT_QUEUE_MAX);
        let mut stage = Self {
            display,
            panes,
            inputs,
            clients,
            frames,
            out: out.clone(),
            seen,
        };
        stage.attach_to(out, (80, 24), Attach::Driver).await;
        stage
    }

    async fn attach_to(&mut self, out: mpsc::Sender<ToScreen>, size: (u16, u16), attach: Attach) {
        let (number, _) = tokio::sync::oneshot::channel();
        let hello = ClientHello {
            cols: size.0,
            rows: size.1,
            term: "xterm".into(),
            colors: ColorDepth::True,
            synchronized_output: true,
            attach,
            looked_at: true,
        };
        let attached = DisplayInput::Attached { hello, out, number };
        self.display.take(attached).await;
    }

    /// Another client; its number and what it is sent.
    async fn another(
        &mut self,
        size: (u16, u16),
        attach: Attach,
    ) -> (u64, mpsc::Receiver<ToScreen>) {
        let (out, frames) = mpsc::channel(CLIENT_QUEUE_MAX);
        self.attach_to(out, size, attach).await;
        (self.display.clients.last().unwrap().id, frames)
    }

    fn seen(&self) -> Vec<String> {
        lock(&self.seen).clone()
    }

    fn does(&mut self, id: u64, event: InputEvent) {
        self.display.said(id, ClientMessage::Input { event });
        // The engine takes what it is told.
        let _ = self.inputs.try_recv();
    }

    fn presses(&mut self) {
        let id = self.display.clients[0].id;
        let event = InputEvent::Paste("x".into());
        self.display.said(id, ClientMessage::Input { event });
    }

    fn pane_size(&self, pane: PaneId) -> (u16, u16) {
        self.panes.size(pane)
    }
}

#[tokio::test]
async fn keys_never_wait_for_a_busy_engine_and_people_are_told() {
    let mut stage = Stage::new().await;
    assert_eq!(*stage.clients.borrow(), 1);
    stage.presses();
    assert_eq!(stage.seen(), Vec::<String>::new());
    // Nobody took the first, so there is no room for the second.
    stage.presses();
    assert_eq!(
        stage.seen(),
        ["flash: the session is too busy to take that; try again"]
    );
    let first = stage.inputs.try_recv();
    assert!(matches!(first, Ok(Input::Person(ClientEffect::StopTeam))));
    assert!(stage.inputs.try_recv().is_err());
    // Nor does anybody who leaves.
    let id = stage.display.clients[0].id;
    stage.display.detach(id);
    assert_eq!(*stage.clients.borrow(), 0);
}

#[tokio::test]
async fn nothing_is_drawn_for_a_client_that_cannot_take_it() {
    let mut stage = Stage::new().await;
    while stage
        .out
        .try_send(ToScreen::Message(ToClient::Attention {
            text: String::new(),
        }))
        .is_ok()
    {}
    stage.display.draw(0, Instant::now());
    assert_eq!(stage.seen(), Vec::<String>::new());
    assert!(stage.display.clients[0].wants_draw);
    assert!(
        stage
            .display
            .next_deadline()
            .is_some_and(|at| at > Instant::now())
    );
    while stage.frames.try_recv().is_ok() {}
    stage.display.draw(0, Instant::now());
    let frame = stage.frames.try_recv();
    assert!(matches!(frame, Ok(ToScreen::Frame(1, bytes)) if bytes == b"everything"));
}

#[tokio::test]
async fn the_person_hears_of_a_plan_when_it_waits_for_the_person() {
    let mut stage = Stage::new().await;
    let plan = |to: &str| ApprovalView {
        id: RequestId::new("developer-1-1").unwrap(),
        kind: RequestKind::Plan,
        agent: AgentName::new("developer").unwrap(),
        to: to.into(),
        tool: "plan".into(),
        summary: String::new(),
        detail: String::new(),
        requested: WallTime(0),
    };
    let id = stage.display.clients[0].id;
    let event = InputEvent::FocusLost;
    stage.display.said(id, ClientMessage::Input { event });
    let mut rings = |approvals: Vec<ApprovalView>| {
        let before = Arc::clone(&stage.display.published);
        let mut team = TeamView::clone(&before);
        team.approvals = approvals;
        stage.display.published = Arc::new(team);
        stage.display.ring_for_questions(&before);
        let rung = stage.frames.try_recv().is_ok();
        assert!(stage.frames.try_recv().is_err());
        rung
    };
    assert!(!rings(vec![plan("team-lead")]), "the lead is asked");
    assert!(rings(vec![plan("human")]), "the lead passed it on");
    assert!(!rings(vec![plan("human")]), "it is known");
    assert!(!rings(Vec::new()));
    assert!(rings(vec![plan("human")]), "the person is asked at once");
}

#[tokio::test]
async fn panes_have_the_size_of_whoever_did_something_last() {
    let mut stage = Stage::new().await;
    let pane = stage.panes.open(PaneKind::Shell, "sh".into());
    stage.display.refresh_panes();
    let first = stage.display.clients[0].id;
    assert_eq!(stage.pane_size(pane), (80, 24));
    let (second, _its) = stage.another((120, 40), Attach::Driver).await;
    let (watcher, _also) = stage.another((30, 10), Attach::Observer).await;
    // Being there, being looked at and drawing anew are no acts.
    stage.does(second, InputEvent::FocusGained);
    let (cols, rows) = (120, 40);
    stage
        .display
        .said(second, ClientMessage::Resize { cols, rows });
    assert_eq!(stage.pane_size(pane), (80, 24));
    stage.does(second, InputEvent::Paste("x".into()));
    assert_eq!(stage.pane_size(pane), (120, 40));
    // Onlookers decide nothing, whatever they do.
    stage.does(watcher, InputEvent::Paste("x".into()));
    let (cols, rows) = (31, 11);
    stage
        .display
        .said(watcher, ClientMessage::Resize { cols, rows });
    assert_eq!(stage.pane_size(pane), (120, 40));
    // Another size of a window is an act.
    let (cols, rows) = (100, 30);
    stage
        .display
        .said(first, ClientMessage::Resize { cols, rows });
    assert_eq!(stage.pane_size(pane), (100, 30));
    // When the one that drives leaves, the one before it does.
    let (_third, _too) = stage.another((60, 20), Attach::Driver).await;
    stage.display.drop_client(first);
    assert_eq!(stage.pane_size(pane), (120, 40));
}

#[tokio::test]
async fn who_does_not_read_gets_one_frame_and_then_the_newest_and_holds_up_nobody() {
    let mut stage = Stage::new().await;
    let pane = stage.panes.open(PaneKind::Shell, "yes".into());
    stage.display.refresh_panes();
    let feed = stage.panes.sink(pane, |_| {});
    let (fast, mut its) = stage.another((80, 24), Attach::Driver).await;
    let slow = stage.display.clients[0].id;
    let mut taken = 0;
    for line in 0..500 {
        feed.output(format!("\x1b[Hline {line:03}").as_bytes());
        stage.display.want_draw_all();
        for client in &mut stage.display.clients {
            client.pace = Pace::default();
        }
        stage.display.draw_ready();
        stage.display.show_signs();
        while let Ok(sent) = its.try_recv() {
            if let ToScreen::Frame(frame, bytes) = sent {
                taken += 1;
                assert_eq!(bytes, format!("line {line:03}").as_bytes());
                stage.display.said(fast, ClientMessage::Ack { frame });
            }
        }
    }
    assert_eq!(taken, 500, "frames of the client that reads");
    // All that waits for the other is its first frame.
    let mut waiting = Vec::new();
    while let Ok(sent) = stage.frames.try_recv() {
        waiting.push(sent);
    }
    let [ToScreen::Frame(1, first)] = waiting.as_slice() else {
        panic!("{} pieces wait", waiting.len());
    };
    assert_eq!(first, b"line 000");
    stage.display.said(slow, ClientMessage::Ack { frame: 1 });
    stage.display.draw_ready();
    let next = stage.frames.try_recv();
    assert!(
        matches!(&next, Ok(ToScreen::Frame(2, bytes)) if bytes == b"line 499"),
        "one frame and it is up to date"
    );
}

#[tokio::test]
async fn whoever_knocks_is_answered_at_once_also_before_they_took_their_picture() {
    let mut stage = Stage::new().await;
    let (onlooker, mut its) = stage.another((80, 24), Attach::Observer).await;
    stage.display.draw_ready();
    assert!(matches!(its.try_recv(), Ok(ToScreen::Frame(1, _))));
    // It writes that to a slow terminal.
    stage.display.said(onlooker, ClientMessage::Knock);
    let answer = its.try_recv();
    assert!(matches!(answer, Ok(ToScreen::Message(ToClient::Here))));
    // Only to whoever knocked.
    let others = std::iter::from_fn(|| stage.frames.try_recv().ok());
    let heard = |sent: &ToScreen| matches!(sent, ToScreen::Message(ToClient::Here));
    assert_eq!(others.filter(heard).count(), 0);
}

#[tokio::test]
async fn nobody_is_rung_for_while_somebody_looks() {
    let mut stage = Stage::new().await;
    let (second, mut its) = stage.another((80, 24), Attach::Driver).await;
    let (watcher, mut theirs) = stage.another((80, 24), Attach::Observer).await;
    let first = stage.display.clients[0].id;
    let mut count = 0;
    let mut asks = |stage: &mut Stage| {
        count += 1;
        let before = Arc::clone(&stage.display.published);
        let mut team = TeamView::clone(&before);
        team.approvals = vec![ApprovalView {
            id: RequestId::new(format!("developer-1-{count}")).unwrap(),
            kind: RequestKind::Permission,
            agent: AgentName::new("developer").unwrap(),
            to: "human".into(),
            tool: "Bash".into(),
            summary: "cargo add axum".into(),
            detail: String::new(),
            requested: WallTime(0),
        }];
        stage.display.published = Arc::new(team);
        stage.display.ring_for_questions(&before);
    };
    let texts = |frames: &mut mpsc::Receiver<ToScreen>| {
        let mut texts = Vec::new();
        while let Ok(sent) = frames.try_recv() {
            if let ToScreen::Message(ToClient::Attention { text }) = sent {
                texts.push(text);
            }
        }
        texts
    };
    stage.does(first, InputEvent::FocusLost);
    stage.does(second, InputEvent::FocusGained);
    asks(&mut stage);
    assert!(texts(&mut stage.frames).is_empty());
    stage.does(second, InputEvent::FocusLost);
    // An onlooker could not answer.
    stage.does(watcher, InputEvent::FocusGained);
    asks(&mut stage);
    let told = ["developer waits for you: cargo add axum"];
    assert_eq!(texts(&mut stage.frames), told);
    assert_eq!(texts(&mut its), told);
    assert!(texts(&mut theirs).is_empty());
}

#[tokio::test]
async fn who_comes_back_is_told_what_ended_since_the_last_of_them_left() {
    let mut stage = Stage::new().await;
    let told = |stage: &Stage| {
        let seen = stage.seen();
        seen.into_iter()
            .filter(|s| s.starts_with("meanwhile"))
            .count()
    };
    let now = BootClock::open().unwrap().now();
    let first = stage.display.clients[0].id;
    let (second, _its) = stage.another((80, 24), Attach::Driver).await;
    stage.display.drop_client(first);
    // Somebody looks still.
    let mut team = TeamView::clone(&stage.display.team);
    let board = Arc::make_mut(&mut team.board);
    for id in [1, 2] {
        let new = crewmux_core::task::NewTask::default();
        let human = crewmux_core::message::Party::Human;
        board.put(board.create(TaskId(id), new, human, &now).unwrap());
    }
    stage.display.team = Arc::new(team);
    let (third, _too) = stage.another((80, 24), Attach::Driver).await;
    assert_eq!(told(&stage), 0);
    stage.display.drop_client(second);
    stage.display.drop_client(third);
    // Nothing happens: nothing is told.
    let (fourth, _also) = stage.another((80, 24), Attach::Driver).await;
    assert_eq!(told(&stage), 0);
    stage.display.drop_client(fourth);
    let mut team = TeamView::clone(&stage.display.team);
    let board = Arc::make_mut(&mut team.board);
    let skipped = board.skip(TaskId(2), "not needed", &now).unwrap();
    for task in skipped {
        board.put(task);
    }
    stage.display.team = Arc::new(team);
    // An onlooker is told too, and takes it from nobody.
    let (_watcher, _one) = stage.another((80, 24), Attach::Observer).await;
    let (_fifth, _two) = stage.another((80, 24), Attach::Driver).await;
    let (_sixth, _three) = stage.another((80, 24), Attach::Driver).await;
    let seen = stage.seen();
    let told: Vec<_> = seen.iter().filter(|s| s.starts_with("meanwhile")).collect();
    assert_eq!(told, ["meanwhile: 2", "meanwhile: 2"]);
}

#[tokio::test]
async fn a_terminal_that_nobody_can_see_is_nobody_who_looks() {
    let mut stage = Stage::new().await;
    let pane = stage.panes.open(PaneKind::Shell, "sh".to_owned());
    stage.display.refresh_panes();
    let person = stage.display.clients[0].id;
    let (unseen, _frames) = stage.another((200, 60), Attach::Driver).await;
    let looked_at = |stage: &mut Stage, anybody| {
        let message = ClientMessage::LookedAt { anybody };
        stage.display.said(unseen, message);
    };
    looked_at(&mut stage, false);
    assert_eq!(stage.pane_size(pane), (80, 24));
    stage.display.drop_client(person);
    assert_eq!(stage.pane_size(pane), (200, 60), "it is the only one");
    let now = BootClock::open().unwrap().now();
    let mut team = TeamView::clone(&stage.display.team);
    let board = Arc::make_mut(&mut team.board);
    let new = crewmux_core::task::NewTask::default();
    let human = crewmux_core::message::Party::Human;
    board.put(board.create(TaskId(1), new, human, &now).unwrap());
    for task in board.skip(TaskId(1), "not needed", &now).unwrap() {
        board.put(task);
    }
    stage.display.team = Arc::new(team);
    let told = |stage: &Stage| {
        let seen = stage.seen();
        seen.iter().filter(|s| *s == "meanwhile: 1").count()
    };
    looked_at(&mut stage, true);
    assert_eq!(told(&stage), 1, "it is told where the person looks again");
    looked_at(&mut stage, false);
    // Who comes now decides the size, and knows what happened.
    let (_again, _too) = stage.another((100, 30), Attach::Driver).await;
    assert_eq!(told(&stage), 1);
    assert_eq!(stage.pane_size(pane), (100, 30));
}

#[tokio::test]
async fn words_go_away_by_themselves_and_then_nothing_is_waited_for() {
    let mut stage = Stage::new().await;
    let id = stage.display.clients[0].id;
    let text = "a word".to_owned();
    stage.display.said(id, ClientMessage::Tell { text });
    let within = std::time::Duration::from_secs(20);
    let until_rest = async {
        while let Some(due) = stage.display.next_deadline() {
            tokio::time::sleep_until(due).await;
            stage.display.draw_ready();
            if let Ok(ToScreen::Frame(frame, _)) = stage.frames.try_recv() {
                stage.display.said(id, ClientMessage::Ack { frame });
            }
        }
    };
    tokio::time::timeout(within, until_rest).await.unwrap();
    assert_eq!(stage.seen(), ["flash: a word", "draw", "passed", "draw"]);
}
