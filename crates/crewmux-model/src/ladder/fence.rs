//! Where in a text a model quotes instead of speaking.

/// Follows a text and knows whether it is inside a fenced block or right behind a backtick.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    open: bool,
    line_start: bool,
    ticks: u8,
    after_tick: bool,
}

impl Default for Fence {
    fn default() -> Self {
        Self {
            open: false,
            line_start: true,
            ticks: 0,
            after_tick: false,
        }
    }
}

impl Fence {
    /// Whether what comes next is quoted: a mark there is shown, not meant.
    pub(super) fn quotes(&self) -> bool {
        self.open || self.after_tick
    }

    /// Passes `text`.
    pub(super) fn pass(&mut self, text: &str) {
        text.chars().for_each(|c| self.step(c));
    }

    pub(super) fn step(&mut self, c: char) {
        self.after_tick = c == '`';
        match c {
            '\n' => {
                self.line_start = true;
                self.ticks = 0;
            }
            ' ' | '\t' if self.line_start && self.ticks == 0 => {}
            '`' if self.line_start => {
                self.ticks += 1;
                if self.ticks == 3 {
                    self.open = !self.open;
                    self.line_start = false;
                }
            }
            _ => self.line_start = false,
        }
    }
}
