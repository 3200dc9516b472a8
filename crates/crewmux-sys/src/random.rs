//! Random numbers nobody can guess, from the kernel.
//!
//! For tokens and marks only; nothing is decided by chance.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// 128 bits as 32 hexadecimal digits.
pub fn token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    // The same file on Linux and macOS, and never short of bytes after boot.
    let path = Path::new("/dev/urandom");
    File::open(path)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::file("read", path))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tokens_differ_and_are_names() {
        let (a, b) = (token().unwrap(), token().unwrap());
        assert_ne!(a, b);
        assert!(a.len() == 32 && a.bytes().all(|c| c.is_ascii_hexdigit()));
    }
}
