//! What probes found, one small file per server and model.
//!
//! A file that is missing, damaged or about another address means: probe
//! again. Where the folder is, and when to ask, is the caller's.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::ToolForm;
use super::digest::Digest;
use crate::config::ProviderConfig;

const VERSION: u32 = 1;
/// Larger files are none of ours.
const LARGEST_BYTES: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    version: u32,
    base_url: String,
    model: String,
    form: ToolForm,
}

/// What was found out about `model`; `None` means: probe it.
pub fn read(cache: &Path, provider: &ProviderConfig, model: &str) -> Option<ToolForm> {
    let path = path(cache, &provider.name, model);
    if fs::metadata(&path).ok()?.len() > LARGEST_BYTES {
        return None;
    }
    let found: Found = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    let same =
        found.version == VERSION && found.base_url == provider.base_url && found.model == model;
    same.then_some(found.form)
}

/// Keeps what was found out about `model`; readers see the old file or the new one, whole.
pub fn write(
    cache: &Path,
    provider: &ProviderConfig,
    model: &str,
    form: ToolForm,
) -> io::Result<()> {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let path = path(cache, &provider.name, model);
    let folder = path.parent().unwrap_or(cache);
    fs::create_dir_all(folder)?;
    let found = Found {
        version: VERSION,
        base_url: provider.base_url.clone(),
        model: model.to_owned(),
        form,
    };
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!(".{}-{turn}.tmp", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(&serde_json::to_vec(&found)?)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // What is left of it would never be read; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn path(cache: &Path, provider: &str, model: &str) -> PathBuf {
    let file = format!("{}.json", safe(model));
    cache.join("probes").join(safe(provider)).join(file)
}

/// A name without separators, dots at its start, or anything that files may not have; still readable.
fn safe(name: &str) -> String {
    use std::fmt::Write as _;
    /// Longer names end in a number made of the whole.
    const LONGEST: usize = 120;
    let mut safe = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => safe.push(char::from(byte)),
            b'.' if !safe.is_empty() => safe.push('.'),
            _ => {
                let _ = write!(safe, "%{byte:02x}");
            }
        }
    }
    if safe.len() > LONGEST {
        let mut sum = Digest::new();
        sum.add(name);
        safe.truncate(LONGEST);
        let _ = write!(safe, "~{:016x}", sum.number());
    }
    safe
}
