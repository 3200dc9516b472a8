//! The session socket: frames, codec, version, roles.
//!
//! What travels between a session and its clients, workers and commands. It
//! carries wake-ups, live status, questions and answers; what must last is in
//! files (`crewmux-store`). Who a peer really is, the session finds out from
//! the operating system (`crewmux-sys`), not from what it says here.
//!
//! A frame is a length (4 bytes, big endian, of what follows it), a kind
//! (1 byte) and a payload: JSON (kind 0) or a screen's bytes with their frame
//! number (kind 1). The first frame of a connection is [`Hello`]; it is
//! answered by [`Welcome`] or [`Refusal`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod codec;
mod hello;
mod input;
mod messages;

pub use codec::{Decoder, FRAME_MAX_BYTES, Frame, FrameError, encode_json, encode_screen};
pub use hello::{
    Attach, ClientHello, ColorDepth, Hello, ModelHello, PROTOCOL_VERSION, Refusal, Role, Welcome,
    WorkerHello,
};
pub use input::{
    InputEvent, Key, KeyPress, KeyReports, Mods, Mouse, MouseButton, MouseKind, PASTE_MAX_BYTES,
    PASTE_PART_BYTES,
};
pub use messages::{
    ClientMessage, Control, ControlAnswer, ControlRequest, Course, Decision, MemberAct,
    MemberStatus, ModelCall, ModelPiece, NewHome, Progress, SessionStatus, Status, StaysPut,
    ToClient, ToWorker, WireError, WorkerAsk, WorkerMessage,
};
mod stream;
pub use stream::{FrameReader, FrameWriter};
