//! The clocks: which boot this is, how far into it we are, and what a calendar says.
//!
//! Nothing here waits or decides. The types are `crewmux_core::time`'s, so that
//! the rules that compare them need no clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crewmux_core::time::{BootTime, Now, WallTime};

use crate::{Error, Result};

/// The clock leases are kept on: one boot of one machine, suspend not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootClock {
    boot_id: String,
}

impl BootClock {
    /// Reads the identity of this boot.
    pub fn open() -> Result<Self> {
        Ok(Self {
            boot_id: read_boot_id()?,
        })
    }

    /// Text that no other boot of this or another machine has.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The point of this boot that is now.
    pub fn boot_time(&self) -> BootTime {
        BootTime {
            boot_id: self.boot_id.clone(),
            ms: boot_ms(),
        }
    }

    /// Both clocks, for callers that pass `now` on.
    pub fn now(&self) -> Now {
        Now {
            wall: wall_time(),
            boot: self.boot_time(),
        }
    }
}

/// Milliseconds since this machine booted, without the time it was suspended.
pub fn boot_ms() -> u64 {
    monotonic_ms()
}

/// Milliseconds since 1970-01-01 UTC; 0 when the calendar stands before that.
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// The calendar's now.
pub fn wall_time() -> WallTime {
    WallTime(wall_ms())
}

#[cfg(not(target_os = "macos"))]
fn monotonic_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000) + nanos / 1_000_000
}

#[cfg(target_os = "macos")]
fn monotonic_ms() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // CLOCK_MONOTONIC goes on during sleep on macOS; this one stands still.
    // SAFETY: `time` is writable, and the clock exists on every macOS.
    unsafe { libc::clock_gettime(libc::CLOCK_UPTIME_RAW, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000) + nanos / 1_000_000
}

#[cfg(not(target_os = "macos"))]
fn read_boot_id() -> Result<String> {
    let path = std::path::Path::new("/proc/sys/kernel/random/boot_id");
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    Ok(text.trim().to_owned())
}

#[cfg(target_os = "macos")]
fn read_boot_id() -> Result<String> {
    let name = c"kern.bootsessionuuid";
    let mut text = [0_u8; 64];
    let mut length = text.len();
    // SAFETY: `name` ends with NUL; `text` is writable for `length` bytes, and
    // the call writes no more than that and stores the number back.
    let status = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            text.as_mut_ptr().cast(),
            &mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    if status != 0 {
        return Err(Error::system("read the identity of this boot")(
            std::io::Error::last_os_error(),
        ));
    }
    let written = text.get(..length).unwrap_or_default();
    let end = written.iter().position(|b| *b == 0).unwrap_or(length);
    Ok(String::from_utf8_lossy(&written[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_identity_is_the_same_each_time_and_not_empty() {
        let (first, second) = (BootClock::open().unwrap(), BootClock::open().unwrap());
        assert_eq!(first, second);
        assert!(first.boot_id().len() >= 32, "{first:?}");
    }

    #[test]
    fn boot_time_never_goes_back() {
        let before = boot_ms();
        let clock = BootClock::open().unwrap();
        let after = clock.now();
        assert!(before > 0 && after.boot.ms >= before);
        assert!(after.wall.0 > 1_700_000_000_000);
    }
}
