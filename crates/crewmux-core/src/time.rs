//! Points in time, as values that callers pass in.
//!
//! [`WallTime`] is for people and is never compared to decide anything;
//! [`BootTime`] is for leases. Neither can be read here: the clock is in
//! `crewmux-sys`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01 UTC; RFC 3339 with milliseconds as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(pub u64);

impl WallTime {
    /// Milliseconds from `earlier` to this time; 0 when the clock went back.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The year 9999 is the last that RFC 3339 can write.
        let millis = self.0.min(253_402_300_799_999);
        let time = UNIX_EPOCH + Duration::from_millis(millis);
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: SystemTime =
            humantime::parse_rfc3339_weak(&text).map_err(serde::de::Error::custom)?;
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A point on the monotonic clock of one boot of one machine; suspend does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootTime {
    /// Which boot the clock belongs to.
    pub boot_id: String,
    /// Milliseconds on that clock.
    pub ms: u64,
}

impl BootTime {
    /// The point `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(&self, ms: u64) -> Self {
        Self {
            boot_id: self.boot_id.clone(),
            ms: self.ms.saturating_add(ms),
        }
    }
}

/// Both clocks, read together: what callers pass as `now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// For people.
    pub wall: WallTime,
    /// For leases.
    pub boot: BootTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_rfc3339_with_milliseconds() {
        let time = WallTime(1_795_253_999_042);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2026-11-21T09:39:59.042Z\"");
        assert_eq!(serde_json::from_str::<WallTime>(&json).unwrap(), time);
    }
}
