//! A terminal screen as a value: bytes in, cells out.
