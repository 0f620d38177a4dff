//! Bounded streams of bytes that accompany a request or a reply.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::TransportError;
use crate::limits::CHUNK_BYTES_MAX;

/// A stream of chunks with an explicit end.
///
/// A stream whose writer went away early ends in an error, never in a silent `None`: what was cut
/// off is not taken for complete. Chunks are at most 64 KiB once they have travelled.
///
/// ```
/// use ck_transport::Body;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ck_transport::TransportError> {
/// let (mut writer, mut body) = Body::channel(4);
/// writer.send("one".into()).await?;
/// writer.finish().await?;
/// assert_eq!(body.next_chunk().await.transpose()?, Some("one".into()));
/// assert!(body.next_chunk().await.is_none());
/// # Ok(()) }
/// ```
pub struct Body(Source);

enum Source {
    Bytes(Bytes),
    Channel(mpsc::Receiver<Item>),
    Ended,
}

enum Item {
    Chunk(Bytes),
    End,
    Failed(TransportError),
}

impl Body {
    /// A body that is already in memory, handed out in chunks without copying.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Source::Bytes(bytes.into()))
    }

    /// A body and its writer, with room for `capacity` chunks (at least 1) between them.
    #[must_use]
    pub fn channel(capacity: usize) -> (BodyWriter, Self) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (BodyWriter { sender }, Self(Source::Channel(receiver)))
    }

    /// The next chunk; `None` after the last one, and after an error.
    ///
    /// Cancel-safe: a chunk is not lost when the future is dropped.
    ///
    /// # Errors
    /// [`TransportError::Closed`] when the writer or the connection went away before the end,
    /// [`TransportError::Timeout`] when the sender stalled, or the error the writer failed with.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, TransportError>> {
        let item = match &mut self.0 {
            Source::Ended => return None,
            Source::Bytes(bytes) if bytes.is_empty() => Some(Item::End),
            Source::Bytes(bytes) => {
                return Some(Ok(bytes.split_to(bytes.len().min(CHUNK_BYTES_MAX))));
            }
            Source::Channel(receiver) => receiver.recv().await,
        };
        let last = match item {
            Some(Item::Chunk(chunk)) => return Some(Ok(chunk)),
            Some(Item::End) => None,
            Some(Item::Failed(error)) => Some(Err(error)),
            None => Some(Err(TransportError::Closed)),
        };
        self.0 = Source::Ended;
        last
    }

    /// All that is left, when it is at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`TransportError::FrameTooLarge`] when it is more; else as [`Self::next_chunk`].
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, TransportError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next_chunk().await {
            let chunk = chunk?;
            let got = all.len() + chunk.len();
            if got > bytes_max {
                let (got, limit) = (got as u64, bytes_max as u64);
                return Err(TransportError::FrameTooLarge { got, limit });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Source::Channel(_) => f.write_str("Body(stream)"),
            Source::Ended => f.write_str("Body(ended)"),
        }
    }
}

/// Cuts a chunk into pieces that fit in a frame, without copying. An empty chunk has none.
pub(crate) fn pieces(mut chunk: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = chunk.len().min(CHUNK_BYTES_MAX);
        (length > 0).then(|| chunk.split_to(length))
    })
}

/// The writing end of a [`Body`]. Dropping it before [`finish`](Self::finish) cuts the body off.
#[derive(Debug)]
pub struct BodyWriter {
    sender: mpsc::Sender<Item>,
}

impl BodyWriter {
    /// Hands over one chunk, waiting until there is room.
    ///
    /// # Errors
    /// [`TransportError::Closed`] when the reader has gone.
    pub async fn send(&mut self, chunk: Bytes) -> Result<(), TransportError> {
        self.put(Item::Chunk(chunk)).await
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`TransportError::Closed`] when the reader has gone.
    pub async fn finish(self) -> Result<(), TransportError> {
        self.put(Item::End).await
    }

    /// Ends the body with an error. A reader in another process sees [`TransportError::Closed`].
    pub async fn fail(self, error: TransportError) {
        // A reader that has gone has no use for the reason.
        let _ = self.put(Item::Failed(error)).await;
    }

    /// Resolves when the reader has gone.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    async fn put(&self, item: Item) -> Result<(), TransportError> {
        self.sender
            .send(item)
            .await
            .map_err(|_| TransportError::Closed)
    }
}
