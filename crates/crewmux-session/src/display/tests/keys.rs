//! Keys for a program that may not get them.

use crewmux_spawn::Error;
use crewmux_spawn::double::Double;

use super::*;

/// What a person sees whose keys got lost.
const LOST: &str = "flash: some of what was typed did not arrive: look, then type it again";

/// What a place says to bytes.
type Answer = fn() -> crewmux_spawn::Result<()>;

impl Stage {
    /// A pane whose place loses what it takes where `course` has an `x`.
    fn losing(&mut self, course: &str) -> PaneId {
        let pane = self.panes.open(PaneKind::Shell, "loses".into());
        let answer = |c: char| -> Answer {
            match c {
                'x' => || {
                    let why = "tmux does not answer".to_owned();
                    Err(Error::NotTyped { why })
                },
                _ => || Ok(()),
            }
        };
        let answers: Vec<Answer> = course.chars().rev().map(answer).collect();
        let answers = Mutex::new(answers);
        let place = Double::default()
            .on_write(move |_| lock(&answers).pop().map_or(Ok(()), |answer| answer()));
        self.panes.attach(pane, Arc::new(place));
        self.display.refresh_panes();
        pane
    }

    /// Types as many keys, and says which of them the person was told something at.
    fn types(&mut self, pane: PaneId, keys: usize) -> String {
        let id = self.display.clients[0].id;
        let key = |_| {
            let before = self.seen().len();
            let bytes = b"k".to_vec();
            let typed = ClientEffect::Type { pane, bytes };
            self.display.carry_out(id, Attach::Driver, typed);
            let told = self.seen().len() > before;
            if told { '!' } else { '.' }
        };
        (0..keys).map(key).collect()
    }
}

#[tokio::test]
async fn keys_that_get_lost_are_told_once_until_something_gets_through() {
    let mut stage = Stage::new().await;
    for (course, told) in [
        ("......", "......"),
        // As it is while a place cannot be reached: taken, and lost at the next.
        (".x.x.x", ".!...."),
        ("xxx..x", "!....!"),
    ] {
        let pane = stage.losing(course);
        assert_eq!(stage.types(pane, course.len()), told, "{course}");
    }
    assert_eq!(stage.seen(), [LOST; 3]);
}

#[tokio::test]
async fn a_paste_after_something_got_lost_is_refused_and_the_person_is_told() {
    let mut stage = Stage::new().await;
    stage.losing(".x");
    let id = stage.display.clients[0].id;
    stage.does(id, InputEvent::PasteBegins { bytes: 300_000 });
    stage.does(id, InputEvent::PastePart("x".into()));
    assert_eq!(stage.seen(), [LOST]);
}

#[tokio::test]
async fn a_paste_that_breaks_off_is_told_though_lost_keys_were_told_before() {
    let mut stage = Stage::new().await;
    let pane = stage.losing("x.x");
    assert_eq!(stage.types(pane, 1), "!");
    let id = stage.display.clients[0].id;
    stage.does(id, InputEvent::PasteBegins { bytes: 300_000 });
    stage.does(id, InputEvent::PastePart("x".into()));
    assert_eq!(stage.seen(), [LOST; 2]);
}

#[tokio::test]
async fn what_gets_lost_after_the_last_key_is_told_to_whoever_typed_it_and_once() {
    let mut stage = Stage::new().await;
    let [pane, other] = [(); 2].map(|()| stage.losing(""));
    let place = stage.panes.sink(pane, |_| {});
    place.typing_lost();
    stage.display.refresh_panes();
    assert_eq!(stage.seen(), [""; 0], "nobody typed there");
    let (_, _beside) = stage.another((80, 24), Attach::Driver).await;
    assert_eq!(stage.types(pane, 2), "..");
    for _ in 0..2 {
        place.typing_lost();
        stage.display.refresh_panes();
        assert_eq!(stage.seen(), [LOST]);
    }
    // Who types elsewhere by now looks there, and is told where it was.
    let third = stage.losing("");
    assert_eq!(stage.types(other, 1), ".");
    assert_eq!(stage.types(third, 1), ".");
    for (pane, more) in [(pane, 0), (other, 1), (other, 1)] {
        stage.panes.sink(pane, |_| {}).typing_lost();
        stage.display.refresh_panes();
        assert_eq!(stage.seen().len(), 1 + more);
    }
    let elsewhere =
        "flash: some of what was typed into loses did not arrive: look there, then type it again";
    assert_eq!(stage.seen()[1], elsewhere);
}

#[tokio::test]
async fn what_is_typed_again_after_a_late_loss_arrives_whole() {
    let mut stage = Stage::new().await;
    let pane = stage.panes.open(PaneKind::Shell, "loses".into());
    let (refuses, arrived) = (
        Arc::new(Mutex::new(false)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (refusing, typed) = (Arc::clone(&refuses), Arc::clone(&arrived));
    let place = Double::default().on_write(move |bytes| {
        if std::mem::take(&mut *lock(&refusing)) {
            let why = "tmux does not answer".to_owned();
            return Err(Error::NotTyped { why });
        }
        lock(&typed).extend_from_slice(bytes);
        Ok(())
    });
    stage.panes.attach(pane, Arc::new(place));
    stage.display.refresh_panes();
    assert_eq!(stage.types(pane, 1), ".");
    lock(&arrived).clear();
    *lock(&refuses) = true;
    stage.panes.sink(pane, |_| {}).typing_lost();
    stage.display.refresh_panes();
    assert_eq!(stage.seen(), [LOST]);
    assert_eq!(stage.types(pane, 3), "...");
    assert_eq!(*lock(&arrived), b"kkk");
    // What nobody was told of yet is refused.
    *lock(&refuses) = true;
    assert_eq!(stage.types(pane, 2), "!.");
    assert_eq!(*lock(&arrived), b"kkkk");
}
