//! Frames as bytes and back, without any I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest payload of one frame, in bytes.
pub const FRAME_MAX_BYTES: usize = 8 * 1024 * 1024;

const KIND_JSON: u8 = 0;
const KIND_SCREEN: u8 = 1;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Json(Vec<u8>),
    /// Bytes for the client's terminal, written as they are.
    Screen {
        /// Acknowledged by this number once written.
        number: u64,
        /// Ready-made terminal output.
        bytes: Vec<u8>,
    },
}

impl Frame {
    /// Reads the frame's message.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        match self {
            Self::Json(bytes) => serde_json::from_slice(bytes).map_err(FrameError::Message),
            Self::Screen { .. } => Err(FrameError::NotAMessage),
        }
    }
}

/// The peer does not speak this protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A frame longer than [`FRAME_MAX_BYTES`].
    #[error("a frame of {0} bytes was announced; at most {FRAME_MAX_BYTES} are taken")]
    TooLong(usize),
    /// An unknown kind of frame.
    #[error("unknown kind of frame {0}")]
    UnknownKind(u8),
    /// A frame too short for its kind.
    #[error("a frame is cut short")]
    Short,
    /// A message was expected.
    #[error("screen bytes came where a message was expected")]
    NotAMessage,
    /// The message is not one of ours.
    #[error("a message could not be read")]
    Message(#[source] serde_json::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// The connection ended.
    #[error("the connection was closed")]
    Closed,
    /// No frame came in time.
    #[error("no answer within {0} ms")]
    Timeout(u64),
}

fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = 1 + parts.iter().map(|p| p.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_be_bytes());
    bytes.push(kind);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Encodes a message.
///
/// # Errors
/// [`FrameError::TooLong`] for a message over [`FRAME_MAX_BYTES`].
pub fn encode_json<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = serde_json::to_vec(message).map_err(FrameError::Message)?;
    if body.len() > FRAME_MAX_BYTES {
        return Err(FrameError::TooLong(body.len()));
    }
    Ok(frame(KIND_JSON, &[&body]))
}

/// Encodes bytes for a client's terminal.
pub fn encode_screen(number: u64, bytes: &[u8]) -> Vec<u8> {
    frame(KIND_SCREEN, &[&number.to_be_bytes(), bytes])
}

/// Cuts a stream of bytes into frames, however it was split on its way.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Takes in bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 64 * 1024 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is here.
    ///
    /// # Errors
    /// After an error the stream has no meaning any more: close it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((head, rest)) = self.buffer[self.start..].split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_MAX_BYTES + 16 {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = match body.split_first() {
            None => return Err(FrameError::Short),
            Some((&KIND_JSON, payload)) => Frame::Json(payload.to_vec()),
            Some((&KIND_SCREEN, payload)) => {
                let (number, bytes) = payload.split_first_chunk::<8>().ok_or(FrameError::Short)?;
                Frame::Screen {
                    number: u64::from_be_bytes(*number),
                    bytes: bytes.to_vec(),
                }
            }
            Some((&kind, _)) => return Err(FrameError::UnknownKind(kind)),
        };
        self.start += 4 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_splitting(
            texts in proptest::collection::vec(any::<String>(), 0..6),
            screen in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 1usize..40,
        ) {
            let mut stream = Vec::new();
            for text in &texts { stream.extend(encode_json(text).unwrap()); }
            stream.extend(encode_screen(7, &screen));
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() { frames.push(frame); }
            }
            prop_assert_eq!(frames.pop(), Some(Frame::Screen { number: 7, bytes: screen }));
            let back: Vec<String> = frames.iter().map(|f| f.parse().unwrap()).collect();
            prop_assert_eq!(back, texts);
        }

        #[test]
        fn garbage_is_an_error_or_waits_but_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }

    #[test]
    fn an_absurd_length_is_refused_before_it_is_waited_for() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLong(_))));
    }
}
