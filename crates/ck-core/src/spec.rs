//! What a placement has to satisfy.

use serde::{Deserialize, Serialize};

/// Most partitions a table may have: 2^24.
pub const PARTITIONS_MAX: u32 = 1 << 24;

/// Most copies of a partition.
pub const REPLICATION_FACTOR_MAX: u8 = 16;

/// Partition count, copies of each, and how far they must be spread.
///
/// ```
/// use ck_core::Spec;
/// let spec = Spec::new(64, 3, 2)?;
/// assert_eq!(spec.partitions(), 64);
/// assert!(Spec::new(64, 3, 4).is_err());
/// # Ok::<(), ck_core::SpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "SpecFields", into = "SpecFields")]
pub struct Spec {
    partitions: u32,
    replication_factor: u8,
    spread: u8,
    strict: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecFields {
    partitions: u32,
    replication_factor: u8,
    #[serde(default = "spread_default")]
    spread: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    strict: bool,
}

fn spread_default() -> u8 {
    1
}

fn is_default(strict: &bool) -> bool {
    !strict
}

impl TryFrom<SpecFields> for Spec {
    type Error = SpecError;
    fn try_from(fields: SpecFields) -> Result<Self, SpecError> {
        let spec = Self::new(fields.partitions, fields.replication_factor, fields.spread)?;
        Ok(spec.with_strict(fields.strict))
    }
}

impl From<Spec> for SpecFields {
    fn from(spec: Spec) -> Self {
        Self {
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
            spread: spec.spread,
            strict: spec.strict,
        }
    }
}

/// Why a spec was refused. Every message names the field and the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Partition count out of range.
    #[error("partitions {got} is out of range; use 1 to {PARTITIONS_MAX}")]
    Partitions {
        /// The count as given.
        got: u32,
    },
    /// Replication factor out of range.
    #[error("replication_factor {got} is out of range; use 1 to {REPLICATION_FACTOR_MAX}")]
    ReplicationFactor {
        /// The factor as given.
        got: u8,
    },
    /// Spread out of range.
    #[error("spread {got} is out of range; use 1 to the replication factor, {replication_factor}")]
    Spread {
        /// The spread as given.
        got: u8,
        /// The replication factor, which bounds it.
        replication_factor: u8,
    },
}

impl Spec {
    /// A spec of `partitions`, `replication_factor` copies each, touching at least `spread`
    /// distinct failure domains.
    ///
    /// # Errors
    /// [`SpecError`] names the first value that is out of range.
    pub fn new(partitions: u32, replication_factor: u8, spread: u8) -> Result<Self, SpecError> {
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(SpecError::Partitions { got: partitions });
        }
        if replication_factor == 0 || replication_factor > REPLICATION_FACTOR_MAX {
            return Err(SpecError::ReplicationFactor {
                got: replication_factor,
            });
        }
        if spread == 0 || spread > replication_factor {
            return Err(SpecError::Spread {
                got: spread,
                replication_factor,
            });
        }
        Ok(Self {
            partitions,
            replication_factor,
            spread,
            strict: false,
        })
    }

    /// The same spec, with the most loaded node as little loaded as quota allows. Default false.
    ///
    /// Every node still holds its quota rounded down or up; with `strict`, of all ways to round
    /// only those count whose largest ratio of copies to weight is the least. Costs a few more
    /// moves, and matters where weights are small beside the shares they lead to.
    #[must_use]
    pub const fn with_strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Whether the most loaded node is to be as little loaded as quota allows.
    #[must_use]
    pub const fn strict(&self) -> bool {
        self.strict
    }

    /// The same spec for the rows of a table that exists; its count was checked when it was built.
    pub(crate) const fn with_partitions(self, partitions: u32) -> Self {
        Self { partitions, ..self }
    }

    /// Number of partitions, 1 to 2^24.
    #[must_use]
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Copies of each partition, the primary's included.
    #[must_use]
    pub const fn replication_factor(&self) -> u8 {
        self.replication_factor
    }

    /// Distinct failure domains the copies of a partition must touch.
    #[must_use]
    pub const fn spread(&self) -> u8 {
        self.spread
    }
}
