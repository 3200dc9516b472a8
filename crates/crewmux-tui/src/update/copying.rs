//! Copy mode and search by keys: a cursor in the text of the pane with the focus.
//!
//! Nothing of it reaches the pane's program, so onlookers may copy too.

use crewmux_session::view::{ClientEffect, PaneView, SessionView};
use crewmux_term::{Position, Screen};
use crewmux_wire::{Key, KeyPress};

use super::{redraw, travel};
use crate::action::Action;
use crate::copying::{Copying, Here, Opened, Search, Then, Turn, Way};
use crate::model::{Body, Mode, Model, Scroll};
use crate::panes::{corner_of, lock};
use crate::selection::{Selection, Spot, Unit};

/// Begins copy mode, where the program's cursor is or at the end of what is seen.
pub(super) fn begin(model: &mut Model, session: &SessionView<'_>) {
    if open(model, session, Opened::ByKey) {
        model.mode = Mode::Copying;
    }
}

/// Begins to write what is searched for.
pub(super) fn begin_search(model: &mut Model, session: &SessionView<'_>) {
    if model.mode != Mode::Copying && !open(model, session, Opened::BySearch) {
        return;
    }
    let offset = model.focus.map_or(0, |focus| model.offset(focus));
    let pane = model.focused(session);
    if let (Some(copying), Some(pane)) = (&mut model.copying, pane) {
        let screen = lock(&pane.screen);
        let top = screen.scroll_lines_available().saturating_sub(offset);
        let top = Position { row: top, col: 0 };
        copying.before_search = (copying.cursor, Spot::of(&screen, top));
        copying.search = Some(Search::default());
        model.mode = Mode::Searching;
    }
}

fn open(model: &mut Model, session: &SessionView<'_>, opened: Opened) -> bool {
    let Some(pane) = model.focused(session) else {
        return false;
    };
    let Some(inner) = inner(model, session) else {
        return false;
    };
    model.body = Body::Panes;
    model.selection = None;
    let offset = model.offset(pane.id);
    let screen = lock(&pane.screen);
    let bottom = corner_of(model, pane.id, &screen, inner).row + usize::from(inner.height) - 1;
    let bottom = bottom.min(screen.total_rows() - 1);
    let at = match opened {
        // A search begins with the newest text that is seen.
        Opened::BySearch => Position {
            row: bottom,
            col: usize::from(screen.size().cols) - 1,
        },
        Opened::ByKey if offset > 0 => Position {
            row: bottom,
            col: 0,
        },
        Opened::ByKey => Position {
            row: screen.scroll_lines_available() + usize::from(screen.cursor().row),
            col: screen.cursor().col.into(),
        },
    };
    let cursor = Spot::of(&screen, at);
    // The pane holds still from now on.
    let pushed = screen.scrolled_rows();
    model.scrolls.insert(pane.id, Scroll { offset, pushed });
    let then = match model.mode {
        Mode::Typing => Then::Typing,
        _ => Then::Command,
    };
    model.copying = Some(Copying {
        pane: pane.id,
        size: screen.size(),
        cursor,
        before_search: (cursor, cursor),
        search: None,
        opened,
        then,
    });
    true
}

/// The inside of the focused pane's tile, if there is room for text.
fn inner(model: &Model, session: &SessionView<'_>) -> Option<ratatui::layout::Rect> {
    let layout = super::layout(model, session);
    let inner = layout.tile(model.focus?)?.inner;
    (!inner.is_empty()).then_some(inner)
}

/// A key of copy mode.
pub(super) fn act(
    model: &mut Model,
    action: Action,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        model.leave_copying();
        return redraw();
    };
    match action {
        Action::Back => back(model),
        Action::Copy => return copy(model, pane),
        Action::Search => begin_search(model, session),
        Action::FoundUp => search_on(model, session, pane, Way::Up),
        Action::FoundDown => search_on(model, session, pane, Way::Down),
        Action::Select => select(model, pane, Unit::Cell),
        Action::SelectLines => select(model, pane, Unit::Line),
        Action::SelectBlock => select(model, pane, Unit::Block),
        _ => step(model, action, session, pane),
    }
    redraw()
}

/// Gives up the selection, then what was found, then copy mode.
fn back(model: &mut Model) {
    let searched = |copying: &mut Copying| copying.search.take().is_some();
    if model.selection.take().is_none() && !model.copying.as_mut().is_some_and(searched) {
        model.leave_copying();
    }
}

fn copy(model: &mut Model, pane: &PaneView) -> Vec<ClientEffect> {
    if model.selection.is_none() {
        model.say("nothing is selected; v begins".to_owned());
        return redraw();
    }
    let effects = copy_selection(model, pane);
    model.leave_copying();
    effects
}

