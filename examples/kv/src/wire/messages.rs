//! What nodes say to one another.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Wire, WireError};
use crate::record::{Entry, Record, Trace};
use crate::stamp::{Grant, Stamp};

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }

        impl Wire for $name {
            fn write(&self, out: &mut BytesMut) {
                $(self.$field.write(out);)*
            }
            fn read(from: &mut Bytes) -> Result<Self, WireError> {
                Ok(Self { $($field: Wire::read(from)?,)* })
            }
        }
    };
}

/// A request between nodes: its path, and what it is answered with.
pub(crate) trait Message: Wire {
    /// Below `/kv-peer/`.
    const PATH: &'static str;
    type Reply: Wire;
}

/// Who speaks to whom. Another cluster's node at an address that was ours is noticed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope<T> {
    pub(crate) cluster: u128,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) content: T,
}

impl<T: Wire> Wire for Envelope<T> {
    fn write(&self, out: &mut BytesMut) {
        self.cluster.write(out);
        self.from.write(out);
        self.to.write(out);
        self.content.write(out);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(Self {
            cluster: Wire::read(from)?,
            from: Wire::read(from)?,
            to: Wire::read(from)?,
            content: T::read(from)?,
        })
    }
}

/// Why a copy does not take what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It has seen a newer grant.
    #[error("a newer grant, {newest}, has been seen")]
    Fenced { newest: Grant },
    /// What came does not follow on what it has.
    #[error("the copy stands at {position}, which the records do not follow")]
    Gap { position: Stamp },
    /// It takes no more: too little space is left on its disk.
    #[error("too little space is left on the disk")]
    Full,
    /// The node does not serve the partition at this grant.
    #[error("the node does not serve the partition at this grant")]
    NotServing,
    /// As many records wait as may.
    #[error("as many records wait as may")]
    Busy,
    /// The records that are asked for are not kept any more.
    #[error("the records that are asked for are not kept any more")]
    Forgotten,
}

impl Wire for Refused {
    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Fenced { newest } => {
                out.put_u8(0);
                newest.write(out);
            }
            Self::Gap { position } => {
                out.put_u8(1);
                position.write(out);
            }
            Self::Full => out.put_u8(2),
            Self::NotServing => out.put_u8(3),
            Self::Busy => out.put_u8(4),
            Self::Forgotten => out.put_u8(5),
        }
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(match u8::read(from)? {
            0 => Self::Fenced {
                newest: Wire::read(from)?,
            },
            1 => Self::Gap {
                position: Wire::read(from)?,
            },
            2 => Self::Full,
            3 => Self::NotServing,
            4 => Self::Busy,
            5 => Self::Forgotten,
            tag => {
                let what = "refusal";
                return Err(WireError::Tag { what, tag });
            }
        })
    }
}

/// What was asked, or why not.
pub(crate) type Verdict<T> = Result<T, Refused>;

impl<T: Wire> Wire for Verdict<T> {
    fn write(&self, out: &mut BytesMut) {
        self.is_ok().write(out);
        match self {
            Ok(value) => value.write(out),
            Err(refused) => refused.write(out),
        }
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Ok(if bool::read(from)? {
            Ok(T::read(from)?)
        } else {
            Err(Refused::read(from)?)
        })
    }
}

impl Wire for Arc<Record> {
    fn write(&self, out: &mut BytesMut) {
        (**self).write(out);
    }
    fn read(from: &mut Bytes) -> Result<Self, WireError> {
        Record::read(from).map(Self::new)
    }
}

impl Wire for () {
    fn write(&self, _: &mut BytesMut) {}
    fn read(_: &mut Bytes) -> Result<Self, WireError> {
        Ok(())
    }
}

layout! {
    /// Records of one partition, in order, without a hole.
    Section {
        partition: u32,
        grant: Grant,
        /// The record they follow.
        after: Stamp,
        records: Vec<Arc<Record>>,
        /// Every replica has the records up to here.
        stable: u64,
    }
}

layout! {
    /// Records of many partitions.
    Append { sections: Vec<Section>, }
}

layout! {
    /// Where a copy stands now that the section is on its disk.
    Ack { position: Stamp, }
}

layout! {
    /// One verdict for each section, in their order.
    Sections { verdicts: Vec<Verdict<Ack>>, }
}

impl Message for Append {
    const PATH: &'static str = "append";
    type Reply = Sections;
}

layout! {
    /// Takes nothing of an older grant from now on, and says where it stands.
    Fenced { partition: u32, grant: Grant, }
}

layout! {
    /// Where a copy stands.
    Standing {
        position: Stamp,
        stable: u64,
        /// The records beyond `stable`, in order.
        traces: Vec<Trace>,
    }
}

impl Message for Fenced {
    const PATH: &'static str = "fence";
    type Reply = Verdict<Standing>;
}

layout! {
    /// Asks whether no newer grant has been seen.
    Covered { partition: u32, grant: Grant, }
}

impl Message for Covered {
    const PATH: &'static str = "covered";
    type Reply = Verdict<()>;
}

layout! {
    /// Asks for the records after one.
    Recent { partition: u32, grant: Grant, after: Stamp, }
}

impl Message for Recent {
    const PATH: &'static str = "recent";
    type Reply = Verdict<Vec<Arc<Record>>>;
}

layout! {
    /// A copy that is being made asks the primary for every record from now on.
    Attach {
        partition: u32,
        incarnation: u64,
        epoch: u64,
        transfer: u64,
        /// The copy's count of its attempts: whichever comes late is known by it.
        attempt: u64,
    }
}

layout! {
    /// The next record it gets follows `at`.
    Attached { grant: Grant, at: Stamp, }
}

impl Message for Attach {
    const PATH: &'static str = "attach";
    type Reply = Verdict<Attached>;
}

layout! {
    /// The copy is ready for records. Answered once everything up to where it attached is
    /// everywhere.
    Resume { partition: u32, grant: Grant, transfer: u64, attempt: u64, }
}

impl Message for Resume {
    const PATH: &'static str = "resume";
    type Reply = Verdict<()>;
}

layout! {
    /// A stretch of a copy: the keys after `start` up to `end`, and what is there.
    Chunk {
        partition: u32,
        /// The grant under which the copy is attached: only the primary of that one may answer.
        grant: Option<Grant>,
        start: Option<Bytes>,
        /// Absent: to the last key.
        end: Option<Bytes>,
        digest: u128,
    }
}

layout! {
    /// What the source has in it.
    Chunked {
        /// Where the source stood. Newer records are not in it.
        at: Stamp,
        /// The keys after the start up to this one are what follows; absent: to the last key.
        until: Option<Bytes>,
        /// Absent where both have the same.
        entries: Option<Vec<Entry>>,
        /// Bytes of keys and values in the whole copy.
        total: u64,
    }
}

impl Message for Chunk {
    const PATH: &'static str = "chunk";
    type Reply = Verdict<Chunked>;
}
