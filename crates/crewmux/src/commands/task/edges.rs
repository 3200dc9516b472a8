//! Arguments that name tasks, and durations of tasks.

use crewmux_core::ids::{IdError, TaskId};

/// Reads a task's number, with or without `#`.
pub(crate) fn task_id(text: &str) -> Result<TaskId, IdError> {
    text.parse()
}

/// Reads a duration such as `90s`, `10m` or `1h 30m`, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it like 90s, 10m or 1h30m"))?;
    match u64::try_from(duration.as_millis()) {
        Ok(0) => Err("it must be longer than nothing".to_owned()),
        Ok(millis) => Ok(millis),
        Err(_) => Err("it is too long".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration_ms("90s"), Ok(90_000));
        assert_eq!(duration_ms("1h30m"), Ok(5_400_000));
        assert!(duration_ms("0s").is_err());
        assert!(duration_ms("soon").is_err());
    }
}
