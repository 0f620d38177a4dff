//! What a placement has to satisfy.

use serde::{Deserialize, Serialize};

/// Most partitions a table may have: 2^24.
pub const PARTITIONS_MAX: u32 = 1 << 24;

/// Most copies of a partition.
pub const REPLICATION_FACTOR_MAX: u8 = 16;

/// Largest tolerance: as much as the share itself.
pub const TOLERANCE_PERMILLE_MAX: u16 = 1000;

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
    evenness: Evenness,
}

/// How near to its exact share the copies of every node have to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evenness {
    /// The share rounded down or up: the quota.
    #[default]
    Quota,
    /// Of all ways to round, one whose largest ratio of copies to weight is the least.
    Strict,
    /// Up to that many thousandths of the share below or above it, then rounded down or up.
    Tolerance {
        /// 1 to 1000.
        permille: u16,
    },
    /// At most what the least possible largest ratio of copies to weight allows, and nothing at
    /// least: the objective of Garage's layout. A node that joins may stay empty.
    LeastMaximum,
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
    #[serde(default, skip_serializing_if = "is_default")]
    tolerance_permille: u16,
    #[serde(default, skip_serializing_if = "is_default")]
    least_maximum: bool,
}

fn spread_default() -> u8 {
    1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<SpecFields> for Spec {
    type Error = SpecError;
    fn try_from(fields: SpecFields) -> Result<Self, SpecError> {
        let spec = Self::new(fields.partitions, fields.replication_factor, fields.spread)?;
        let (strict, permille) = (fields.strict, fields.tolerance_permille);
        let asked = [strict, permille > 0, fields.least_maximum];
        if asked.into_iter().filter(|asked| *asked).count() > 1 {
            return Err(SpecError::Evenness);
        }
        let spec = spec.with_strict(strict).with_tolerance(permille)?;
        Ok(if fields.least_maximum {
            spec.with_least_maximum()
        } else {
            spec
        })
    }
}

impl From<Spec> for SpecFields {
    fn from(spec: Spec) -> Self {
        Self {
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
            spread: spec.spread,
            strict: spec.strict(),
            tolerance_permille: spec.tolerance_permille(),
            least_maximum: spec.evenness == Evenness::LeastMaximum,
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
    /// Tolerance out of range.
    #[error("tolerance_permille {got} is out of range; use 0 to {TOLERANCE_PERMILLE_MAX}")]
    Tolerance {
        /// The tolerance as given.
        got: u16,
    },
    /// More than one of the fields that say how even a placement has to be.
    #[error("strict, tolerance_permille and least_maximum exclude one another; give one of them")]
    Evenness,
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
            evenness: Evenness::Quota,
        })
    }

    /// The same spec with another number of copies, touching another number of failure domains.
    ///
    /// # Errors
    /// As [`Spec::new`].
    pub fn with_copies(self, replication_factor: u8, spread: u8) -> Result<Self, SpecError> {
        let spec = Self::new(self.partitions, replication_factor, spread)?;
        Ok(Self {
            evenness: self.evenness,
            ..spec
        })
    }

    /// The same spec, with the most loaded node as little loaded as quota allows. Default false.
    ///
    /// Every node still holds its quota rounded down or up; with `strict`, of all ways to round
    /// only those count whose largest ratio of copies to weight is the least. Costs a few more
    /// moves, and matters where weights are small beside the shares they lead to.
    #[must_use]
    pub fn with_strict(self, strict: bool) -> Self {
        let evenness = match self.evenness {
            _ if strict => Evenness::Strict,
            Evenness::Strict => Evenness::Quota,
            other => other,
        };
        Self { evenness, ..self }
    }

    /// The same spec, with counts up to `permille` thousandths of a node's share beside it, so that
    /// fewer copies may have to move; 0 leaves the spec as it is, 1000 is the most.
    ///
    /// A node whose share is q holds ⌊q × (1000 − t) / 1000⌋ to ⌈q × (1000 + t) / 1000⌉ copies, no
    /// more than one of each partition nor than its `max_copies`; and of primaries a replication
    /// factor's part of either, rounded down and up, which can be had with any rows. Within that,
    /// the fewest moves decide; a first placement is as even as without.
    ///
    /// # Errors
    /// [`SpecError::Tolerance`] above 1000.
    pub const fn with_tolerance(self, permille: u16) -> Result<Self, SpecError> {
        if permille > TOLERANCE_PERMILLE_MAX {
            return Err(SpecError::Tolerance { got: permille });
        }
        if permille == 0 {
            return Ok(self);
        }
        let evenness = Evenness::Tolerance { permille };
        Ok(Self { evenness, ..self })
    }

    /// The same spec with the quota in place of a tolerance.
    pub(crate) const fn without_tolerance(self) -> Self {
        match self.evenness {
            Evenness::Tolerance { .. } => Self {
                evenness: Evenness::Quota,
                ..self
            },
            _ => self,
        }
    }

    /// The same spec with [`Evenness::LeastMaximum`], to compare with.
    #[must_use]
    pub const fn with_least_maximum(self) -> Self {
        let evenness = Evenness::LeastMaximum;
        Self { evenness, ..self }
    }

    /// How near to its share the copies of every node have to be.
    #[must_use]
    pub const fn evenness(&self) -> Evenness {
        self.evenness
    }

    /// The tolerance in thousandths of a share, 0 without one.
    #[must_use]
    pub const fn tolerance_permille(&self) -> u16 {
        match self.evenness {
            Evenness::Tolerance { permille } => permille,
            _ => 0,
        }
    }

    /// Whether the most loaded node is to be as little loaded as quota allows.
    #[must_use]
    pub const fn strict(&self) -> bool {
        matches!(self.evenness, Evenness::Strict)
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
