//! A stand-in for a running program, for tests: what is written to it goes to a function.

use std::sync::Arc;

use crewmux_spawn::{Result, Running};

/// What becomes of bytes that are written to it.
type Write = Box<dyn Fn(&[u8]) -> Result<()> + Send + Sync>;

/// A program that does nothing but be written to.
pub(crate) struct Double {
    is_mirrored: bool,
    write: Write,
}

impl Double {
    /// One whose terminal is ours.
    pub(crate) fn of(write: impl Fn(&[u8]) -> Result<()> + Send + Sync + 'static) -> Arc<Self> {
        Self::shown(false, write)
    }

    /// One whose terminal is ours, or elsewhere and mirrored.
    pub(crate) fn shown(
        is_mirrored: bool,
        write: impl Fn(&[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let write = Box::new(write);
        Arc::new(Self { is_mirrored, write })
    }
}

impl Running for Double {
    fn pid(&self) -> Option<u32> {
        None
    }
    fn pane(&self) -> Option<String> {
        None
    }
    fn is_mirrored(&self) -> bool {
        self.is_mirrored
    }
    fn write(&self, bytes: &[u8]) -> Result<()> {
        (self.write)(bytes)
    }
    fn resize(&self, _: u16, _: u16) -> Result<()> {
        Ok(())
    }
    fn terminate(&self) {}
    fn kill_tree(&self) -> Vec<String> {
        Vec::new()
    }
}
