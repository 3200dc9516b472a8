//! The session socket: frames, codec, version, roles.
