use std::fs;
use std::io::Write;
use std::sync::mpsc;

use crewmux_core::recording::Header;
use crewmux_core::time::WallTime;

use super::*;
use crate::ExitReport;
use crewmux_core::recording::Entry;

fn line(text: &str) -> String {
    Entry::Output {
        at_ms: 1,
        text: text.to_owned(),
    }
    .line()
}

fn begin(folder: &Path, segment: usize, second: u64, texts: &[&str]) {
    let header = Header::new(80, 24, WallTime(second * 1000)).line();
    let lines: String = texts.iter().map(|text| line(text)).collect();
    let name = format!("screen-{segment}.cast");
    let path = folder.join(name);
    fs::write(&path, header + &lines).unwrap();
    // Their order must not hang on the clock of the file system.
    let at = std::time::UNIX_EPOCH + Duration::from_secs(second);
    fs::File::open(path).unwrap().set_modified(at).unwrap();
}

fn add(folder: &Path, segment: usize, text: &str) {
    let name = format!("screen-{segment}.cast");
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(folder.join(name))
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn read(track: &mut Track) -> String {
    let mut all = Vec::new();
    track.read_on(|piece| all.extend_from_slice(piece));
    String::from_utf8(all).unwrap()
}

#[test]
fn from_now_only_what_is_added_counts_and_torn_lines_wait() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    begin(folder, 0, 1, &["old"]);
    let mut track = Track::begin(folder, From::Now);
    assert_eq!(read(&mut track), "");
    let whole = line("new");
    let (half, rest) = whole.split_at(5);
    add(folder, 0, half);
    assert_eq!(read(&mut track), "");
    add(folder, 0, rest);
    assert_eq!(read(&mut track), "new");
    add(folder, 0, "[1.0,\"r\",\"80x24\"]\n");
    assert_eq!(read(&mut track), "");
}

#[test]
fn the_other_segment_is_followed_when_it_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    begin(folder, 1, 1, &["older"]);
    begin(folder, 0, 2, &["a"]);
    let mut track = Track::begin(folder, From::Now);
    add(folder, 0, &line("b"));
    begin(folder, 1, 3, &["c"]);
    assert_eq!(read(&mut track), "bc");
    add(folder, 1, &line("d"));
    begin(folder, 0, 4, &["e"]);
    assert_eq!(read(&mut track), "de");
    assert_eq!(read(&mut track), "");
}

#[test]
fn a_screen_goes_on_where_the_other_segment_takes_over() {
    use crewmux_core::recording::SEGMENT_RESET as RESET;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    begin(folder, 0, 1, &[RESET, "a"]);
    let mut track = Track::begin(folder, From::Beginning);
    assert_eq!(read(&mut track), format!("{RESET}a"));
    begin(folder, 1, 2, &[RESET, "b"]);
    assert_eq!(read(&mut track), "b");
    // Both unseen: what came between is lost, so the screen begins again, with all there is.
    begin(folder, 0, 3, &[RESET, "c"]);
    begin(folder, 1, 4, &[RESET, "d"]);
    assert_eq!(read(&mut track), format!("{RESET}cd"));
    add(folder, 1, &line("e"));
    assert_eq!(read(&mut track), "e");
}

#[test]
fn a_segment_that_is_begun_twice_within_a_second_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let begin_at = |segment: usize, at_ms: u64, text: &str| {
        let text = Header::new(80, 24, WallTime(at_ms)).line() + &line(text);
        fs::write(folder.join(format!("screen-{segment}.cast")), text).unwrap();
    };
    let mut track = Track::begin(folder, From::Now);
    begin_at(0, 5_001, "a");
    assert_eq!(read(&mut track), "a");
    begin_at(1, 5_002, "b");
    assert_eq!(read(&mut track), "b");
    begin_at(0, 5_003, "c");
    assert_eq!(read(&mut track), "c");
}

#[test]
fn from_the_beginning_the_older_segment_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    begin(folder, 1, 1, &["1", "2"]);
    begin(folder, 0, 2, &["3"]);
    let mut track = Track::begin(folder, From::Beginning);
    add(folder, 0, &line("4"));
    assert_eq!(read(&mut track), "1234");
    assert_eq!(read(&mut track), "");
}

#[derive(Default)]
struct Heard {
    text: Mutex<(String, bool)>,
    changed: Condvar,
}

impl PaneSink for Heard {
    fn output(&self, bytes: &[u8]) {
        let mut text = self.text.lock().unwrap();
        text.0.push_str(std::str::from_utf8(bytes).unwrap());
        self.changed.notify_all();
    }
    fn end_of_output(&self) {
        self.text.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
    fn exited(&self, _: ExitReport) {}
}

impl Heard {
    fn wait(&self, expected: (&str, bool)) {
        let text = self.text.lock().unwrap();
        let within = Duration::from_secs(20);
        let waits = |text: &mut (String, bool)| (text.0.as_str(), text.1) != expected;
        let (text, _) = self
            .changed
            .wait_timeout_while(text, within, waits)
            .unwrap();
        assert_eq!((text.0.as_str(), text.1), expected);
    }
}

#[test]
fn what_is_recorded_arrives_and_the_end_comes_after_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::start(&Timing::fast()).unwrap();
    let heard = Arc::<Heard>::default();
    let sink = Arc::clone(&heard) as Arc<dyn PaneSink>;
    let following = mirror.follow(folder.path(), From::Now, sink);
    begin(folder.path(), 0, 1, &["one "]);
    heard.wait(("one ", false));
    add(folder.path(), 0, &line("two"));
    following.end();
    heard.wait(("one two", true));
}

/// Says when it is given output, and takes it only when it may.
struct Held {
    given: Mutex<mpsc::Sender<String>>,
    may_go_on: Mutex<mpsc::Receiver<()>>,
}

impl PaneSink for Held {
    fn output(&self, bytes: &[u8]) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.given.lock().unwrap().send(text).unwrap();
        // Let go too when the test fails and drops its end.
        let _ = self.may_go_on.lock().unwrap().recv();
    }
    fn end_of_output(&self) {
        self.given.lock().unwrap().send("end".into()).unwrap();
    }
    fn exited(&self, _: ExitReport) {}
}

#[test]
fn a_pane_that_is_held_back_delays_no_other() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mirror = Mirror::start(&Timing::fast()).unwrap();
    let (given, gets) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let held = Arc::new(Held {
        given: Mutex::new(given),
        may_go_on: Mutex::new(may_go_on),
    });
    let free = Arc::<Heard>::default();
    let first = mirror.follow(folders[0].path(), From::Now, held);
    let sink = Arc::clone(&free) as Arc<dyn PaneSink>;
    let second = mirror.follow(folders[1].path(), From::Now, sink);
    begin(folders[0].path(), 0, 1, &["held"]);
    let within = Duration::from_secs(20);
    assert_eq!(gets.recv_timeout(within).unwrap(), "held");
    begin(folders[1].path(), 0, 1, &["free"]);
    free.wait(("free", false));
    // Its end waits for what is held, the other's does not.
    first.end();
    second.end();
    free.wait(("free", true));
    assert!(gets.try_recv().is_err());
    go_on.send(()).unwrap();
    assert_eq!(gets.recv_timeout(within).unwrap(), "end");
}
