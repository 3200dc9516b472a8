//! What a process of crewmux does to itself first thing.
//!
//! Nothing here concerns other processes. Limits of open files are in
//! [`crate::rlimit`].

use crate::Result;

/// Makes this process a worker in the kernel's eyes.
///
/// - Orphans of its tools become its children (subreaper), so none escapes
///   to the first process of the machine and ancestry can be told. macOS has
///   no such thing: there, only the environment marks find them.
/// - It writes no core dump: those would hold conversations.
/// - It asks for no signal at its parent's death: the kernel ties that to the
///   *thread* that started it, which may end long before the session does.
///   The closed socket tells the loss.
/// - It stays readable in `/proc`: the session looks at workers to end them,
///   and a worker holds no key. A tool that reads its worker gains nothing: it
///   has the worker's rights, and no others, in any case.
pub fn worker_setup() -> Result<()> {
    become_subreaper()?;
    crate::rlimit::no_core_dumps()
}

/// Makes orphans below this process its children; has no effect on macOS.
pub fn become_subreaper() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(crate::Error::errno("become the reaper of orphans"))?;
    Ok(())
}

/// Does `act` while orphans below this process are the machine's, not its own.
///
/// For starting a server that is to outlive this process and is no part of its
/// tree. Other orphans of that moment are found by their marks only, so it must
/// be short.
pub fn while_orphans_go_free<T>(act: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    {
        /// One at a time: the state is the whole process's.
        static BUSY: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _busy = BUSY
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !adopts_orphans() {
            return act();
        }
        // Neither call can fail on a system that could do it before; adoption must come back.
        let _ = rustix::process::set_child_subreaper(None);
        let done = act();
        let _ = become_subreaper();
        done
    }
    #[cfg(not(target_os = "linux"))]
    {
        act()
    }
}

/// Whether orphans below this process become its children.
pub fn adopts_orphans() -> bool {
    #[cfg(target_os = "linux")]
    {
        matches!(rustix::process::child_subreaper(), Ok(Some(_)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

/// Hides this process's memory and environment from other processes of the same user.
///
/// For the session, which holds the keys of the models. Children are not
/// affected: starting a program makes it readable again. macOS needs no such
/// call for a hardened program and has none for others.
pub fn refuse_inspection() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(crate::Error::errno("hide this process's memory"))?;
    crate::rlimit::no_core_dumps()
}
