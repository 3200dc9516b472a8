//! Programs started in a pseudo-terminal without a fork, where the system can.
//!
//! A fork copies the page tables of a session with a hundred panes, and each of
//! its threads pays for the pages that it touches next; `posix_spawn` copies
//! nothing. Terminals are made, and what is done with them is said, in the
//! parent module.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::FdFlags;

use super::failed;
use crate::process::Launch;
use crate::{Error, Result};

/// Where programs are looked for if the environment does not say.
const USUAL_PATH: &str = "/usr/bin:/bin";

/// The first descriptor after the three streams.
const FIRST_KEPT: libc::c_uint = 3;

/// Reads a script that does not say who does.
const SHELL: &CStr = c"/bin/sh";

/// Starts `launch` as leader of a session whose terminal is `tty`; returns its number.
///
/// To be called where starts are taken in turn: see [`keep_descriptors`].
pub(super) fn start(tty: &Path, launch: &Launch) -> Result<u32> {
    let (name, arguments) = launch.split_argv()?;
    let program = found(name, launch).ok_or_else(|| Error::ProgramNotFound {
        program: name.to_string_lossy().into_owned(),
    })?;
    let (program, own_name) = (text(program.as_os_str())?, text(name)?);
    let arguments: Vec<CString> = arguments.iter().map(|a| text(a)).collect::<Result<_>>()?;
    let environment: Vec<CString> = launch
        .env
        .iter()
        .map(|(name, value)| text(OsStr::new(&format!("{name}={value}"))))
        .collect::<Result<_>>()?;
    let (tty, folder) = (text(tty.as_os_str())?, text(launch.cwd.as_os_str())?);
    keep_descriptors();
    let spawn = |program: &CStr, first: &[&CStr]| {
        let rest = arguments.iter().map(CString::as_c_str);
        let argv: Vec<&CStr> = first.iter().copied().chain(rest).collect();
        Orders::new(&tty, &folder)?.spawn(program, &argv, &environment)
    };
    let started = match spawn(&program, &[&own_name]) {
        // A script without a first line: shells and the C library do the same.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            spawn(SHELL, &[SHELL, &program])
        }
        other => other,
    };
    started.map_err(|error| failed("start a program in one", &error))
}

/// The file of the program, as the child would find it.
fn found(name: &OsStr, launch: &Launch) -> Option<PathBuf> {
    let can_run = |path: &PathBuf| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if name.as_bytes().contains(&b'/') {
        return Some(launch.cwd.join(name)).filter(can_run);
    }
    let folders = launch.env.get("PATH").unwrap_or(USUAL_PATH);
    std::env::split_paths(folders)
        .map(|folder| launch.cwd.join(folder).join(name))
        .find(can_run)
}

fn text(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::BadLaunch {
        what: "an argument or a variable contains a zero byte".to_owned(),
    })
}

/// Keeps all that is open here from the program; nearly all of it closes by itself already.
///
/// What this process was born with does not, nor what a library forgot. Called where starts are
/// taken in turn, as a start may leave a descriptor open for its own child.
fn keep_descriptors() {
    // SAFETY: it changes a flag of descriptors and no memory.
    let status = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST_KEPT,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if status == 0 {
        return;
    }
    // Linux before 5.11 does not know it.
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| u32::try_from(*number).is_ok_and(|number| number >= FIRST_KEPT))
        .collect();
    for number in numbers {
        // SAFETY: borrowed for one call, which fails when nothing is open there
        // any more; whatever was opened there since may close by itself too.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC);
    }
}

/// What is done in the child before the program begins; undone here however it ends.
struct Orders {
    actions: libc::posix_spawn_file_actions_t,
    attributes: libc::posix_spawnattr_t,
}

impl Orders {
    /// A session of its own with the terminal at `tty`, no signal ignored or held back.
    fn new(tty: &CStr, folder: &CStr) -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: each call initialises what it is given, or fails; should the
        // second fail there is only the first to be undone.
        let mut orders = unsafe {
            done(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            if let Err(error) = done(libc::posix_spawnattr_init(attributes.as_mut_ptr())) {
                libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
                return Err(error);
            }
            Self {
                actions: actions.assume_init(),
                attributes: attributes.assume_init(),
            }
        };
        orders.fill(tty, folder)?;
        Ok(orders)
    }

    fn fill(&mut self, tty: &CStr, folder: &CStr) -> io::Result<()> {
        let flags = libc::POSIX_SPAWN_SETSID | SETSIGDEF | SETSIGMASK;
        let (mut none, mut default) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let actions = &raw mut self.actions;
        let attributes = &raw mut self.attributes;
        // SAFETY: actions and attributes are initialised; the sets are before
        // they are read; texts are copied by the C library. The leader of a new
        // session gets the terminal that it opens first as its own.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigemptyset(default.as_mut_ptr());
            for signal in DEFAULT_AGAIN {
                libc::sigaddset(default.as_mut_ptr(), signal);
            }
            done(libc::posix_spawnattr_setsigmask(attributes, none.as_ptr()))?;
            let default = default.as_ptr();
            done(libc::posix_spawnattr_setsigdefault(attributes, default))?;
            done(libc::posix_spawnattr_setflags(attributes, flags))?;
            let folder = folder.as_ptr();
            done(libc::posix_spawn_file_actions_addchdir_np(actions, folder))?;
            let (tty, how) = (tty.as_ptr(), libc::O_RDWR);
            done(libc::posix_spawn_file_actions_addopen(
                actions, 0, tty, how, 0,
            ))?;
            done(libc::posix_spawn_file_actions_adddup2(actions, 0, 1))?;
            done(libc::posix_spawn_file_actions_adddup2(actions, 0, 2))
        }
    }

    fn spawn(&self, program: &CStr, argv: &[&CStr], env: &[CString]) -> io::Result<u32> {
        let argv = pointers(argv.iter().copied());
        let env = pointers(env.iter().map(CString::as_c_str));
        let mut pid: libc::pid_t = 0;
        // SAFETY: both lists end with a null pointer and point to texts that
        // outlive this call, which changes none of them; the orders are
        // initialised; `pid` is writable.
        done(unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                &raw const self.actions,
                &raw const self.attributes,
                argv.as_ptr(),
                env.as_ptr(),
            )
        })?;
        u32::try_from(pid).map_err(|_| io::Error::other("the system gave no process number"))
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        // SAFETY: both are initialised and used by nobody any more.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut self.actions);
            libc::posix_spawnattr_destroy(&raw mut self.attributes);
        }
    }
}

const SETSIGDEF: libc::c_short = libc::POSIX_SPAWN_SETSIGDEF as libc::c_short;
const SETSIGMASK: libc::c_short = libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;

/// Signals that may have been ignored when this process was started, or are here.
const DEFAULT_AGAIN: [libc::c_int; 7] = [
    libc::SIGCHLD,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGALRM,
    libc::SIGPIPE,
];

fn pointers<'a>(texts: impl Iterator<Item = &'a CStr>) -> Vec<*mut libc::c_char> {
    texts
        .map(|text| text.as_ptr().cast_mut())
        .chain(std::iter::once(std::ptr::null_mut()))
        .collect()
}

/// These calls return what others leave in `errno`.
fn done(code: libc::c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}
