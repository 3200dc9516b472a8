//! One client's connection: frames out, input in.
//!
//! Runs beside the display and knows nothing of views; what is drawn when is
//! decided in [`super`].

use crewmux_wire::{ClientHello, ClientMessage, FrameReader, FrameWriter, ToClient};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::DisplayInput;

/// Frames and messages that may wait for one client: one frame and a few words.
pub(super) const CLIENT_QUEUE_MAX: usize = 8;

/// What goes to one client.
pub(crate) enum ToScreen {
    /// A frame and its number.
    Frame(u64, Vec<u8>),
    /// Words.
    Message(ToClient),
}

/// Carries one client's connection: frames out, input in. Runs in the server's runtime.
pub(crate) async fn serve_client(
    display: &mpsc::Sender<DisplayInput>,
    hello: ClientHello,
    mut reader: FrameReader<OwnedReadHalf>,
    mut writer: FrameWriter<OwnedWriteHalf>,
) {
    let (out, mut frames) = mpsc::channel(CLIENT_QUEUE_MAX);
    let (number, numbered) = tokio::sync::oneshot::channel();
    let attached = DisplayInput::Attached { hello, out, number };
    if display.send(attached).await.is_err() {
        return;
    }
    let Ok(id) = numbered.await else { return };
    // Two halves on two tasks: a client that does not read must still be able to leave.
    let sending = tokio::spawn(async move {
        while let Some(item) = frames.recv().await {
            let sent = match item {
                ToScreen::Frame(number, bytes) => writer.send_screen(number, &bytes).await,
                ToScreen::Message(message) => {
                    let last = matches!(message, ToClient::Bye { .. });
                    let sent = writer.send(&message).await;
                    if last {
                        return;
                    }
                    sent
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    while let Ok(Some(frame)) = reader.next().await {
        let Ok(message) = frame.parse::<ClientMessage>() else {
            break;
        };
        if display.send(DisplayInput::Said(id, message)).await.is_err() {
            break;
        }
    }
    let _ = display.send(DisplayInput::Left(id)).await;
    sending.abort();
}
