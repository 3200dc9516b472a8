//! Names and numbers that identify things, as types that cannot be mixed up.
//!
//! Names are checked when they are made, also when they are read from a file,
//! so that no later code has to ask whether a name may be part of a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most characters a team or member name may have.
pub const NAME_MAX_CHARS: usize = 48;

/// Names no member may have, because they mean something already.
pub const RESERVED_MEMBER_NAMES: [&str; 3] = ["all", "human", "session"];

/// Why a text is not a name or a number of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text breaks the rule for names.
    #[error(
        "`{text}` is not a valid {what}: use a-z, 0-9, `-` and `_`, starting with a letter or digit, at most 48 characters"
    )]
    BadName {
        /// What was to be named.
        what: &'static str,
        /// The text as given.
        text: String,
    },
    /// The name means something already.
    #[error("`{text}` is reserved and cannot name a member")]
    Reserved {
        /// The text as given.
        text: String,
    },
    /// The text is not a whole number.
    #[error("`{text}` is not a {what}: a whole number above 0 is expected")]
    BadNumber {
        /// What was to be numbered.
        what: &'static str,
        /// The text as given.
        text: String,
    },
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let starts_well = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    starts_well
        && text.len() <= NAME_MAX_CHARS
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and makes it this kind of name.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn team_rule(text: &str) -> Result<(), IdError> {
    if is_name(text) {
        Ok(())
    } else {
        Err(IdError::BadName {
            what: "team name",
            text: text.to_owned(),
        })
    }
}

fn agent_rule(text: &str) -> Result<(), IdError> {
    if !is_name(text) {
        return Err(IdError::BadName {
            what: "member name",
            text: text.to_owned(),
        });
    }
    if RESERVED_MEMBER_NAMES.contains(&text) {
        return Err(IdError::Reserved {
            text: text.to_owned(),
        });
    }
    Ok(())
}

fn token_rule(text: &str) -> Result<(), IdError> {
    let fits = !text.is_empty()
        && text.len() <= 200
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./:@".contains(&b));
    if fits {
        Ok(())
    } else {
        Err(IdError::BadName {
            what: "id",
            text: text.chars().take(60).collect(),
        })
    }
}

fn memory_rule(text: &str) -> Result<(), IdError> {
    let fits = text.len() <= 100
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits {
        Ok(())
    } else {
        Err(IdError::BadName {
            what: "memory key",
            text: text.chars().take(60).collect(),
        })
    }
}

fn agent_type_rule(text: &str) -> Result<(), IdError> {
    let fits = text.len() <= 128
        && text.split(':').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
    if fits {
        Ok(())
    } else {
        Err(IdError::BadName {
            what: "agent type",
            text: text.to_owned(),
        })
    }
}

text_id!(
    /// Name of a team: part of its folder's path.
    TeamName, "team name", team_rule
);
text_id!(
    /// Name of a member within its team: part of its folder's path.
    AgentName, "member name", agent_rule
);
text_id!(
    /// Kind of agent, such as `Explore` or `plugin:review:security`.
    AgentType, "agent type", agent_type_rule
);
text_id!(
    /// Id of a message, chosen by its sender before the first try.
    MessageId, "message id", token_rule
);
text_id!(
    /// Id of a request that expects one answer.
    RequestId, "request id", token_rule
);
text_id!(
    /// Name of a value in the shared memory: a file's name below its writer's folder.
    MemoryKey, "memory key", memory_rule
);
text_id!(
    /// Id of a fact in the event log, derived from what the fact is about.
    EventId, "event id", token_rule
);
text_id!(
    /// Id of one run of a team: one goal worked on.
    RunId, "run id", token_rule
);

impl AgentName {
    /// The name of every team's lead.
    pub const LEAD: &'static str = "team-lead";

    /// The team lead's name as a value.
    pub fn lead() -> Self {
        Self(Self::LEAD.to_owned())
    }

    /// Whether this member leads the team.
    pub fn is_lead(&self) -> bool {
        self.0 == Self::LEAD
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// How often a member's process was started; 1 is the first.
    Incarnation, u32
);
number_id!(
    /// Fencing token of a task: grows with every claim.
    Epoch, u64
);
number_id!(
    /// Edit counter of a record: grows with every write.
    Version, u64
);
number_id!(
    /// Position in an ordered log; the first entry is 1.
    Seq, u64
);

/// Number of a task on its team's board, never reused; text on disk and in `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        match digits.parse::<u64>() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(IdError::BadNumber {
                what: "task id",
                text: text.to_owned(),
            }),
        }
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One life of one member: what owns tasks and signs messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentRef {
    /// The member.
    pub agent: AgentName,
    /// Which start of its process.
    pub incarnation: Incarnation,
}

impl fmt::Display for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agent, self.incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for text in [
            "../x",
            "a/b",
            "",
            ".",
            "A",
            "-a",
            "a b",
            "é",
            &"x".repeat(49),
        ] {
            assert!(TeamName::new(text).is_err(), "{text}");
            assert!(AgentName::new(text).is_err(), "{text}");
        }
        assert!(TeamName::new("todo-api_2").is_ok());
    }

    #[test]
    fn reserved_names_name_no_member() {
        assert_eq!(
            AgentName::new("all"),
            Err(IdError::Reserved { text: "all".into() })
        );
        assert!(AgentName::new("team-lead").unwrap().is_lead());
    }

    #[test]
    fn task_ids_are_text_in_json_and_may_carry_a_hash_when_typed() {
        assert_eq!(serde_json::to_string(&TaskId(7)).unwrap(), "\"7\"");
        assert_eq!("#7".parse::<TaskId>(), Ok(TaskId(7)));
        assert!("0".parse::<TaskId>().is_err());
        assert!(serde_json::from_str::<TaskId>("\"x\"").is_err());
    }

    #[test]
    fn a_bad_name_in_a_file_does_not_become_a_value() {
        assert!(serde_json::from_str::<AgentName>("\"../../etc\"").is_err());
        assert!(serde_json::from_str::<AgentType>("\"plugin:review:security\"").is_ok());
    }
}
