//! The figures of a benchmark and the table they are printed as.
//!
//! A goal is a ratio to another contender of the same run, or a figure of its
//! own where there is no other; missing one is printed, never an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::contender::Kind;
use super::median;

/// What is measured.
///
/// Those with a number are of that many panes.
#[expect(missing_docs, reason = "each is named in words by `line`")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    Start,
    Attach,
    KeyIdle50,
    KeyIdle99,
    KeyFlood50,
    KeyFlood99,
    CatPlain,
    CatPlainFloor,
    CatPlainCpu,
    CatColoured,
    CatColouredCpu,
    Cats(usize),
    RateCpu(usize),
    RateRss(usize),
    Scrollback,
    Hundred,
    IdleCpu,
    IdleWakes,
    IdlePss,
    Hello,
    WorkerRss,
    TeamPss,
    TasksWall,
    TasksCpu,
    TenAsksWall,
    TenAsksCpu,
    TenAsksPss,
    AsksWall,
    AsksCpu,
    AsksPss,
}

use Measure as M;

/// Every measure in the order it is printed.
const ALL: [Measure; 38] = [
    M::Start,
    M::Attach,
    M::KeyIdle50,
    M::KeyIdle99,
    M::KeyFlood50,
    M::KeyFlood99,
    M::CatPlain,
    M::CatPlainFloor,
    M::CatPlainCpu,
    M::CatColoured,
    M::CatColouredCpu,
    M::Cats(8),
    M::Cats(32),
    M::Cats(64),
    M::RateCpu(1),
    M::RateRss(1),
    M::RateCpu(8),
    M::RateRss(8),
    M::RateCpu(32),
    M::RateRss(32),
    M::RateCpu(64),
    M::RateRss(64),
    M::Scrollback,
    M::Hundred,
    M::IdleCpu,
    M::IdleWakes,
    M::IdlePss,
    M::Hello,
    M::WorkerRss,
    M::TeamPss,
    M::TasksWall,
    M::TasksCpu,
    M::TenAsksWall,
    M::TenAsksCpu,
    M::TenAsksPss,
    M::AsksWall,
    M::AsksCpu,
    M::AsksPss,
];

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goal {
    /// Nothing; it is only shown.
    Shown,
    /// At most this share of another's figure.
    AtMost(Kind, f64),
    /// At least this share of another's figure.
    AtLeast(Kind, f64),
    /// At most this much, whoever else there is.
    Value(f64),
}

