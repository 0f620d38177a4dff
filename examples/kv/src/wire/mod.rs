//! Bytes between nodes and on the disk: numbers in little-endian, lengths before what they measure.
//!
//! A frame ends with a checksum of all before it. A length is compared with what is left before
//! anything is taken for it, so a damaged frame is an error and never an allocation.

mod messages;

pub(crate) use messages::{
    Ack, Append, Attach, Attached, Chunk, Chunked, Covered, Envelope, Fenced, Message, Recent,
    Refused, Resume, Section, Sections, Standing, Verdict,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Effect, Entry, Record, Trace};
use crate::stamp::{Grant, Stamp};

/// Why bytes were not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// They end too early.
    #[error("{left} bytes are left where {wanted} are announced; the bytes are damaged")]
    Short {
        /// Bytes that are left.
        left: usize,
        /// Bytes that should be there.
        wanted: usize,
    },
    /// They are another number than they were.
    #[error("the checksum is {found:016x} where {wanted:016x} is announced; the bytes are damaged")]
    Checksum {
        /// What the bytes give.
        found: u64,
        /// What was sent.
        wanted: u64,
    },
    /// A tag that means nothing.
    #[error("{tag} is no {what} of format {FORMAT}; the bytes are damaged, or of a newer version")]
    Tag {
        /// What was expected.
        what: &'static str,
        /// The number found.
        tag: u8,
    },
    /// Bytes are left over.
    #[error("{left} bytes are left over; the bytes are damaged")]
    Trailing {
        /// How many.
        left: usize,
    },
}

/// The layout this version writes and reads, on the wire and on the disk.
pub(crate) const FORMAT: u8 = 1;

/// Something with a layout.
pub(crate) trait Wire: Sized {
    fn write(&self, out: &mut BytesMut);
    fn read(from: &mut Bytes) -> Result<Self, WireError>;
}

/// A frame: format, content, checksum.
pub(crate) fn frame(content: &impl Wire) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.put_u8(FORMAT);
    content.write(&mut out);
    out.put_u64_le(xxh3_64(&out));
    out.freeze()
}

/// The content of a frame.
pub(crate) fn unframe<T: Wire>(mut frame: Bytes) -> Result<T, WireError> {
    const AROUND: usize = 9;
    if frame.len() < AROUND {
        return Err(WireError::Short {
            left: frame.len(),
            wanted: AROUND,
        });
    }
    let mut sum = frame.split_off(frame.len() - 8);
    let (found, wanted) = (xxh3_64(&frame), sum.get_u64_le());
    if found != wanted {
        return Err(WireError::Checksum { found, wanted });
    }
    let tag = frame.get_u8();
    if tag != FORMAT {
        return Err(WireError::Tag { what: "frame", tag });
    }
    let content = T::read(&mut frame)?;
    if !frame.is_empty() {
        return Err(WireError::Trailing { left: frame.len() });
    }
    Ok(content)
}

/// Checks that so many bytes are left.
pub(crate) fn need(from: &Bytes, wanted: usize) -> Result<(), WireError> {
    let left = from.len();
    if left < wanted {
        return Err(WireError::Short { left, wanted });
    }
    Ok(())
}

macro_rules! number {
    ($($type:ty, $put:ident, $take:ident;)*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
            fn read(from: &mut Bytes) -> Result<Self, WireError> {
                need(from, size_of::<Self>())?;
                Ok(from.$take())
            }
        }
    )*};
}

number! {
    u8, put_u8, get_u8;
    u32, put_u32_le, get_u32_le;
    u64, put_u64_le, get_u64_le;
    u128, put_u128_le, get_u128_le;
}

impl Wire for bool {
    fn write(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        match u8::read(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(WireError::Tag {
                what: "yes or no",
                tag,
            }),
        }
    }
}

impl Wire for Bytes {
    fn write(&self, out: &mut BytesMut) {
        out.put_u32_le(u32::try_from(self.len()).expect("keys, values and frames are below 4 GiB"));
        out.put_slice(self);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        let length = u32::read(from)? as usize;
        need(from, length)?;
        Ok(from.split_to(length))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, out: &mut BytesMut) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        bool::read(from)?.then(|| T::read(from)).transpose()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, out: &mut BytesMut) {
        out.put_u32_le(u32::try_from(self.len()).expect("lists are bounded where they are made"));
        for one in self {
            one.write(out);
        }
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        let count = u32::read(from)? as usize;
        // Everything in a list takes at least a byte, so this bounds what is taken for it.
        need(from, count)?;
        let mut all = Self::with_capacity(count.min(1_024));
        for _ in 0..count {
            all.push(T::read(from)?);
        }
        Ok(all)
    }
}

impl Wire for Grant {
    fn write(&self, out: &mut BytesMut) {
        self.incarnation.write(out);
        self.epoch.write(out);
        self.round.write(out);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(Self {
            incarnation: u64::read(from)?,
            epoch: u64::read(from)?,
            round: u32::read(from)?,
        })
    }
}

impl Wire for Stamp {
    fn write(&self, out: &mut BytesMut) {
        self.grant.write(out);
        self.seq.write(out);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(Self {
            grant: Grant::read(from)?,
            seq: u64::read(from)?,
        })
    }
}

impl Wire for Record {
    fn write(&self, out: &mut BytesMut) {
        self.stamp.write(out);
        self.key.write(out);
        match &self.effect {
            Effect::Put(value) => {
                out.put_u8(0);
                value.write(out);
            }
            Effect::Delete => out.put_u8(1),
            Effect::Superseded => out.put_u8(2),
        }
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(Self {
            stamp: Stamp::read(from)?,
            key: Bytes::read(from)?,
            effect: match u8::read(from)? {
                0 => Effect::Put(Bytes::read(from)?),
                1 => Effect::Delete,
                2 => Effect::Superseded,
                tag => {
                    let what = "effect of a record";
                    return Err(WireError::Tag { what, tag });
                }
            },
        })
    }
}

impl Wire for Trace {
    fn write(&self, out: &mut BytesMut) {
        self.stamp.write(out);
        self.key.write(out);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(Self {
            stamp: Stamp::read(from)?,
            key: Bytes::read(from)?,
        })
    }
}

impl Wire for Entry {
    fn write(&self, out: &mut BytesMut) {
        self.key.write(out);
        self.stamp.write(out);
        self.value.write(out);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(Self {
            key: Bytes::read(from)?,
            stamp: Stamp::read(from)?,
            value: Bytes::read(from)?,
        })
    }
}

#[cfg(test)]
mod tests;
