//! Bytes from and to a socket: greeting, hello, frames.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ck_core::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::codec::{self, FRAME_BYTES_MAX, Frame, GREETING_BYTES, VERSION};
use crate::{PeerId, Service, TransportError, WireError};

use super::socket::{ReadHalf, Socket, WriteHalf};

/// Read at once, at most; the buffer grows with what has arrived.
const READ_BYTES: usize = 16 * 1024;

/// How long a refused connection is kept, so that the refusal is not lost in a reset.
const LINGER: Duration = Duration::from_millis(500);

/// Frames from a socket.
pub(super) struct FrameReader<R> {
    socket: R,
    address: String,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(socket: R, address: String) -> Self {
        Self {
            socket,
            address,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame. Cancel-safe: no byte is lost.
    ///
    /// # Errors
    /// [`TransportError::Timeout`] after `silence_max` without a byte,
    /// [`TransportError::Malformed`], or [`TransportError::Closed`].
    pub(super) async fn next(&mut self, silence_max: Duration) -> Result<Frame, TransportError> {
        loop {
            if let Some(frame) = self.buffered().map_err(|source| self.malformed(source))? {
                return Ok(frame);
            }
            match timeout(silence_max, self.fill()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(address = self.address, %error, "reading ended");
                    return Err(TransportError::Closed);
                }
                Err(_) => {
                    let address = self.address.clone();
                    return Err(TransportError::Timeout {
                        address,
                        after: silence_max,
                    });
                }
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(prefix) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let length = codec::frame_length(*prefix)?;
        let Some(bytes) = self.buffer[prefix.len()..].get(..length) else {
            return Ok(None);
        };
        let frame = codec::decode(bytes)?;
        self.buffer.advance(prefix.len() + length);
        Ok(Some(frame))
    }

    async fn fill(&mut self) -> io::Result<()> {
        debug_assert!(
            self.buffer.len() < size_of::<u32>() + FRAME_BYTES_MAX,
            "a frame was whole"
        );
        self.buffer.reserve(READ_BYTES);
        match self.socket.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The version in the peer's greeting.
    async fn greeting(&mut self) -> Result<u16, Failure> {
        while self.buffer.len() < GREETING_BYTES {
            self.fill().await?;
        }
        let bytes = self
            .buffer
            .first_chunk()
            .expect("a whole greeting has been read");
        let version = codec::read_greeting(bytes).map_err(|source| self.malformed(source))?;
        self.buffer.advance(GREETING_BYTES);
        Ok(version)
    }

    async fn first_frame(&mut self) -> Result<Frame, Failure> {
        loop {
            if let Some(frame) = self.buffered().map_err(|source| self.malformed(source))? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    fn malformed(&self, source: WireError) -> TransportError {
        TransportError::Malformed {
            address: self.address.clone(),
            source,
        }
    }
}

/// Why no hello came about.
pub(super) enum Failure {
    /// The connection failed.
    Io(io::Error),
    /// The peer, or this side, refuses.
    Refused(TransportError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    pub(super) fn at(self, address: &str) -> TransportError {
        match self {
            Self::Io(error) => TransportError::Unreachable {
                address: address.to_owned(),
                source: Arc::new(error),
            },
            Self::Refused(error) => error,
        }
    }
}

/// The hello of the side that dials: says who it is first. The caller checks the cluster.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    reader: &mut FrameReader<S>,
    me: PeerId,
    expects: Option<u64>,
    certified: Option<&NodeId>,
) -> Result<PeerId, Failure> {
    write_hello(&mut reader.socket, &Frame::Hello { me, expects }).await?;
    let version = reader.greeting().await?;
    check_version(&reader.address, version)?;
    match reader.first_frame().await? {
        Frame::Hello { me: peer, .. } => {
            peer.check_node(&reader.address, certified)?;
            Ok(peer)
        }
        Frame::Full { limit } => Err(TransportError::Busy { limit }.into()),
        frame => Err(reader.malformed(frame.unexpected()).into()),
    }
}

/// The hello of the side that accepts: answers even a peer it then refuses, so that both can name
/// the reason.
pub(super) async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    reader: &mut FrameReader<S>,
    me: PeerId,
    service: &dyn Service,
    certified: Option<&NodeId>,
) -> Result<PeerId, Failure> {
    let version = reader.greeting().await?;
    if let Err(refused) = check_version(&reader.address, version) {
        reader.socket.write_all(&codec::greeting()).await?;
        reader.socket.flush().await?;
        linger(&mut reader.socket).await;
        return Err(refused.into());
    }
    let (peer, expects) = match reader.first_frame().await? {
        Frame::Hello { me, expects } => (me, expects),
        frame => return Err(reader.malformed(frame.unexpected()).into()),
    };
    // Before anything is made of what it says: it may be anybody's words.
    peer.check_node(&reader.address, certified)?;
    let verdict = me.check_cluster(&reader.address, &peer);
    if verdict.is_err() {
        service.stranger(&peer, expects);
    }
    write_hello(&mut reader.socket, &Frame::Hello { me, expects: None }).await?;
    verdict?;
    Ok(peer)
}

/// Tells a peer that there is no room for its connection.
pub(super) async fn turn_away(mut socket: TcpStream, limit: u64) {
    let told = async {
        write_hello(&mut socket, &Frame::Full { limit }).await?;
        linger(&mut socket).await;
        Ok::<(), Failure>(())
    };
    // A peer that does not take it in time learns as much from the closed connection.
    let _ = timeout(2 * LINGER, told).await;
}

/// Splits a connection that has said hello.
pub(super) fn split(reader: FrameReader<Socket>) -> (FrameReader<ReadHalf>, WriteHalf) {
    let FrameReader {
        socket,
        address,
        buffer,
    } = reader;
    let (read, write) = socket.split();
    (
        FrameReader {
            socket: read,
            address,
            buffer,
        },
        write,
    )
}

async fn write_hello<W: AsyncWrite + Unpin>(socket: &mut W, frame: &Frame) -> Result<(), Failure> {
    let mut out = BytesMut::from(&codec::greeting()[..]);
    codec::encode(frame, &mut out)?;
    socket.write_all(&out).await?;
    socket.flush().await?;
    Ok(())
}

/// Ends the writing half and reads what is under way: closing a socket with unread bytes resets it,
/// and the peer would lose what it was told.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) {
    let drained = async {
        socket.shutdown().await?;
        let mut room = [0; 1024];
        for _ in 0..128 {
            if socket.read(&mut room).await? == 0 {
                break;
            }
        }
        Ok::<(), io::Error>(())
    };
    // The peer may be gone already; then nothing is lost.
    let _ = timeout(LINGER, drained).await;
}

fn check_version(address: &str, got: u16) -> Result<(), TransportError> {
    if got == VERSION {
        return Ok(());
    }
    Err(TransportError::Version {
        address: address.to_owned(),
        got,
        supported: VERSION,
    })
}
