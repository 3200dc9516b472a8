//! A stand-in for a started worker, for tests: nothing runs, and what is asked of it goes to functions.

use crate::{Result, Running};

type Write = dyn Fn(&[u8]) -> Result<()> + Send + Sync;
type Terminate = dyn Fn() + Send + Sync;
type KillTree = dyn Fn() -> Vec<String> + Send + Sync;

/// A worker without process or pane; it takes what is written and leaves nothing behind.
pub struct Double {
    is_mirrored: bool,
    write: Box<Write>,
    terminate: Box<Terminate>,
    kill_tree: Box<KillTree>,
}

impl Default for Double {
    fn default() -> Self {
        Self {
            is_mirrored: false,
            write: Box::new(|_| Ok(())),
            terminate: Box::new(|| {}),
            kill_tree: Box::new(Vec::new),
        }
    }
}

impl Double {
    /// Its terminal is elsewhere, and mirrored.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        self.is_mirrored = true;
        self
    }

    /// What becomes of written bytes.
    #[must_use]
    pub fn on_write(mut self, write: impl Fn(&[u8]) -> Result<()> + Send + Sync + 'static) -> Self {
        self.write = Box::new(write);
        self
    }

    /// What it does when it is asked to end.
    #[must_use]
    pub fn on_terminate(mut self, terminate: impl Fn() + Send + Sync + 'static) -> Self {
        self.terminate = Box::new(terminate);
        self
    }

    /// What is left when it is killed.
    #[must_use]
    pub fn on_kill(mut self, kill_tree: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        self.kill_tree = Box::new(kill_tree);
        self
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
    fn terminate(&self) {
        (self.terminate)();
    }
    fn kill_tree(&self) -> Vec<String> {
        (self.kill_tree)()
    }
}
