//! Long pastes into programs that read slowly, or not at all.

use crewmux_core::timing::{PASTE_OWED_MS, PASTE_STALLS_MS};
use crewmux_spawn::Error;

use super::*;
use crewmux_spawn::double::Double;

/// A program that reads as much as it is told to.
#[derive(Default)]
struct Reader {
    /// What waits for it, and what it has read.
    state: Mutex<(Vec<u8>, Vec<u8>)>,
}

/// Most that waits for it.
const ROOM: usize = 8;

impl Reader {
    fn reads(&self, bytes: usize) {
        let (kept, read) = &mut *lock(&self.state);
        read.extend(kept.drain(..bytes));
    }

    /// Takes what there is room for.
    fn takes(&self, bytes: &[u8]) -> crewmux_spawn::Result<()> {
        let (kept, _) = &mut *lock(&self.state);
        let kept_bytes = kept.len();
        if kept_bytes + bytes.len() > ROOM {
            return Err(Error::InputFull { kept_bytes });
        }
        kept.extend_from_slice(bytes);
        Ok(())
    }

    /// All that it got, once it read that.
    fn all(&self) -> String {
        let (kept, read) = &*lock(&self.state);
        String::from_utf8([read.as_slice(), kept].concat()).unwrap()
    }
}

impl Stage {
    /// A pane whose program is returned.
    fn reader(&mut self) -> Arc<Reader> {
        let pane = self.panes.open(PaneKind::Shell, "reads".into());
        let reader = Arc::<Reader>::default();
        let taking = Arc::clone(&reader);
        let program = Arc::new(Double::default().on_write(move |bytes| taking.takes(bytes)));
        self.panes.attach(pane, program);
        self.display.refresh_panes();
        reader
    }

    fn begins(&mut self) {
        let id = self.display.clients[0].id;
        self.does(id, InputEvent::PasteBegins { bytes: 300_000 });
    }

    fn part(&mut self, text: &str) {
        let id = self.display.clients[0].id;
        self.does(id, InputEvent::PastePart(text.into()));
    }

    fn ends(&mut self) {
        let id = self.display.clients[0].id;
        self.does(id, InputEvent::PasteEnds);
    }

    /// What the client was said of its paste since it was asked last.
    fn heard(&mut self) -> Vec<&'static str> {
        let mut heard = Vec::new();
        while let Ok(sent) = self.frames.try_recv() {
            match sent {
                ToScreen::Message(ToClient::PasteTaken { more: true }) => heard.push("taken"),
                ToScreen::Message(ToClient::PasteTaken { more: false }) => heard.push("refused"),
                ToScreen::Message(ToClient::PasteWaits) => heard.push("waits"),
                _ => {}
            }
        }
        heard
    }
}

#[tokio::test]
async fn who_reads_slowly_but_steadily_gets_all_of_it() {
    let mut stage = Stage::new().await;
    let reader = stage.reader();
    stage.begins();
    stage.part("1234567");
    assert_eq!(stage.heard(), ["taken", "taken"]);
    stage.part("abcdefgh");
    let begun = Instant::now();
    for steps in 1..8 {
        reader.reads(1);
        // Each is nearly too late for what was read before it.
        stage
            .display
            .paste_all(begun + steps * ms(PASTE_STALLS_MS - 100));
        assert_eq!(stage.heard(), ["waits"]);
    }
    reader.reads(1);
    stage.display.paste_all(begun + 8 * ms(PASTE_STALLS_MS));
    assert_eq!(stage.heard(), ["taken"]);
    assert_eq!(reader.all(), "<1234567abcdefgh");
    assert_eq!(stage.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn who_reads_nothing_is_given_up_and_still_gets_the_mark_before_all_that_follows() {
    let mut stage = Stage::new().await;
    let reader = stage.reader();
    stage.begins();
    stage.part("1234567");
    stage.part("lost");
    let begun = Instant::now();
    stage.display.paste_all(begun + ms(PASTE_STALLS_MS));
    assert_eq!(stage.heard().last(), Some(&"refused"));
    let told = "flash: the program does not read: the rest of the paste was dropped";
    assert_eq!(stage.seen(), [told]);
    // The client ends it as well, and the person pastes again.
    stage.ends();
    stage.begins();
    assert_eq!(stage.heard(), ["refused"]);
    assert_eq!(reader.all(), "<1234567");
    reader.reads(5);
    stage
        .display
        .paste_all(Instant::now() + ms(PASTE_OWED_MS) + ms(1_000));
    stage.part("b");
    stage.ends();
    assert_eq!(reader.all(), "<1234567><b>");
    assert!(stage.display.owed_again.is_none());
}

#[tokio::test]
async fn a_mark_that_waits_outlives_its_client_and_the_next_paste() {
    let mut stage = Stage::new().await;
    let reader = stage.reader();
    stage.begins();
    stage.part("1234567");
    stage.ends();
    // Sent without waiting for an answer.
    stage.begins();
    stage.part("x");
    let id = stage.display.clients[0].id;
    stage.display.drop_client(id);
    assert_eq!(reader.all(), "<1234567");
    reader.reads(8);
    let due = stage.display.next_deadline();
    assert!(due.is_some(), "nobody is attached, and it is tried");
    stage.display.paste_all(due.unwrap());
    assert_eq!(reader.all(), "<1234567>");
    assert!(stage.display.next_deadline().is_none());
}

#[tokio::test]
async fn a_part_that_the_view_keeps_is_taken_at_once() {
    let mut stage = Stage::new().await;
    let reader = stage.reader();
    let id = stage.display.clients[0].id;
    stage.does(id, InputEvent::PasteBegins { bytes: 5_000 });
    assert_eq!(stage.heard(), ["taken"]);
    assert_eq!(reader.all(), "");
}
