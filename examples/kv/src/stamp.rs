//! Where a record stands: who may write, and which record it is.

use std::fmt;

use ck_node::Ownership;

/// One term of serving a partition: ordered, and no two are ever the same.
///
/// The incarnation and the epoch are those of the fencing token. A node that is told to serve again
/// at the same epoch, because its lease lapsed and came back, begins another round: what was under
/// way in the round before must not be mistaken for the new one's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// The cluster's incarnation.
    pub incarnation: u64,
    /// The partition's epoch, from 1.
    pub epoch: u64,
    /// Which time the node serves at this epoch, from 1.
    pub round: u32,
}

impl Grant {
    /// What a fencing token names of it: incarnation and epoch, whatever the round.
    pub(crate) const fn term(self) -> (u64, u64) {
        (self.incarnation, self.epoch)
    }

    /// Whether an ownership is of this epoch, whatever the round.
    #[must_use]
    pub fn is_of(&self, own: &Ownership) -> bool {
        let token = own.token();
        (self.incarnation, self.epoch) == (token.incarnation.0, token.epoch.0)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.incarnation, self.epoch, self.round)
    }
}

/// A record's place in the one line of records of its partition.
///
/// The number goes on across grants, so a record at a number is the only one there in a line; the
/// grant tells two lines apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Who wrote it.
    pub grant: Grant,
    /// Its number, from 1; 0 stands before every record.
    pub seq: u64,
}

impl Stamp {
    /// Before every record.
    pub const ZERO: Self = Self {
        grant: Grant {
            incarnation: 0,
            epoch: 0,
            round: 0,
        },
        seq: 0,
    };

    /// What stands in an `ETag`, in quotes: incarnation, epoch and number. A number that was lost, or
    /// taken back by a restore, is given again; never in the same incarnation and epoch.
    #[must_use]
    pub fn etag(&self) -> String {
        let Grant {
            incarnation, epoch, ..
        } = self.grant;
        format!("\"{incarnation}.{epoch}.{}\"", self.seq)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.grant, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a restore, or a forced recovery, epochs and numbers may be given once more.
    #[test]
    fn a_tag_of_another_incarnation_is_another_tag() {
        let stamp = |incarnation| Stamp {
            grant: Grant {
                incarnation,
                epoch: 4,
                round: 1,
            },
            seq: 7,
        };
        assert_eq!(stamp(1).etag(), "\"1.4.7\"");
        assert_ne!(stamp(1).etag(), stamp(2).etag());
        // It is of the record, whatever the round it was written in.
        let mut later = stamp(1);
        later.grant.round = 2;
        assert_eq!(stamp(1).etag(), later.etag());
    }
}
