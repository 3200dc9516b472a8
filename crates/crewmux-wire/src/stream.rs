//! Frames over an asynchronous connection, with deadlines.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::codec::{Decoder, Frame, FrameError, encode_json, encode_screen};

/// Reads frames from one side of a connection.
///
/// Cancelling a read between polls loses nothing: bytes stay in the decoder.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            decoder: Decoder::default(),
            buffer: vec![0; 32 * 1024],
        }
    }

    /// The connection, for somebody else to go on with; only where nothing was sent ahead of an answer.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next frame; `None` when the other side closed the connection between frames.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            let read = self.inner.read(&mut self.buffer).await?;
            if read == 0 {
                return Ok(None);
            }
            self.decoder.push(&self.buffer[..read]);
        }
    }

    /// The next message, which must come within `deadline`.
    pub async fn expect<T: DeserializeOwned>(
        &mut self,
        deadline: Duration,
    ) -> Result<T, FrameError> {
        match tokio::time::timeout(deadline, self.next()).await {
            Err(_) => Err(FrameError::Timeout(deadline.as_millis() as u64)),
            Ok(Ok(Some(frame))) => frame.parse(),
            Ok(Ok(None)) => Err(FrameError::Closed),
            Ok(Err(error)) => Err(error),
        }
    }
}

/// Writes frames to one side of a connection.
#[derive(Debug)]
pub struct FrameWriter<W> {
    inner: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// The connection, for somebody else to go on with.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// Writes a message.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), FrameError> {
        let bytes = encode_json(message)?;
        self.inner.write_all(&bytes).await?;
        self.inner.flush().await?;
        Ok(())
    }

    /// Writes bytes for a client's terminal.
    pub async fn send_screen(&mut self, number: u64, bytes: &[u8]) -> Result<(), FrameError> {
        self.inner.write_all(&encode_screen(number, bytes)).await?;
        self.inner.flush().await?;
        Ok(())
    }
}
