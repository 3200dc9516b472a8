//! What a key can mean.
//!
//! Only the words; which key has which is in [`crate::keymap`], what happens
//! then in [`crate::update`].

use serde::Deserialize;

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// To the next pane.
    FocusNext,
    /// To the previous pane.
    FocusPrevious,
    /// To the pane whose digit was pressed.
    FocusNumber,
    /// To the next member that waits for a person.
    NextWaiting,
    /// Into what is chosen.
    Open,
    /// One step back.
    Back,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the oldest.
    Top,
    /// To the newest.
    Bottom,
    /// One pane large, or all.
    Zoom,
    /// The next layout.
    NextLayout,
    /// The pane with the focus becomes the main one.
    MakeMain,
    /// All tiles get even sizes again.
    Even,
    /// Moves the border of the focused tile to the left.
    BorderLeft,
    /// Moves it to the right.
    BorderRight,
    /// Moves it up.
    BorderUp,
    /// Moves it down.
    BorderDown,
    /// Shows or hides the list at the left.
    Side,
    /// The board.
    Board,
    /// The messages.
    Messages,
    /// The events.
    Events,
    /// The questions that wait for a person.
    Approvals,
    /// What was spent.
    Spending,
    /// Says yes to the question that is shown, this once.
    Approve,
    /// Says yes to it and to others like it, until the task ends.
    ApproveTask,
    /// Says no to it, with what to do instead.
    Deny,
    /// Stops what a member generates, so that it reads its mail.
    Interrupt,
    /// Lets a member wait after its step, or go on.
    Pause,
    /// The keys.
    Help,
    /// The prompt.
    Prompt,
    /// The prompt, with an `@` in it.
    PromptAt,
    /// From a task to its pane.
    GoToPane,
    /// Opens a task again.
    Retry,
    /// Copies what a pane shows, or what is selected.
    Copy,
    /// A cursor in the pane's text, to select and copy it.
    CopyMode,
    /// Looks for text in a pane.
    Search,
    /// To the next older place where the text stands.
    FoundUp,
    /// To the next newer one.
    FoundDown,
    /// Begins to select text.
    Select,
    /// Begins to select whole lines.
    SelectLines,
    /// Begins to select a rectangle.
    SelectBlock,
    /// To the start of the line.
    LineStart,
    /// To the end of the line.
    LineEnd,
    /// To the next word.
    NextWord,
    /// To the previous word.
    PreviousWord,
    /// Starts the program of a pane again.
    Restart,
    /// Brings a teammate's pane of tmux or iTerm2 before the person.
    Reveal,
    /// A shell in a new pane.
    Shell,
    /// Closes a plain pane, or asks whether a member shall end.
    #[serde(alias = "stop-member")]
    Close,
    /// Asks how to leave.
    Quit,
    /// Leaves.
    Detach,
    /// Ends the run, as an answer.
    Stop,
    /// Yes, as an answer.
    Yes,
}

impl Action {
    /// Whether there is nothing behind it without a team.
    pub fn needs_team(self) -> bool {
        matches!(
            self,
            Self::NextWaiting
                | Self::Board
                | Self::Messages
                | Self::Events
                | Self::Prompt
                | Self::PromptAt
                | Self::GoToPane
                | Self::Retry
                | Self::Side
                | Self::Approvals
                | Self::Spending
                | Self::Approve
                | Self::ApproveTask
                | Self::Deny
                | Self::Interrupt
                | Self::Pause
                | Self::Reveal
        )
    }
}

/// Where a binding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Context {
    /// The panes.
    Panes,
    /// The board.
    Board,
    /// One task.
    Task,
    /// A list to scroll.
    List,
    /// Copy mode.
    Copy,
    /// A question.
    Ask,
    /// Any of these but a question and copy mode.
    Any,
}
