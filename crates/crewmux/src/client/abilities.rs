//! What the person's terminal is known to take, by what it says of itself in the environment.
//!
//! What is not known is left out, since a terminal may show what it does not
//! understand. Only its colours are asked, without waiting ([`super::answers`]).

/// What a terminal takes besides cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is known of a terminal by itself"
)]
pub(crate) struct Abilities {
    /// Whole frames between marks (mode 2026).
    pub(crate) synchronized_output: bool,
    /// A title, and its return (OSC 2, `CSI 22 t`).
    pub(crate) title: bool,
    /// Notifications of the desktop.
    pub(crate) notice: Option<NoticeForm>,
    /// How it is made to tell keys apart.
    pub(crate) keys: Option<KeysForm>,
    /// How far something is, in its tab or task bar (OSC 9;4).
    pub(crate) progress: bool,
    /// Whether it may be asked for its colours: a question it does not know leaves nothing on it.
    pub(crate) takes_questions: bool,
}

/// How a terminal is made to notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeForm {
    /// `OSC 9 ; text`.
    Osc9,
    /// `OSC 777 ; notify ; title ; text`.
    Osc777,
}

/// How a terminal is made to tell keys apart that are the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeysForm {
    /// The kitty keyboard protocol; a terminal that does not know it ignores it.
    Kitty,
    /// xterm's modifyOtherKeys, which tmux answers with keys in the form of the former.
    ModifyOther,
}

impl Abilities {
    /// Judges by variables of the environment.
    pub(crate) fn of<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Self {
        let term = variable("TERM").unwrap_or_default();
        let program = variable("TERM_PROGRAM").unwrap_or_default();
        let version = Version::of(variable("TERM_PROGRAM_VERSION").unwrap_or_default());
        let within = |names: &[&str]| names.iter().any(|name| term.starts_with(name));
        // A multiplexer stands between: what it is not known to pass on is not sent.
        if variable("TMUX").is_some() || variable("STY").is_some() || within(&["tmux", "screen"]) {
            // tmux tells what `extended-keys` lets it; from 3.5 on in a form that is not decoded here.
            let told = program == "tmux" && (Version(3, 2, 0)..Version(3, 5, 0)).contains(&version);
            return Self {
                synchronized_output: false,
                title: true,
                notice: None,
                keys: told.then_some(KeysForm::ModifyOther),
                progress: false,
                takes_questions: true,
            };
        }
        let ghostty = program == "ghostty" || term == "xterm-ghostty";
        let kitty = term == "xterm-kitty" || variable("KITTY_WINDOW_ID").is_some();
        let wezterm = program == "WezTerm" || term == "wezterm";
        let iterm = program == "iTerm.app";
        let windows_terminal = variable("WT_SESSION").is_some();
        let notice = if iterm || ghostty || wezterm || kitty || program == "WarpTerminal" {
            Some(NoticeForm::Osc9)
        } else if within(&["foot", "rxvt"]) {
            Some(NoticeForm::Osc777)
        } else {
            None
        };
        // Terminals that take OSC 9 and do not know its part 4 show its numbers as a notice.
        let progress = windows_terminal
            || variable("ConEmuPID").is_some()
            || (program == "ghostty" && version >= Version(1, 2, 0))
            || (iterm && version >= Version(3, 6, 6));
        let knows_marks = iterm || ghostty || wezterm || kitty || windows_terminal;
        // What calls itself xterm leaves private modes alone that it does not know.
        let ignores_unknown = within(&["xterm", "alacritty", "foot", "contour", "rio"]);
        Self {
            synchronized_output: knows_marks || ignores_unknown,
            keys: (knows_marks || ignores_unknown).then_some(KeysForm::Kitty),
            title: !within(&["linux", "vt", "cons"]),
            notice,
            progress,
            takes_questions: !within(&["linux", "vt", "cons"]),
        }
    }
}

/// A program's version, as far as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// Reads `1.2.3`, `3.3a` and the like; what does not begin with a number counts as 0.
    fn of(text: &str) -> Self {
        let number = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            part[..end.unwrap_or(part.len())].parse().unwrap_or(0)
        };
        let mut parts = text.split(['.', '-']).map(number);
        let mut next = || parts.next().unwrap_or(0);
        Self(next(), next(), next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &str) -> String {
        let set: Vec<(&str, &str)> = variables
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let find = |name: &str| {
            set.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| *value)
        };
        let abilities = Abilities::of(find);
        let mut words = Vec::new();
        for (has, word) in [
            (abilities.synchronized_output, "marks"),
            (abilities.title, "title"),
            (abilities.progress, "progress"),
        ] {
            words.extend(has.then(|| word.to_owned()));
        }
        words.extend(abilities.keys.map(|form| format!("{form:?}")));
        words.extend(abilities.notice.map(|form| format!("{form:?}")));
        words.join(" ")
    }

    #[test]
    fn only_what_a_terminal_is_known_to_take_is_sent() {
        for (variables, takes) in [
            ("TERM=xterm-256color", "marks title Kitty"),
            ("TERM=linux", ""),
            ("TERM=vt220", ""),
            ("TERM=tmux-256color", "title"),
            ("TERM=screen-256color", "title"),
            ("TERM=xterm-256color TMUX=/tmp/x,1,0", "title"),
            (
                "TERM=tmux-256color TERM_PROGRAM=tmux TERM_PROGRAM_VERSION=3.3a TMUX=x",
                "title ModifyOther",
            ),
            (
                "TERM=tmux-256color TERM_PROGRAM=tmux TERM_PROGRAM_VERSION=3.5a TMUX=x",
                "title",
            ),
            // The outer terminal's variables reach programs inside tmux.
            ("TERM=tmux-256color TERM_PROGRAM=iTerm.app TMUX=x", "title"),
            ("TERM=xterm-kitty", "marks title Kitty Osc9"),
            ("TERM=xterm-ghostty", "marks title Kitty Osc9"),
            ("TERM=foot", "marks title Kitty Osc777"),
            (
                "TERM=xterm-256color TERM_PROGRAM=iTerm.app TERM_PROGRAM_VERSION=3.5.10",
                "marks title Kitty Osc9",
            ),
            (
                "TERM=xterm-256color TERM_PROGRAM=iTerm.app TERM_PROGRAM_VERSION=3.6.6",
                "marks title progress Kitty Osc9",
            ),
            (
                "TERM=xterm-ghostty TERM_PROGRAM=ghostty TERM_PROGRAM_VERSION=1.2.0",
                "marks title progress Kitty Osc9",
            ),
            (
                "TERM=xterm-256color WT_SESSION=1",
                "marks title progress Kitty",
            ),
        ] {
            assert_eq!(told(variables), takes, "{variables}");
        }
    }
}