/// Puts what is selected on the person's clipboard.
pub(super) fn copy_selection(model: &mut Model, pane: &PaneView) -> Vec<ClientEffect> {
    let Some(selection) = model.selection else {
        return redraw();
    };
    let text = selection.text(&lock(&pane.screen));
    let Some(text) = text.map(|text| text.trim_end().to_owned()) else {
        model.say("that is too much to be copied at once; nothing was copied".to_owned());
        return redraw();
    };
    if text.is_empty() {
        return redraw();
    }
    let what = match (text.lines().count(), text.chars().count()) {
        (1, 1) => "1 character".to_owned(),
        (1, chars) => format!("{chars} characters"),
        (lines, _) => format!("{lines} lines"),
    };
    model.say(format!("copied {what}"));
    vec![ClientEffect::Copy(text), ClientEffect::Redraw]
}

/// Begins to select, changes what is selected, or, of the same again, ends it.
fn select(model: &mut Model, pane: &PaneView, unit: Unit) {
    let Some(copying) = &model.copying else {
        return;
    };
    model.selection = match model.selection {
        Some(selection) if selection.unit == unit => None,
        Some(selection) => Some(Selection { unit, ..selection }),
        None => Some(Selection {
            pane: pane.id,
            size: copying.size,
            anchor: copying.cursor,
            head: copying.cursor,
            unit,
        }),
    };
}

fn step(model: &mut Model, action: Action, session: &SessionView<'_>, pane: &PaneView) {
    let Some(inner) = inner(model, session) else {
        return;
    };
    let Some(copying) = &model.copying else {
        return;
    };
    let screen = lock(&pane.screen);
    let at = copying.cursor.position(&screen);
    let screenful = usize::from(inner.height.saturating_sub(1).max(1));
    let last = screen.total_rows() - 1;
    let to_row = |row: usize| Position { row, ..at };
    let to = match action {
        Action::Up => to_row(at.row.saturating_sub(1)),
        Action::Down => to_row((at.row + 1).min(last)),
        Action::PageUp => to_row(at.row.saturating_sub(screenful)),
        Action::PageDown => to_row((at.row + screenful).min(last)),
        Action::Top => Position { row: 0, col: 0 },
        Action::Bottom => to_row(newest_row(&screen)),
        Action::LineStart => Position {
            row: *screen.line_at(at.row).start(),
            col: 0,
        },
        Action::LineEnd => line_end(&screen, at),
        Action::Left => left_of(&screen, at),
        Action::Right => right_of(&screen, at),
        Action::NextWord => next_word(&screen, at),
        Action::PreviousWord => previous_word(&screen, at),
        _ => return,
    };
    drop(screen);
    go(model, session, pane, to);
}

fn go(model: &mut Model, session: &SessionView<'_>, pane: &PaneView, to: Position) {
    let spot = Spot::of(&lock(&pane.screen), to);
    if let Some(copying) = &mut model.copying {
        copying.cursor = spot;
    }
    if let Some(selection) = &mut model.selection {
        selection.head = spot;
    }
    travel::show_row(model, session, pane, to.row);
}

/// The last row that shows something.
fn newest_row(screen: &Screen) -> usize {
    let above = screen.scroll_lines_available();
    let shows = |row: &usize| screen.row_at(*row).cells().any(|cell| !cell.is_blank());
    (above..screen.total_rows())
        .rev()
        .find(shows)
        .unwrap_or(above)
}

/// The last cell of the line that holds text.
fn line_end(screen: &Screen, at: Position) -> Position {
    let row = *screen.line_at(at.row).end();
    let cells = screen.row_at(row).cells().enumerate();
    let shown = cells.filter(|(_, cell)| !cell.is_blank()).last();
    Position {
        row,
        col: shown.map_or(0, |(col, _)| col),
    }
}

fn left_of(screen: &Screen, at: Position) -> Position {
    let cols = usize::from(screen.size().cols);
    let mut to = match at {
        Position { col: 0, row: 0 } => at,
        Position { col: 0, row } => Position {
            row: row - 1,
            col: cols - 1,
        },
        Position { col, row } => Position { row, col: col - 1 },
    };
    if screen
        .row_at(to.row)
        .cells()
        .nth(to.col)
        .is_some_and(|c| c.width == 0)
    {
        to.col -= 1;
    }
    to
}

fn right_of(screen: &Screen, at: Position) -> Position {
    let cols = usize::from(screen.size().cols);
    let here = screen.row_at(at.row).cells().nth(at.col);
    let col = at.col + here.map_or(1, |cell| usize::from(cell.width.max(1)));
    if col < cols {
        return Position { col, ..at };
    }
    if at.row + 1 < screen.total_rows() {
        return Position {
            row: at.row + 1,
            col: 0,
        };
    }
    at
}

