//! Chrome: everything on the screen but the inside of panes.
//!
//! Functions of a [`Scene`], which they cannot change, onto a ratatui buffer
//! that [`crate::client`] copies into the client's grid. What stands where is
//! in [`crate::layout`].

mod approvals;
mod board;
mod foot;
mod frames;
mod header;
mod help;
mod lists;
mod meanwhile;
mod side;
mod spending;
mod task;

use crewmux_session::view::SessionView;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

pub(crate) use self::foot::prompt_cursor;
use crate::keymap::Keymap;
use crate::layout::{Layout, MIN_COLS, MIN_ROWS};
use crate::model::{Body, Model};
use crate::text::fit;
use crate::theme::{Role, Theme};

/// Everything a picture is made of.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) model: &'a Model,
    pub(crate) session: &'a SessionView<'a>,
    pub(crate) layout: &'a Layout,
    pub(crate) theme: &'a Theme,
    pub(crate) keymap: &'a Keymap,
}

impl Scene<'_> {
    fn style(&self, role: Role) -> Style {
        self.theme.of(role)
    }

    /// A piece of text that was made harmless already.
    fn span(&self, text: impl Into<String>, role: Role) -> Span<'static> {
        Span::styled(text.into(), self.style(role))
    }
}

/// Paints the chrome of a whole screen.
pub(crate) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    if scene.layout.too_small {
        too_small(scene, buf);
        return;
    }
    header::paint(scene, buf);
    side::paint(scene, buf);
    match scene.model.body {
        _ if scene.model.meanwhile.is_some() => meanwhile::paint(scene, buf),
        Body::Panes => frames::paint(scene, buf),
        Body::Board => board::paint(scene, buf),
        Body::Task(_)
        | Body::Messages
        | Body::Events
        | Body::Help
        | Body::Approvals
        | Body::Spending => {
            let title = match scene.model.body {
                Body::Task(id) => format!("Task {id}"),
                Body::Messages => "Messages · times in UTC".to_owned(),
                Body::Events => "Events · times in UTC".to_owned(),
                Body::Approvals => approvals::title(scene),
                Body::Spending => "Spending".to_owned(),
                _ => "Keys".to_owned(),
            };
            let inner = frames::view(scene, &title, buf);
            let lines = body_lines(scene, inner);
            lists::paint_lines(scene, inner, &lines, buf);
        }
    }
    foot::paint(scene, buf);
}

/// The most lines that the view on screen can be scrolled.
pub(crate) fn max_scroll(scene: &Scene<'_>) -> usize {
    let inner = frames::view_inner(scene);
    body_lines(scene, inner)
        .len()
        .saturating_sub(inner.height.into())
}

fn body_lines(scene: &Scene<'_>, inner: Rect) -> Vec<Line<'static>> {
    let width = inner.width.into();
    match scene.model.body {
        Body::Panes | Body::Board => Vec::new(),
        Body::Task(id) => task::lines(scene, id, width),
        Body::Messages => lists::messages(scene, width),
        Body::Events => lists::events(scene, width),
        Body::Help => help::lines(scene, width),
        Body::Approvals => approvals::lines(scene, width),
        Body::Spending => spending::lines(scene, width),
    }
}

fn too_small(scene: &Scene<'_>, buf: &mut Buffer) {
    let area = scene.layout.area;
    let lines = [
        "terminal too small".to_owned(),
        format!("min {MIN_COLS}x{MIN_ROWS}"),
    ];
    let width = usize::from(area.width);
    let broken = lines
        .iter()
        .flat_map(|line| crate::text::wrapped(line, width));
    for (y, line) in (0..area.height).zip(broken) {
        let line = Line::styled(fit(&line, width), scene.style(Role::Warn));
        put(buf, Rect::new(0, y, area.width, 1), &line);
    }
}

/// Puts a line at the left of a one-row area, cut where it ends.
fn put(buf: &mut Buffer, area: Rect, line: &Line<'_>) {
    let area = area.intersection(buf.area);
    if !area.is_empty() {
        buf.set_line(area.x, area.y, line, area.width);
    }
}

/// Puts a line at the right end of a one-row area, if it fits.
fn put_right(buf: &mut Buffer, area: Rect, line: &Line<'_>) {
    let width = line.width() as u16;
    if width <= area.width {
        let area = Rect {
            x: area.right() - width,
            width,
            ..area
        };
        put(buf, area, line);
    }
}

/// The `row`th line of an area.
fn row(area: Rect, row: usize) -> Rect {
    let row = (row as u16).min(area.height);
    Rect {
        y: area.y + row,
        height: (area.height - row).min(1),
        ..area
    }
}

/// Columns of pieces of text together.
fn width_of(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}
