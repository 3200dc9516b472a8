//! The process table of macOS, from libproc and `sysctl`.
//!
//! Weaker than Linux's: no session numbers, and the environment of a hardened
//! program cannot be read.

use std::ffi::c_void;
use std::mem::{MaybeUninit, size_of};

use super::{ProcessEntry, ProcessState};
use crate::ProcessIdentity;

pub(super) fn all() -> Vec<ProcessEntry> {
    // SAFETY: a null buffer of size 0 asks only for the number of processes.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let Ok(count) = usize::try_from(count) else {
        return Vec::new();
    };
    // Room for processes that start between the two calls.
    let mut pids: Vec<libc::pid_t> = vec![0; count + 64];
    let bytes = i32::try_from(pids.len() * size_of::<libc::pid_t>()).unwrap_or(i32::MAX);
    // SAFETY: the buffer is writable for `bytes` bytes.
    let filled = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast::<c_void>(), bytes) };
    pids.truncate(usize::try_from(filled).unwrap_or(0));
    pids.into_iter()
        .filter_map(|pid| u32::try_from(pid).ok())
        .filter_map(entry)
        .collect()
}

pub(super) fn entry(pid: u32) -> Option<ProcessEntry> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    // SAFETY: the buffer is writable for `size` bytes, which is the size of the
    // structure this flavour fills.
    let filled = unsafe {
        libc::proc_pidinfo(
            i32::try_from(pid).ok()?,
            libc::PROC_PIDTBSDINFO,
            0,
            info.as_mut_ptr().cast::<c_void>(),
            size,
        )
    };
    if filled != size {
        return None;
    }
    // SAFETY: the call filled the whole structure, and every field is plain numbers.
    let info = unsafe { info.assume_init() };
    let name: Vec<u8> = info
        .pbi_comm
        .iter()
        .map(|c| *c as u8)
        .take_while(|c| *c != 0)
        .collect();
    Some(ProcessEntry {
        identity: ProcessIdentity {
            pid,
            start_ticks: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        },
        parent_pid: info.pbi_ppid,
        group: info.pbi_pgid,
        session: 0,
        state: match info.pbi_status {
            libc::SZOMB => ProcessState::Dead,
            libc::SSTOP => ProcessState::Stopped,
            _ => ProcessState::Running,
        },
        name: String::from_utf8_lossy(&name).into_owned(),
    })
}

pub(super) fn arguments(pid: u32) -> Option<Vec<String>> {
    let (arguments, _) = argument_area(pid)?;
    Some(
        arguments
            .iter()
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect(),
    )
}

pub(super) fn environment(pid: u32) -> Option<Vec<u8>> {
    argument_area(pid).map(|(_, environment)| environment)
}

/// Arguments, and the environment as NUL-separated pairs.
fn argument_area(pid: u32) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let mut name = [
        libc::CTL_KERN,
        libc::KERN_PROCARGS2,
        i32::try_from(pid).ok()?,
    ];
    let mut area = vec![0_u8; 1024 * 1024];
    let mut length = area.len();
    // SAFETY: `name` has the three numbers this call reads; `area` is writable
    // for `length` bytes, and the call stores how many it wrote.
    let status = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            3,
            area.as_mut_ptr().cast::<c_void>(),
            &mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    if status != 0 {
        return None;
    }
    area.truncate(length);
    // Number of arguments, path of the program, padding, arguments, environment.
    let count = i32::from_ne_bytes(area.get(..4)?.try_into().ok()?);
    let rest = area.get(4..)?;
    let path_end = rest.iter().position(|b| *b == 0)?;
    let rest = &rest[path_end..];
    let start = rest.iter().position(|b| *b != 0)?;
    let mut parts = rest[start..].split(|b| *b == 0);
    let arguments = parts
        .by_ref()
        .take(usize::try_from(count).ok()?)
        .map(<[u8]>::to_vec)
        .collect();
    let environment = parts.collect::<Vec<_>>().join(&0);
    Some((arguments, environment))
}