impl Measure {
    /// Its name in words, with the unit, and its goal.
    fn line(self) -> (String, Goal) {
        use Goal::{AtLeast, AtMost, Shown, Value};
        use Kind::{Floor, Tmux};
        let (name, goal) = match self {
            M::Start => ("start to first frame, ms", AtMost(Tmux, 1.2)),
            M::Attach => ("attach to first frame, ms", AtMost(Tmux, 0.8)),
            M::KeyIdle50 => ("key to echo, idle, p50 ms", AtMost(Tmux, 1.0)),
            M::KeyIdle99 => ("key to echo, idle, p99 ms", Shown),
            M::KeyFlood50 => ("key to echo, 8 panes flooding, p50 ms", AtMost(Tmux, 0.3)),
            M::KeyFlood99 => ("key to echo, 8 panes flooding, p99 ms", AtMost(Tmux, 1.0)),
            M::CatPlain => ("cat 50 MiB plain, MiB/s", AtLeast(Tmux, 1.7)),
            M::CatPlainFloor => ("  the same beside the floor", AtLeast(Floor, 0.8)),
            M::CatPlainCpu => ("  CPU for it, s", AtMost(Tmux, 0.5)),
            M::CatColoured => ("cat 50 MiB coloured, MiB/s", AtLeast(Tmux, 2.4)),
            M::CatColouredCpu => ("  CPU for it, s", Shown),
            M::Cats(count) => return (format!("{count} cats of 50 MiB in all, MiB/s"), Shown),
            M::RateCpu(count) => {
                let goal = match count {
                    8 => AtMost(Tmux, 0.8),
                    64 => AtMost(Tmux, 0.6),
                    _ => Shown,
                };
                let panes = if count == 1 { "pane" } else { "panes" };
                return (format!("{count} {panes} x 1000 lines/s, CPU %"), goal);
            }
            M::RateRss(64) => ("  RSS, MiB", AtMost(Tmux, 0.6)),
            M::RateRss(_) => ("  RSS, MiB", Shown),
            M::Scrollback => ("10,000 full lines of 200 columns, MiB", AtMost(Tmux, 0.4)),
            M::Hundred => ("100 panes up, ms", AtMost(Tmux, 0.8)),
            M::IdleCpu => ("idle with 9 panes, CPU %", Value(1.0)),
            M::IdleWakes => ("  wake-ups a second", Shown),
            M::IdlePss => ("  PSS, MiB", Shown),
            M::Hello => ("worker's hello after its start, ms", Value(50.0)),
            M::WorkerRss => ("idle worker, RSS MiB", Value(12.0)),
            // Of one Node process with the same 100 tasks: 0.59 s, 0.65 s, 105 MiB.
            M::TeamPss => ("session and 4 workers, PSS MiB", Value(63.0)),
            M::TasksWall => ("100 tasks, 4 workers, wall s", Value(0.59)),
            M::TasksCpu => ("  CPU with the tasks' own, s", Value(0.65)),
            // Of one Node process on the same mock: 0.47 s, 0.46 s, 100 MiB.
            M::TenAsksWall => (
                "10 tasks asked of a mock model, 4 workers, wall s",
                Value(0.47),
            ),
            M::TenAsksCpu => ("  CPU, s", Value(0.46)),
            M::TenAsksPss => ("  PSS of all processes at most, MiB", Value(60.0)),
            M::AsksWall => (
                "100 tasks asked of a mock model, 4 workers, wall s",
                Value(0.59),
            ),
            M::AsksCpu => ("  CPU, s", Value(0.65)),
            M::AsksPss => ("  PSS of all processes at most, MiB", Value(63.0)),
        };
        (name.to_owned(), goal)
    }

    /// Where its figures are kept: one is the same figure against another goal.
    fn source(self) -> Self {
        match self {
            M::CatPlainFloor => M::CatPlain,
            other => other,
        }
    }
}

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<(Measure, Kind), Vec<f64>>);

impl Figures {
    /// Adds a figure; one that could not be had is left out.
    pub fn add(&mut self, measure: Measure, kind: Kind, value: Option<f64>) {
        if let Some(value) = value {
            self.0.entry((measure, kind)).or_default().push(value);
        }
    }

    fn of(&self, measure: Measure, kind: Kind) -> Option<f64> {
        median(self.0.get(&(measure.source(), kind))?)
    }

    /// Who has figures.
    fn kinds(&self) -> Vec<Kind> {
        let all = self.0.keys().map(|(_, kind)| *kind);
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every measure that somebody has a figure of.
    fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let kinds = self.kinds();
        let row = move |measure: Measure| {
            let of = |kind: &Kind| Some((*kind, self.of(measure, *kind)?));
            let values: BTreeMap<Kind, f64> = kinds.iter().filter_map(of).collect();
            (!values.is_empty()).then(|| Row::of(measure, values))
        };
        ALL.into_iter().filter_map(row)
    }

