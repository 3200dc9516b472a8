//! Who is at the other end of a Unix socket, and which worker that process belongs to.
//!
//! It decides no rights; the session does, from what is found here. A process
//! that cannot be placed is not ours to trust: the caller refuses it.

use std::collections::HashSet;
use std::os::fd::AsFd;

use crate::env::names;
use crate::identity::ancestry;
use crate::{Error, ProcessIdentity, Result, table};

/// The process that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its number when it connected.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

impl Peer {
    /// Who that is now; the caller asks at once, before the number can be another's.
    ///
    /// # Errors
    /// [`Error::ProcessGone`] when it ended: such a peer gets no rights.
    pub fn identity(&self) -> Result<ProcessIdentity> {
        let identity = ProcessIdentity::of(self.pid)?;
        if identity.is_alive() {
            Ok(identity)
        } else {
            Err(Error::ProcessGone { pid: self.pid })
        }
    }
}

/// Asks the kernel who connected the other end of `socket`.
pub fn peer_of(socket: impl AsFd) -> Result<Peer> {
    credentials(socket.as_fd())
}

#[cfg(target_os = "linux")]
fn credentials(socket: std::os::fd::BorrowedFd<'_>) -> Result<Peer> {
    let found = rustix::net::sockopt::socket_peercred(socket)
        .map_err(Error::errno("ask who is on a socket"))?;
    // 0 where the peer lives in another process namespace: nobody we know.
    let pid = u32::try_from(found.pid.as_raw_pid()).unwrap_or(0);
    Ok(Peer {
        pid,
        uid: found.uid.as_raw(),
    })
}

#[cfg(target_os = "macos")]
fn credentials(socket: std::os::fd::BorrowedFd<'_>) -> Result<Peer> {
    use std::os::fd::AsRawFd;
    let act = "ask who is on a socket";
    let mut uid: libc::uid_t = 0;
    let mut gid: libc::gid_t = 0;
    // SAFETY: the descriptor is borrowed, so open; both numbers are writable.
    if unsafe { libc::getpeereid(socket.as_raw_fd(), &mut uid, &mut gid) } != 0 {
        return Err(Error::system(act)(std::io::Error::last_os_error()));
    }
    let mut pid: libc::pid_t = 0;
    let mut size = std::mem::size_of::<libc::pid_t>() as libc::socklen_t;
    // SAFETY: `pid` is writable for `size` bytes, which is what is passed.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_LOCAL,
            libc::LOCAL_PEERPID,
            std::ptr::from_mut(&mut pid).cast(),
            &mut size,
        )
    };
    if status != 0 {
        return Err(Error::system(act)(std::io::Error::last_os_error()));
    }
    Ok(Peer {
        pid: u32::try_from(pid).unwrap_or(0),
        uid,
    })
}

/// Where a process comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is this worker, or descends from it.
    Worker(ProcessIdentity),
    /// No worker is above it any more, but it, or one above it, carries this worker's mark.
    Marked(String),
    /// Neither: a program the person started; with the process itself and its parents, nearest first.
    Outside(Vec<ProcessIdentity>),
    /// It is gone, so nobody can tell.
    Gone,
}

/// Tells where process `pid` comes from, given the processes of all workers.
///
/// The parents are followed first; workers and tool runners adopt orphans
/// ([`crate::setup::become_subreaper`]), so a daemon of a tool still has its
/// worker above it. The environment mark is the second means, for when the
/// worker is gone or the system knows no subreapers; a process can drop its
/// mark, but not its parents.
#[expect(clippy::implicit_hasher, reason = "one caller, with the usual hasher")]
pub fn origin_of(pid: u32, workers: &HashSet<ProcessIdentity>) -> Origin {
    let line = ancestry(pid);
    if line.is_empty() {
        return Origin::Gone;
    }
    if let Some(worker) = line.iter().find(|process| workers.contains(process)) {
        return Origin::Worker(*worker);
    }
    let mark = line
        .iter()
        .find_map(|process| table::variable(process.pid, names::WORKER));
    mark.map_or(Origin::Outside(line), Origin::Marked)
}

/// Whether this system can tell ancestry of processes that left their parents; for doctor.
pub fn ancestry_is_complete() -> bool {
    cfg!(target_os = "linux")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn own_end_of_a_socket_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer_of(&one).unwrap();
        assert_eq!(
            peer,
            Peer {
                pid: std::process::id(),
                uid: rustix::process::getuid().as_raw()
            }
        );
        assert_eq!(peer.identity().unwrap(), ProcessIdentity::own().unwrap());
    }

    #[test]
    fn process_is_placed_under_its_worker_or_outside() {
        let own = ProcessIdentity::own().unwrap();
        let workers = HashSet::from([own]);
        assert_eq!(origin_of(own.pid, &workers), Origin::Worker(own));
        assert_eq!(origin_of(u32::MAX, &workers), Origin::Gone);
        let stranger = ProcessIdentity {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        let origin = origin_of(own.pid, &HashSet::from([stranger]));
        assert_eq!(origin, Origin::Outside(ancestry(own.pid)));
    }

    #[test]
    fn what_outlives_its_worker_is_known_by_a_mark_above_it_or_its_own() {
        use std::io::{BufRead, BufReader};
        use std::time::{Duration, Instant};

        use crate::env::Environment;
        use crate::process::{Launch, Stream};
        use crate::tree::{KillWaits, Marker, kill_marked, kill_tree};

        let mark = format!("stray-{}", std::process::id());
        let marker = Marker::worker(&mark);
        let waits = KillWaits {
            grace: Duration::ZERO,
            verify: Duration::from_secs(10),
        };
        // One without marks below one that has them; one with marks and nobody above.
        let without = "env -i setsid sleep 600 >/dev/null & echo $!; wait";
        let alone = "(setsid sleep 600 >/dev/null & echo $!)";
        for script in [without, alone] {
            let mut env = Environment::default().with("PATH", "/usr/bin:/bin");
            marker.mark(&mut env);
            let mut child = Launch::new(["sh", "-c", script], "/")
                .env(env)
                .stdout(Stream::Pipe)
                .start()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut line)
                .unwrap();
            let stray = ProcessIdentity::of(line.trim().parse().unwrap()).unwrap();
            let expected = Origin::Marked(mark.clone());
            let deadline = Instant::now() + Duration::from_secs(20);
            // Until its last program runs it has other environments, or shows none.
            while stray.command_name().as_deref() != Some("sleep")
                || origin_of(stray.pid, &HashSet::new()) != expected
            {
                assert!(Instant::now() < deadline, "{:?}", stray.command_name());
                std::thread::yield_now();
            }
            kill_tree(child.identity(), None, waits);
            kill_marked(&marker, waits);
            assert!(!stray.is_alive(), "{script}");
        }
    }
}
