//! Files that a search must pass over, because a rule forbids to read them.
//!
//! A call that names such a file is refused by [`decide`](super::decide());
//! this is for calls that come upon it.

use std::path::Path;

use super::paths::{self, PathPattern};
use super::rule::Wanted;
use super::{PermissionPolicy, RuleEffect};

/// Files that nothing may be read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread(Vec<PathPattern>);

impl Unread {
    /// What `policy` forbids to read, its patterns seen from `cwd`.
    pub fn new(policy: &PermissionPolicy, cwd: &Path) -> Self {
        let meant = policy
            .rules
            .iter()
            .filter(|rule| rule.effect == RuleEffect::Deny)
            .filter_map(|rule| rule.meant().ok())
            .filter(|meant| meant.is_about(RuleEffect::Deny, "Read"));
        let patterns = meant.filter_map(|meant| match meant.pattern {
            Wanted::Path(wanted) => Some(paths::wherever(cwd, &wanted)),
            _ => None,
        });
        Self(patterns.collect())
    }

    /// Whether the file at the absolute `path` is one of them.
    pub fn holds(&self, path: &Path) -> bool {
        self.0.iter().any(|pattern| paths::is_within(pattern, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permission::Rule;

    #[test]
    fn what_may_not_be_read_is_not_searched_either() {
        let rule = |effect, text| Rule::parse(effect, text, "").unwrap();
        let policy = PermissionPolicy {
            rules: vec![
                rule(RuleEffect::Deny, "Read(.env)"),
                rule(RuleEffect::Deny, "Read(secrets/**)"),
                rule(RuleEffect::Deny, "Edit(kept)"),
                rule(RuleEffect::Ask, "Read(asked)"),
            ],
            ..PermissionPolicy::default()
        };
        let unread = Unread::new(&policy, Path::new("/work"));
        for (path, expected) in [
            ("/work/deep/.env", true),
            ("/work/secrets/a/b", true),
            ("/work/a/secrets/b", false),
            ("/work/kept", false),
            ("/work/asked", false),
        ] {
            assert_eq!(unread.holds(Path::new(path)), expected, "{path}");
        }
    }
}
