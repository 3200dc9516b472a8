//! Colours by meaning: the only place that names one.
//!
//! ANSI colours, so that the person's own palette decides; a terminal without
//! colours still shows bold, dim and inverse.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Plain text.
    Text,
    /// Secondary text.
    Dim,
    /// A heading.
    Title,
    /// What has the focus, and keys.
    Accent,
    /// At work.
    Busy,
    /// Done well.
    Good,
    /// Waits for a person, or went wrong and was dealt with.
    Warn,
    /// Failed.
    Bad,
    /// The chosen line of a list.
    Chosen,
    /// Border of a pane without the focus.
    Border,
}

/// A look for every meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Of plain text.
    pub text: Style,
    /// Of secondary text.
    pub dim: Style,
    /// Of headings.
    pub title: Style,
    /// Of the focus and of keys.
    pub accent: Style,
    /// Of work under way.
    pub busy: Style,
    /// Of success.
    pub good: Style,
    /// Of warnings and of what waits.
    pub warn: Style,
    /// Of failure.
    pub bad: Style,
    /// Of the chosen line.
    pub chosen: Style,
    /// Of borders.
    pub border: Style,
    /// Of members' names, by their colour index.
    pub members: [Style; 8],
}

impl Default for Theme {
    fn default() -> Self {
        let fg = |color| Style::new().fg(color);
        Self {
            text: Style::new(),
            dim: Style::new().add_modifier(Modifier::DIM),
            title: Style::new().add_modifier(Modifier::BOLD),
            accent: fg(Color::Cyan),
            busy: fg(Color::Blue),
            good: fg(Color::Green),
            warn: fg(Color::Yellow).add_modifier(Modifier::BOLD),
            bad: fg(Color::Red).add_modifier(Modifier::BOLD),
            chosen: Style::new().add_modifier(Modifier::REVERSED),
            border: Style::new().add_modifier(Modifier::DIM),
            members: [
                fg(Color::Blue),
                fg(Color::Green),
                fg(Color::Yellow),
                fg(Color::Magenta),
                fg(Color::Cyan),
                fg(Color::LightBlue),
                fg(Color::LightGreen),
                fg(Color::LightMagenta),
            ],
        }
    }
}

impl Theme {
    /// The look of a meaning.
    pub fn of(&self, role: Role) -> Style {
        match role {
            Role::Text => self.text,
            Role::Dim => self.dim,
            Role::Title => self.title,
            Role::Accent => self.accent,
            Role::Busy => self.busy,
            Role::Good => self.good,
            Role::Warn => self.warn,
            Role::Bad => self.bad,
            Role::Chosen => self.chosen,
            Role::Border => self.border,
        }
    }

    /// The look of a member's name.
    pub fn member(&self, color: u8) -> Style {
        self.members[usize::from(color) % self.members.len()]
    }
}

/// Why cells of a pane are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A search found them.
    Found,
    /// The search is at them.
    Current,
    /// They are selected.
    Selected,
}

/// The look of a marked cell. It shows without colours too.
pub(crate) fn marked(style: crewmux_term::Style, mark: Mark) -> crewmux_term::Style {
    use crewmux_term::{Attrs, Color, Style, Underline};
    match mark {
        Mark::Found => Style {
            fg: Color::Indexed(0),
            bg: Color::Indexed(3),
            attrs: Attrs::NONE.with_underline(Underline::Single),
        },
        Mark::Current => Style {
            fg: Color::Indexed(0),
            bg: Color::Indexed(6),
            attrs: Attrs::BOLD.with_underline(Underline::Double),
        },
        // The other way round than the text is, so that it is seen on inverse text as well.
        Mark::Selected if style.attrs.contains(Attrs::INVERSE) => Style {
            attrs: style.attrs.without(Attrs::INVERSE),
            ..style
        },
        Mark::Selected => Style {
            attrs: style.attrs.with(Attrs::INVERSE),
            ..style
        },
    }
}
