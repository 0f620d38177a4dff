//! Frames and their bytes: the only place that knows the encoding.
//!
//! A connection begins with [`GREETING_BYTES`] from each side: eight bytes of magic and the version
//! of the protocol, big-endian. Frames follow, each a length (u32, big-endian) and that many bytes
//! of bincode. Frames are small: a payload longer than a chunk travels in pieces, so that nothing
//! waits behind it.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::limits::CHUNK_BYTES_MAX;
use crate::{PeerId, ServiceError, TransportError, WireError};

/// The version of the protocol that this code speaks.
pub(crate) const VERSION: u16 = 1;

/// What a peer's first bytes are.
pub(crate) const MAGIC: [u8; 8] = *b"ckpeer\r\n";

/// Length of the greeting: magic and version.
pub(crate) const GREETING_BYTES: usize = MAGIC.len() + size_of::<u16>();

/// Longest frame, in bytes: a chunk, and room for what says whose it is.
pub(crate) const FRAME_BYTES_MAX: usize = CHUNK_BYTES_MAX + 4096;

/// Longest message of a refusal that travels, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096 - 64;

/// What the two ends of a connection say to each other. The order of the variants is the format.
///
/// The side that dialled asks, the side that accepted answers. A request is known by its `id`,
/// which is never reused on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// First frame of each side: who it is.
    Hello {
        /// The side that speaks.
        me: PeerId,
        /// The member number the other side is expected to have, when it matters.
        expects: Option<u64>,
    },
    /// Instead of a hello: no room for another connection.
    Full { limit: u64 },
    /// Who the sender is from now on.
    Identify(PeerId),
    /// Nothing, to show that the sender lives.
    Ping,
    /// A request, or its beginning: `payload_bytes` in all, the first of them in `first`.
    Request {
        id: u64,
        kind: u16,
        deadline_ms: u64,
        payload_bytes: u64,
        body: bool,
        first: Bytes,
    },
    /// The answer, or its beginning.
    Reply {
        id: u64,
        payload_bytes: u64,
        body: bool,
        first: Bytes,
    },
    /// No answer.
    Refusal { id: u64, refusal: Refusal },
    /// More of a payload.
    Piece { id: u64, data: Bytes },
    /// More of a body.
    Chunk { id: u64, data: Bytes },
    /// The end of a body.
    End { id: u64 },
    /// A body that its writer cut off.
    Abort { id: u64 },
    /// The reader of a body took some chunks; as many more may be sent.
    Credit { id: u64, chunks: u32 },
    /// The reader of a body wants no more of it.
    Stop { id: u64 },
    /// The caller wants no answer, or no more of it.
    Cancel { id: u64 },
}

/// Why a request gets no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The service said no.
    Service(ServiceError),
    /// A limit of the answering side is reached.
    Busy { limit: u64 },
    /// The payload of the request, or of the reply, is over the answering side's limit.
    TooLarge { got: u64, limit: u64 },
}

impl Refusal {
    /// The refusal that tells the caller of `error`.
    pub(crate) fn of(error: &TransportError) -> Option<Self> {
        match error {
            TransportError::Busy { limit } => Some(Self::Busy { limit: *limit }),
            TransportError::FrameTooLarge { got, limit } => Some(Self::TooLarge {
                got: *got,
                limit: *limit,
            }),
            _ => None,
        }
    }

    /// A service's refusal, its message cut to what fits in a frame.
    pub(crate) fn service(mut error: ServiceError) -> Self {
        let mut end = error.message.len().min(MESSAGE_BYTES_MAX);
        while !error.message.is_char_boundary(end) {
            end -= 1;
        }
        error.message.truncate(end);
        Self::Service(error)
    }
}

impl From<Refusal> for TransportError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Service(ServiceError { code, message }) => Self::Refused { code, message },
            Refusal::Busy { limit } => Self::Busy { limit },
            Refusal::TooLarge { got, limit } => Self::FrameTooLarge { got, limit },
        }
    }
}