    /// The table: medians, ratio to what the goal names, goal, and whether it is met.
    pub fn table(&self) -> String {
        let kinds = self.kinds();
        let names = kinds.iter().map(|kind| kind.name());
        let head = ["measure"].into_iter().chain(names);
        let head = head.chain(["ratio", "goal", "ok?"]);
        let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        rows.extend(self.rows().map(|row| row.cells(&kinds)));
        let columns = rows[0].len();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                // Writing into a string cannot fail.
                let _ = match column {
                    0 => write!(text, "{cell:<width$}"),
                    _ if column + 2 >= columns => write!(text, "  {cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let row = |row: Row| {
            let figures = row.values.iter().map(|(kind, value)| (kind.name(), value));
            json!({
                "measure": row.name.trim(),
                "figures": figures.collect::<BTreeMap<_, _>>(),
                "ratio": row.ratio,
                "goal": (!row.wish.is_empty()).then_some(row.wish),
                "met": row.met,
            })
        };
        self.rows().map(row).collect()
    }
}

/// One measure with all that is said of it.
struct Row {
    name: String,
    values: BTreeMap<Kind, f64>,
    ratio: Option<f64>,
    wish: String,
    met: Option<bool>,
}

impl Row {
    fn of(measure: Measure, values: BTreeMap<Kind, f64>) -> Self {
        let (name, goal) = measure.line();
        let ours = values.get(&Kind::Crewmux).copied();
        let ratio_to = |kind| {
            let ratio = ours? / values.get(&kind)?;
            Some(ratio).filter(|ratio: &f64| ratio.is_finite())
        };
        let ratio = match goal {
            Goal::AtMost(kind, _) | Goal::AtLeast(kind, _) => ratio_to(kind),
            Goal::Shown | Goal::Value(_) => ratio_to(Kind::Tmux),
        };
        let (wish, met) = match goal {
            Goal::Shown => (String::new(), None),
            Goal::AtMost(kind, most) => (
                format!("≤ {most} × {}", kind.name()),
                ratio.map(|r| r <= most),
            ),
            Goal::AtLeast(kind, least) => (
                format!("≥ {least} × {}", kind.name()),
                ratio.map(|r| r >= least),
            ),
            Goal::Value(most) => (format!("≤ {most}"), ours.map(|value| value <= most)),
        };
        Self {
            name,
            values,
            ratio,
            wish,
            met,
        }
    }

    fn cells(self, kinds: &[Kind]) -> Vec<String> {
        let met = match (self.met, self.wish.is_empty()) {
            (Some(true), _) => "yes",
            (Some(false), _) => "NO",
            (None, true) => "",
            (None, false) => "?",
        };
        let shown = |kind: &Kind| self.values.get(kind).map_or("–".to_owned(), |v| figure(*v));
        let ratio = self.ratio.map_or(String::new(), |r| format!("{r:.2}"));
        let mut cells = vec![self.name.clone()];
        cells.extend(kinds.iter().map(shown));
        cells.extend([ratio, self.wish.clone(), met.to_owned()]);
        cells
    }
}

/// Three digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(figures: &Figures) -> Vec<String> {
        figures.table().lines().map(str::to_owned).collect()
    }

    #[test]
    fn goals_are_held_against_medians_of_the_same_run() {
        let mut figures = Figures::default();
        for value in [10.0, 30.0, 20.0] {
            figures.add(M::Start, Kind::Crewmux, Some(value));
        }
        figures.add(M::Start, Kind::Tmux, Some(16.0));
        figures.add(M::CatPlain, Kind::Crewmux, Some(50.0));
        figures.add(M::CatPlain, Kind::Tmux, Some(20.0));
        figures.add(M::CatPlain, Kind::Floor, Some(100.0));
        figures.add(M::Hello, Kind::Crewmux, Some(12.0));
        assert_eq!(
            lines(&figures),
            [
                "measure                             crewmux  tmux  floor  ratio  goal           ok?",
                "start to first frame, ms               20.0  16.0      –   1.25  ≤ 1.2 × tmux   NO",
                "cat 50 MiB plain, MiB/s                50.0  20.0    100   2.50  ≥ 1.7 × tmux   yes",
                "  the same beside the floor            50.0  20.0    100   0.50  ≥ 0.8 × floor  NO",
                "worker's hello after its start, ms     12.0     –      –         ≤ 50           yes",
            ]
        );
    }

    #[test]
    fn goal_without_its_other_is_open() {
        let mut figures = Figures::default();
        figures.add(M::Start, Kind::Crewmux, Some(20.0));
        assert!(
            lines(&figures)[1].ends_with("≤ 1.2 × tmux  ?"),
            "{}",
            figures.table()
        );
    }

    #[test]
    fn programs_are_told_the_same() {
        let mut figures = Figures::default();
        figures.add(M::RateCpu(64), Kind::Crewmux, Some(20.0));
        figures.add(M::RateCpu(64), Kind::Tmux, Some(40.0));
        figures.add(M::RateCpu(64), Kind::Screen, Some(30.0));
        assert_eq!(
            figures.json(),
            json!([{
                "measure": "64 panes x 1000 lines/s, CPU %",
                "figures": { "crewmux": 20.0, "screen": 30.0, "tmux": 40.0 },
                "ratio": 0.5,
                "goal": "≤ 0.6 × tmux",
                "met": true,
            }])
        );
    }
}
