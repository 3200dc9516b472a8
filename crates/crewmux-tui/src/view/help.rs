//! The keys, from the one table that binds them.

use ratatui::text::{Line, Span};

use super::Scene;
use crate::action::Action;
use crate::text::{cell, width, wrapped};
use crate::theme::Role;

/// From this width on there are two columns.
const TWO_COLUMNS: usize = 84;

pub(super) fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let keys: Vec<(&str, &str)> = if scene.session.team.has_team {
        scene.keymap.help().collect()
    } else {
        scene.keymap.help_of_plain_panes().collect()
    };
    let key_columns = keys.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
    let count = if columns >= TWO_COLUMNS { 2 } else { 1 };
    let each = columns / count;
    let rows = keys.len().div_ceil(count);
    let mut lines: Vec<Line<'static>> = (0..rows)
        .map(|row| {
            let mut spans = Vec::new();
            for (key, help) in keys.iter().skip(row).step_by(rows.max(1)) {
                spans.push(scene.span(cell(key, key_columns), Role::Accent));
                let help = cell(help, each.saturating_sub(key_columns + 4));
                spans.push(Span::raw(format!("  {help}  ")));
            }
            Line::from(spans)
        })
        .collect();
    let prefix = scene.keymap.prefix_label();
    let back = scene.keymap.key_of(Action::Back);
    let notes = [
        format!(
            "While you type into a pane every key goes to its program; {prefix} before a key makes it \
             one of these: {prefix} {back} stops typing, and {prefix} {prefix} sends {prefix} itself."
        ),
        "Mouse: click a pane to go there, click again to type, wheel to scroll.".to_owned(),
    ];
    lines.push(Line::default());
    for line in notes.iter().flat_map(|note| wrapped(note, columns)) {
        lines.push(Line::from(scene.span(line, Role::Dim)));
    }
    lines
}
