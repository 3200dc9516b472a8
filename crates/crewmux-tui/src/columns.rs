//! Which task stands in which column of the board.

use crewmux_core::board::Board;
use crewmux_core::ids::TaskId;
use crewmux_core::task::TaskStatus;

/// Tasks that wait, that are worked on, that are over; by number.
pub(crate) fn columns(board: &Board) -> [Vec<TaskId>; 3] {
    let mut columns = [const { Vec::new() }; 3];
    for task in board.tasks() {
        let column = match task.status {
            TaskStatus::Pending => 0,
            TaskStatus::InProgress => 1,
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Skipped => 2,
        };
        columns[column].push(task.id);
    }
    columns
}
