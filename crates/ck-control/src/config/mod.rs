//! Configuration of the cluster: in the log, the same on every node.

mod change;

pub use change::{ConfigChange, ConfigChoices, Conflict};

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use ck_core::spec::{PARTITIONS_MAX, REPLICATION_FACTOR_MAX};
use ck_core::topology::NODES_MAX;
use ck_core::{KeyHash, Spec};
use serde::{Deserialize, Serialize};

/// Most bytes a custom value may be configured to have: 1 MiB.
pub const CUSTOM_VALUE_BYTES_MAX: u32 = 1 << 20;

/// How much the cluster promises about who may act.
///
/// Ordered: each mode promises what the ones below it do.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Routes only: a primary is a hint.
    Advisory,
    /// One line of grants, and no two live ownerships at once as long as clock rates hold.
    Leased,
    /// As leased, and resources refuse stale tokens.
    #[default]
    Fenced,
}

impl Mode {
    /// The name used in configuration, JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::Leased => "leased",
            Self::Fenced => "fenced",
        }
    }
}

/// A set of lease and election times that fit together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// One data centre: a lease of 2 s.
    #[default]
    Lan,
    /// One rack, quiet machines: a lease of 0.5 s.
    Fast,
    /// Between regions: a lease of 10 s.
    Wan,
}

impl Profile {
    /// The name used in configuration, JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Fast => "fast",
            Self::Wan => "wan",
        }
    }

    /// Length of a lease in this profile, in milliseconds.
    #[must_use]
    pub const fn lease_ms(self) -> u64 {
        match self {
            Self::Lan => 2_000,
            Self::Fast => 500,
            Self::Wan => 10_000,
        }
    }
}

/// A word that names none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {what}; use {allowed}")]
pub struct UnknownChoice {
    /// What was being read: `mode`, `profile`.
    pub what: &'static str,
    /// The word as given, at most 64 characters of it.
    pub value: String,
    /// The words that are accepted.
    pub allowed: &'static str,
}

impl FromStr for Mode {
    type Err = UnknownChoice;
    fn from_str(value: &str) -> Result<Self, UnknownChoice> {
        [Self::Advisory, Self::Leased, Self::Fenced]
            .into_iter()
            .find(|mode| mode.name() == value)
            .ok_or_else(|| UnknownChoice {
                what: "mode",
                value: value.chars().take(64).collect(),
                allowed: "advisory, leased or fenced",
            })
    }
}

impl FromStr for Profile {
    type Err = UnknownChoice;
    fn from_str(value: &str) -> Result<Self, UnknownChoice> {
        [Self::Lan, Self::Fast, Self::Wan]
            .into_iter()
            .find(|profile| profile.name() == value)
            .ok_or_else(|| UnknownChoice {
                what: "profile",
                value: value.chars().take(64).collect(),
                allowed: "lan, fast or wan",
            })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How long a session may act without renewing, and how far clocks are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseTerms {
    /// The set of times this came from. Default `lan`.
    pub profile: Profile,
    /// Length of a lease in milliseconds, 100 to 600,000; renewed every fifth of it. Default: the
    /// profile's. A shorter one makes failover faster and tolerates less delay.
    pub lease_ms: u64,
    /// How far a clock's rate may be off real time, in parts per million, 0 to 500,000.
    /// Default 50,000 (5 %).
    pub rho_ppm: u32,
    /// Time a machine may be frozen without its clock counting it, in milliseconds, at most
    /// 600,000; every failover waits that much longer. Default 0.
    pub freeze_allowance_ms: u64,
}

impl LeaseTerms {
    /// The terms of a profile: its lease, ρ of 5 %, no freeze allowance.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        Self {
            profile,
            lease_ms: profile.lease_ms(),
            rho_ppm: 50_000,
            freeze_allowance_ms: 0,
        }
    }
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

/// Configuration of the cluster.
///
/// Written into the log when the cluster forms; what a [`ConfigChange`] names can be changed while
/// it runs, the rest is fixed. [`Config::check`] holds for every configuration in a [`State`].
///
/// [`State`]: crate::State
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of partitions, 1 to 2^24, fixed. Default 64.
    pub partitions: u32,
    /// Copies of each partition, 1 to 16. Default 3.
    pub replication_factor: u8,
    /// Distinct failure domains the copies must touch, 1 to the replication factor. Default 1.
    pub spread: u8,
    /// How keys are mapped to partitions, fixed. Default `xxh3`.
    pub hash: KeyHash,
    /// What is promised about who may act. Default `fenced`.
    pub mode: Mode,
    /// Lease terms. Default profile `lan`.
    pub lease: LeaseTerms,
    /// In-sync copies below which planned work never goes, 1 to the replication factor. Default 2,
    /// or 1 with a replication factor of 1.
    pub min_in_sync: u8,
    /// Time a lost node has to come back before its copies are made again elsewhere, in
    /// milliseconds, at most a day. Default 60,000.
    pub rejoin_grace_ms: u64,
    /// Time without a join before an automatic rebalance, in milliseconds, at most an hour.
    /// Default 5,000.
    pub settle_ms: u64,
    /// Whether partitions are created once as many nodes as the replication factor have joined.
    /// Default true.
    pub auto_create: bool,
    /// Whether joins, losses and drains rebalance by themselves. Default true.
    pub auto_rebalance: bool,
    /// Voting members: 1, 3 or 5; all others learn. Default 3.
    pub voters: u8,
    /// Planned moves a node takes part in at a time, each way, 1 to 64. Default 2.
    pub max_transfers_per_node: u8,
    /// Most members, 1 to 65,536. Default 4,096.
    pub members_max: u32,
    /// Most bytes of a custom value, 1 to 1 MiB. Default 1 MiB.
    pub custom_value_bytes_max: u32,
    /// Most custom keys, 0 to 1,000,000. Default 10,000.
    pub custom_keys_max: u32,
    /// Most bytes of all custom keys and values together, at most 1 GiB. Default 64 MiB.
    pub custom_bytes_max: u64,
    /// Entries of history kept, 0 to 100,000. Default 1,000.
    pub history_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            partitions: 64,
            replication_factor: 3,
            spread: 1,
            hash: KeyHash::default(),
            mode: Mode::default(),
            lease: LeaseTerms::default(),
            min_in_sync: 2,
            rejoin_grace_ms: 60_000,
            settle_ms: 5_000,
            auto_create: true,
            auto_rebalance: true,
            voters: 3,
            max_transfers_per_node: 2,
            members_max: 4_096,
            custom_value_bytes_max: CUSTOM_VALUE_BYTES_MAX,
            custom_keys_max: 10_000,
            custom_bytes_max: 64 << 20,
            history_max: 1_000,
        }
    }
}

