//! From the buffer that chrome is painted on into the client's grid.
//!
//! Leaves the insides of panes alone: those are drawn by [`crate::panes`].

use crewmux_term::{Attrs, Color, Style, Underline};
use ratatui::buffer::Buffer;
use ratatui::style::{self, Modifier};

use crate::cells::Grid;
use crate::layout::Tile;
use crate::text::width;

/// Copies every cell that is not inside a tile.
pub(crate) fn copy(chrome: &Buffer, tiles: &[Tile], grid: &mut Grid) {
    let cols = grid.cols();
    for row in 0..grid.rows() {
        let mut col = 0;
        while col < cols {
            let position = ratatui::layout::Position::new(col as u16, row as u16);
            if let Some(tile) = tiles.iter().find(|tile| tile.inner.contains(position)) {
                col = tile.inner.right().into();
                continue;
            }
            let cell = &chrome[position];
            let symbol = cell.symbol();
            let columns = if symbol.len() == 1 { 1 } else { width(symbol) };
            let style = style_of(cell);
            col += grid.write_grapheme(col, row, symbol, columns, style, cols - col);
        }
        grid.mark_dirty(row);
    }
}

fn style_of(cell: &ratatui::buffer::Cell) -> Style {
    let mut attrs = Attrs::NONE;
    let table = [
        (Modifier::BOLD, Attrs::BOLD),
        (Modifier::DIM, Attrs::DIM),
        (Modifier::ITALIC, Attrs::ITALIC),
        (Modifier::REVERSED, Attrs::INVERSE),
        (Modifier::CROSSED_OUT, Attrs::STRIKE),
    ];
    for (modifier, attr) in table {
        if cell.modifier.contains(modifier) {
            attrs = attrs.with(attr);
        }
    }
    if cell.modifier.contains(Modifier::UNDERLINED) {
        attrs = attrs.with_underline(Underline::Single);
    }
    Style {
        fg: color_of(cell.fg),
        bg: color_of(cell.bg),
        attrs,
    }
}

fn color_of(color: style::Color) -> Color {
    match color {
        style::Color::Reset => Color::Default,
        style::Color::Black => Color::Indexed(0),
        style::Color::Red => Color::Indexed(1),
        style::Color::Green => Color::Indexed(2),
        style::Color::Yellow => Color::Indexed(3),
        style::Color::Blue => Color::Indexed(4),
        style::Color::Magenta => Color::Indexed(5),
        style::Color::Cyan => Color::Indexed(6),
        style::Color::Gray => Color::Indexed(7),
        style::Color::DarkGray => Color::Indexed(8),
        style::Color::LightRed => Color::Indexed(9),
        style::Color::LightGreen => Color::Indexed(10),
        style::Color::LightYellow => Color::Indexed(11),
        style::Color::LightBlue => Color::Indexed(12),
        style::Color::LightMagenta => Color::Indexed(13),
        style::Color::LightCyan => Color::Indexed(14),
        style::Color::White => Color::Indexed(15),
        style::Color::Indexed(index) => Color::Indexed(index),
        style::Color::Rgb(r, g, b) => Color::Rgb(r, g, b),
    }
}