impl Frame {
    /// The kind of frame, for messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Full { .. } => "full",
            Self::Identify(_) => "identify",
            Self::Ping => "ping",
            Self::Request { .. } => "request",
            Self::Reply { .. } => "reply",
            Self::Refusal { .. } => "refusal",
            Self::Piece { .. } => "piece",
            Self::Chunk { .. } => "chunk",
            Self::End { .. } => "end",
            Self::Abort { .. } => "abort",
            Self::Credit { .. } => "credit",
            Self::Stop { .. } => "stop",
            Self::Cancel { .. } => "cancel",
        }
    }

    /// The request it belongs to; 0 when it belongs to the connection.
    pub(crate) const fn id(&self) -> u64 {
        match self {
            Self::Hello { .. } | Self::Full { .. } | Self::Identify(_) | Self::Ping => 0,
            Self::Request { id, .. }
            | Self::Reply { id, .. }
            | Self::Refusal { id, .. }
            | Self::Piece { id, .. }
            | Self::Chunk { id, .. }
            | Self::End { id }
            | Self::Abort { id }
            | Self::Credit { id, .. }
            | Self::Stop { id }
            | Self::Cancel { id } => *id,
        }
    }

    /// That this frame has no place where it was received.
    pub(crate) const fn unexpected(&self) -> WireError {
        WireError::Unexpected {
            frame: self.name(),
            id: self.id(),
        }
    }
}

const fn config() -> Configuration<LittleEndian, Varint, Limit<FRAME_BYTES_MAX>> {
    bincode::config::standard().with_limit::<FRAME_BYTES_MAX>()
}

/// What this side sends before its first frame.
pub(crate) fn greeting() -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[MAGIC.len()..].copy_from_slice(&VERSION.to_be_bytes());
    bytes
}

/// The version that a peer's greeting announces.
pub(crate) fn read_greeting(bytes: &[u8; GREETING_BYTES]) -> Result<u16, WireError> {
    let (magic, version) = bytes
        .split_first_chunk()
        .expect("a greeting begins with the magic");
    if *magic != MAGIC {
        return Err(WireError::Magic { got: *magic });
    }
    Ok(u16::from_be_bytes(
        version
            .try_into()
            .expect("a greeting ends with the version"),
    ))
}

/// Appends the frame, length first.
///
/// # Errors
/// [`TransportError::FrameTooLarge`] when an identity with an overlong name does not fit; nothing
/// is appended then. Everything else that is sent fits by construction.
pub(crate) fn encode(frame: &Frame, out: &mut BytesMut) -> Result<(), TransportError> {
    let begin = out.len();
    out.put_u32(0);
    let written = bincode::serde::encode_into_std_write(frame, &mut out.writer(), config());
    let length = out.len() - begin - size_of::<u32>();
    if written.is_err() || length > FRAME_BYTES_MAX {
        out.truncate(begin);
        let (got, limit) = (length as u64, FRAME_BYTES_MAX as u64);
        return Err(TransportError::FrameTooLarge { got, limit });
    }
    let length = u32::try_from(length).expect("the longest frame has a 32-bit length");
    out[begin..begin + size_of::<u32>()].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The length that a frame announces, checked before anything is allocated for it.
///
/// # Errors
/// [`WireError::Length`].
pub(crate) fn frame_length(prefix: [u8; 4]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(length) if length <= FRAME_BYTES_MAX => Ok(length),
        _ => Err(WireError::Length {
            got: u64::from(length),
            limit: FRAME_BYTES_MAX as u64,
        }),
    }
}

/// The frame that is all of `bytes`.
///
/// # Errors
/// [`WireError`] when they do not decode, or when some are left over.
pub(crate) fn decode(bytes: &[u8]) -> Result<Frame, WireError> {
    let (frame, used) = bincode::serde::decode_from_slice(bytes, config()).map_err(|error| {
        WireError::Undecodable {
            bytes: bytes.len(),
            reason: error.to_string(),
        }
    })?;
    if used != bytes.len() {
        return Err(WireError::Trailing {
            bytes: bytes.len(),
            left: bytes.len() - used,
        });
    }
    Ok(frame)
}

#[cfg(test)]
mod tests;