/// Why a configuration was refused. Every message names the field and the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("{field} {got} is out of range; use {min} to {max}")]
    Range {
        /// The field.
        field: String,
        /// The value as given.
        got: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
    },
    /// A number exceeds another field, which bounds it.
    #[error("{field} {got} exceeds {bound} {max}; lower the one or raise the other")]
    Exceeds {
        /// The field.
        field: String,
        /// The value as given.
        got: u64,
        /// The field that bounds it.
        bound: String,
        /// Its value.
        max: u64,
    },
    /// An even or too large number of voters.
    #[error("voters {got} is not a number of voters; use 1, 3 or 5")]
    Voters {
        /// The value as given.
        got: u8,
    },
    /// A change that names no field.
    #[error("the change names no field; name at least one")]
    NoField,
}

fn range(field: &str, got: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(ConfigError::Range {
        field: field.to_string(),
        got,
        min,
        max,
    })
}

fn at_most(field: &str, got: u8, bound: &str, max: u8) -> Result<(), ConfigError> {
    if got <= max {
        return Ok(());
    }
    Err(ConfigError::Exceeds {
        field: field.to_string(),
        got: got.into(),
        bound: bound.to_string(),
        max: max.into(),
    })
}

impl Config {
    /// Checks every field, and the fields against each other.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is wrong, its value and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let factor = self.replication_factor;
        range(
            "partitions",
            self.partitions.into(),
            1,
            PARTITIONS_MAX.into(),
        )?;
        range(
            "replication_factor",
            factor.into(),
            1,
            REPLICATION_FACTOR_MAX.into(),
        )?;
        range(
            "spread",
            self.spread.into(),
            1,
            REPLICATION_FACTOR_MAX.into(),
        )?;
        at_most("spread", self.spread, "replication_factor", factor)?;
        range(
            "min_in_sync",
            self.min_in_sync.into(),
            1,
            REPLICATION_FACTOR_MAX.into(),
        )?;
        at_most(
            "min_in_sync",
            self.min_in_sync,
            "replication_factor",
            factor,
        )?;
        range("lease_ms", self.lease.lease_ms, 100, 600_000)?;
        range("rho_ppm", self.lease.rho_ppm.into(), 0, 500_000)?;
        range(
            "freeze_allowance_ms",
            self.lease.freeze_allowance_ms,
            0,
            600_000,
        )?;
        range("rejoin_grace_ms", self.rejoin_grace_ms, 0, 86_400_000)?;
        range("settle_ms", self.settle_ms, 0, 3_600_000)?;
        if !matches!(self.voters, 1 | 3 | 5) {
            return Err(ConfigError::Voters { got: self.voters });
        }
        range(
            "max_transfers_per_node",
            self.max_transfers_per_node.into(),
            1,
            64,
        )?;
        range("members_max", self.members_max.into(), 1, NODES_MAX as u64)?;
        range(
            "custom_value_bytes_max",
            self.custom_value_bytes_max.into(),
            1,
            CUSTOM_VALUE_BYTES_MAX.into(),
        )?;
        range("custom_keys_max", self.custom_keys_max.into(), 0, 1_000_000)?;
        range("custom_bytes_max", self.custom_bytes_max, 0, 1 << 30)?;
        range("history_max", self.history_max.into(), 0, 100_000)
    }

    /// What a placement has to satisfy.
    ///
    /// # Panics
    /// When the configuration does not pass [`Config::check`].
    #[must_use]
    pub fn spec(&self) -> Spec {
        Spec::new(self.partitions, self.replication_factor, self.spread)
            .expect("a configuration is checked before it is used")
    }
}

#[cfg(test)]
mod tests;
