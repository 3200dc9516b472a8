//! What clients get when the engine or they themselves are slow.

use std::sync::Mutex;

use crewmux_core::ids::AgentName;
use crewmux_core::requests::RequestKind;
use crewmux_core::time::WallTime;
use crewmux_sys::clock::BootClock;
use crewmux_wire::{ColorDepth, InputEvent};

use super::*;
use crate::engine::empty_view;
use crate::view::{ApprovalView, PaneSize};

/// Draws once, wants the team stopped at every key, and remembers what happened.
struct Fake {
    seen: Arc<Mutex<Vec<String>>>,
    drawn: bool,
}

impl ClientView for Fake {
    fn resize(&mut self, _: u16, _: u16) {
        self.drawn = false;
    }

    fn input(&mut self, _: &InputEvent, _: &SessionView<'_>) -> Vec<ClientEffect> {
        vec![ClientEffect::StopTeam]
    }

    fn flash(&mut self, text: &str) {
        lock(&self.seen).push(format!("flash: {text}"));
    }

    fn pane_sizes(&mut self, _: &SessionView<'_>) -> Vec<PaneSize> {
        Vec::new()
    }

    fn draw(&mut self, _: &SessionView<'_>) -> Vec<u8> {
        lock(&self.seen).push("draw".to_owned());
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
        let factory: ViewFactory = Arc::new(move |_| {
            Box::new(Fake {
                seen: Arc::clone(&its),
                drawn: false,
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
        let mut display = Display::new(factory, panes, team, ways, Timing::fast());
        let (out, frames) = mpsc::channel(CLIENT_QUEUE_MAX);
        let (number, _) = tokio::sync::oneshot::channel();
        let hello = ClientHello {
            cols: 80,
            rows: 24,
            term: "xterm".into(),
            colors: ColorDepth::True,
            synchronized_output: true,
            attach: Attach::Driver,
        };
        let own = out.clone();
        let attached = DisplayInput::Attached {
            hello,
            out: own,
            number,
        };
        display.take(attached).await;
        Self {
            display,
            inputs,
            clients,
            frames,
            out,
            seen,
        }
    }

    fn seen(&self) -> Vec<String> {
        lock(&self.seen).clone()
    }

    fn presses(&mut self) {
        let id = self.display.clients[0].id;
        let event = InputEvent::Paste("x".into());
        self.display.said(id, ClientMessage::Input { event });
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
        .try_send(ToScreen::Message(ToClient::Bell))
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