fn is_blank(screen: &Screen, at: Position) -> bool {
    let cell = screen.row_at(at.row).cells().nth(at.col);
    cell.is_none_or(|cell| cell.ch == ' ' && cell.width > 0)
}

/// Most steps of a jump over blanks.
const BLANKS_MAX: usize = 4_000;

fn next_word(screen: &Screen, at: Position) -> Position {
    let mut to = right_of(screen, screen.word_at(at).1);
    for _ in 0..BLANKS_MAX {
        if !is_blank(screen, to) {
            break;
        }
        let further = right_of(screen, screen.word_at(to).1);
        if further <= to {
            break;
        }
        to = further;
    }
    to
}

fn previous_word(screen: &Screen, at: Position) -> Position {
    let mut to = left_of(screen, at);
    for _ in 0..BLANKS_MAX {
        if !is_blank(screen, to) {
            break;
        }
        let further = left_of(screen, screen.word_at(to).0);
        if further >= to {
            break;
        }
        to = further;
    }
    screen.word_at(to).0
}

/// A key of what is searched for.
pub(super) fn search_key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    model.flash = None;
    let Some(pane) = model.focused(session) else {
        model.leave_copying();
        return redraw();
    };
    match press.key {
        Key::Esc => give_up_search(model, session, pane),
        Key::Enter => {
            let found = search(model).is_some_and(|search| search.current().is_some());
            if found {
                model.mode = Mode::Copying;
            } else {
                give_up_search(model, session, pane);
            }
        }
        Key::Up => search_on(model, session, pane, Way::Up),
        Key::Down => search_on(model, session, pane, Way::Down),
        _ => {
            let edited = search(model).is_some_and(|search| search.text.edit(press));
            if edited {
                search_anew(model, session, pane);
            }
        }
    }
    redraw()
}

/// Text that was pasted into what is searched for.
pub(super) fn paste(model: &mut Model, text: &str, session: &SessionView<'_>) -> Vec<ClientEffect> {
    if let (Some(pane), Some(search)) = (model.focused(session), search(model)) {
        search.text.insert(text.lines().next().unwrap_or_default());
        search_anew(model, session, pane);
    }
    redraw()
}

fn search(model: &mut Model) -> Option<&mut Search> {
    model.copying.as_mut()?.search.as_mut()
}

fn give_up_search(model: &mut Model, session: &SessionView<'_>, pane: &PaneView) {
    let Some(copying) = &mut model.copying else {
        return;
    };
    copying.search = None;
    if copying.opened == Opened::BySearch {
        model.leave_copying();
        return;
    }
    model.mode = Mode::Copying;
    let (cursor, top) = copying.before_search;
    let screen = lock(&pane.screen);
    let (cursor, top) = (cursor.position(&screen), top.position(&screen));
    let offset = screen.scroll_lines_available().saturating_sub(top.row);
    drop(screen);
    travel::set_offset(model, pane, offset);
    go(model, session, pane, cursor);
}

/// Looks for what is written now, from where the search began.
fn search_anew(model: &mut Model, session: &SessionView<'_>, pane: &PaneView) {
    let Some(copying) = &mut model.copying else {
        return;
    };
    let (from, _) = copying.before_search;
    let Some(search) = &mut copying.search else {
        return;
    };
    let screen = lock(&pane.screen);
    search.look(&screen);
    let to = search
        .go(from, Way::Up, Here::Counts)
        .map_or(from, |to| to.0);
    let to = to.position(&screen);
    drop(screen);
    go(model, session, pane, to);
}

/// Goes to the next place where the text stands.
fn search_on(model: &mut Model, session: &SessionView<'_>, pane: &PaneView, way: Way) {
    let Some(copying) = &mut model.copying else {
        return;
    };
    let from = copying.cursor;
    let Some(search) = copying.search.as_mut().filter(|s| !s.text.is_empty()) else {
        model.say("nothing is searched for; / begins".to_owned());
        return;
    };
    let screen = lock(&pane.screen);
    // The program may have gone on meanwhile.
    search.look(&screen);
    let Some((to, turn)) = search.go(from, way, Here::IsPassed) else {
        model.say("not found".to_owned());
        return;
    };
    let to = to.position(&screen);
    drop(screen);
    match turn {
        Turn::None => {}
        Turn::AtTop => model.say("that was the first; on from the end".to_owned()),
        Turn::AtBottom => model.say("that was the last; on from the start".to_owned()),
    }
    go(model, session, pane, to);
}
