use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ck_core::KeyHash;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, LeaseTerms, Mode, Profile};

/// What of the configuration can be changed while the cluster runs; an absent field stays.
///
/// The result is checked as a whole: a change that names two fields may pass where either alone
/// would not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigChange {
    /// See [`Config::replication_factor`].
    pub replication_factor: Option<u8>,
    /// See [`Config::spread`].
    pub spread: Option<u8>,
    /// See [`Config::min_in_sync`].
    pub min_in_sync: Option<u8>,
    /// See [`Config::rejoin_grace_ms`].
    pub rejoin_grace_ms: Option<u64>,
    /// See [`Config::settle_ms`].
    pub settle_ms: Option<u64>,
    /// See [`Config::auto_create`].
    pub auto_create: Option<bool>,
    /// See [`Config::auto_rebalance`].
    pub auto_rebalance: Option<bool>,
    /// See [`Config::voters`].
    pub voters: Option<u8>,
    /// See [`Config::max_transfers_per_node`].
    pub max_transfers_per_node: Option<u8>,
    /// See [`Config::members_max`].
    pub members_max: Option<u32>,
    /// See [`Config::custom_value_bytes_max`].
    pub custom_value_bytes_max: Option<u32>,
    /// See [`Config::custom_keys_max`].
    pub custom_keys_max: Option<u32>,
    /// See [`Config::custom_bytes_max`].
    pub custom_bytes_max: Option<u64>,
    /// See [`Config::history_max`].
    pub history_max: Option<u32>,
}

/// What a node was told about the configuration; an absent field adopts the cluster's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigChoices {
    /// See [`Config::partitions`].
    pub partitions: Option<u32>,
    /// See [`Config::replication_factor`].
    pub replication_factor: Option<u8>,
    /// See [`Config::spread`].
    pub spread: Option<u8>,
    /// See [`Config::hash`].
    pub hash: Option<KeyHash>,
    /// See [`Config::mode`].
    pub mode: Option<Mode>,
    /// See [`LeaseTerms::profile`].
    pub profile: Option<Profile>,
    /// See [`LeaseTerms::lease_ms`].
    pub lease_ms: Option<u64>,
    /// See [`LeaseTerms::rho_ppm`].
    pub rho_ppm: Option<u32>,
    /// See [`LeaseTerms::freeze_allowance_ms`].
    pub freeze_allowance_ms: Option<u64>,
    /// See [`Config::min_in_sync`].
    pub min_in_sync: Option<u8>,
    /// See [`Config::rejoin_grace_ms`].
    pub rejoin_grace_ms: Option<u64>,
    /// See [`Config::settle_ms`].
    pub settle_ms: Option<u64>,
    /// See [`Config::auto_create`].
    pub auto_create: Option<bool>,
    /// See [`Config::auto_rebalance`].
    pub auto_rebalance: Option<bool>,
    /// See [`Config::voters`].
    pub voters: Option<u8>,
}

/// A node was told another value than the cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field} {wanted} differs from the cluster's {actual}; use that or leave it out")]
pub struct Conflict {
    /// The field.
    pub field: String,
    /// The value the node was told.
    pub wanted: String,
    /// The value the cluster has.
    pub actual: String,
}

fn differs<T: PartialEq + ToString>(
    field: &str,
    wanted: Option<&T>,
    actual: &T,
) -> Option<Conflict> {
    let wanted = wanted.filter(|wanted| *wanted != actual)?;
    Some(Conflict {
        field: field.to_string(),
        wanted: wanted.to_string(),
        actual: actual.to_string(),
    })
}

impl Config {
    /// The configuration of a cluster that forms with these choices; an absent one is the default.
    ///
    /// An absent `lease_ms` is the profile's, an absent `min_in_sync` 2 or the replication factor,
    /// whichever is less, an absent `spread` 1.
    ///
    /// # Errors
    /// [`ConfigError`] as of [`Config::check`].
    pub fn from_choices(choices: &ConfigChoices) -> Result<Self, ConfigError> {
        let plain = Self::default();
        let lease = LeaseTerms::of(choices.profile.unwrap_or_default());
        let replication_factor = choices
            .replication_factor
            .unwrap_or(plain.replication_factor);
        let config = Self {
            partitions: choices.partitions.unwrap_or(plain.partitions),
            replication_factor,
            spread: choices.spread.unwrap_or(plain.spread),
            hash: choices.hash.unwrap_or(plain.hash),
            mode: choices.mode.unwrap_or(plain.mode),
            lease: LeaseTerms {
                profile: lease.profile,
                lease_ms: choices.lease_ms.unwrap_or(lease.lease_ms),
                rho_ppm: choices.rho_ppm.unwrap_or(lease.rho_ppm),
                freeze_allowance_ms: choices
                    .freeze_allowance_ms
                    .unwrap_or(lease.freeze_allowance_ms),
            },
            min_in_sync: choices.min_in_sync.unwrap_or(replication_factor.min(2)),
            rejoin_grace_ms: choices.rejoin_grace_ms.unwrap_or(plain.rejoin_grace_ms),
            settle_ms: choices.settle_ms.unwrap_or(plain.settle_ms),
            auto_create: choices.auto_create.unwrap_or(plain.auto_create),
            auto_rebalance: choices.auto_rebalance.unwrap_or(plain.auto_rebalance),
            voters: choices.voters.unwrap_or(plain.voters),
            ..plain
        };
        config.check()?;
        Ok(config)
    }

    /// The first choice that differs from this configuration.
    #[must_use]
    pub fn conflict(&self, wanted: &ConfigChoices) -> Option<Conflict> {
        let lease = &self.lease;
        differs("partitions", wanted.partitions.as_ref(), &self.partitions)
            .or_else(|| {
                let factor = &self.replication_factor;
                differs(
                    "replication_factor",
                    wanted.replication_factor.as_ref(),
                    factor,
                )
            })
            .or_else(|| differs("spread", wanted.spread.as_ref(), &self.spread))
            .or_else(|| differs("hash", wanted.hash.as_ref(), &self.hash))
            .or_else(|| differs("mode", wanted.mode.as_ref(), &self.mode))
            .or_else(|| differs("profile", wanted.profile.as_ref(), &lease.profile))
            .or_else(|| differs("lease_ms", wanted.lease_ms.as_ref(), &lease.lease_ms))
            .or_else(|| differs("rho_ppm", wanted.rho_ppm.as_ref(), &lease.rho_ppm))
            .or_else(|| {
                let allowance = &lease.freeze_allowance_ms;
                differs(
                    "freeze_allowance_ms",
                    wanted.freeze_allowance_ms.as_ref(),
                    allowance,
                )
            })
            .or_else(|| {
                differs(
                    "min_in_sync",
                    wanted.min_in_sync.as_ref(),
                    &self.min_in_sync,
                )
            })
            .or_else(|| {
                differs(
                    "rejoin_grace_ms",
                    wanted.rejoin_grace_ms.as_ref(),
                    &self.rejoin_grace_ms,
                )
            })
            .or_else(|| differs("settle_ms", wanted.settle_ms.as_ref(), &self.settle_ms))
            .or_else(|| {
                differs(
                    "auto_create",
                    wanted.auto_create.as_ref(),
                    &self.auto_create,
                )
            })
            .or_else(|| {
                differs(
                    "auto_rebalance",
                    wanted.auto_rebalance.as_ref(),
                    &self.auto_rebalance,
                )
            })
            .or_else(|| differs("voters", wanted.voters.as_ref(), &self.voters))
    }

    /// This configuration with a change made, and the names of the fields whose value differs.
    ///
    /// # Errors
    /// [`ConfigError`] when the change names no field, or the result does not pass
    /// [`Config::check`].
    pub fn changed(&self, change: &ConfigChange) -> Result<(Self, Vec<&'static str>), ConfigError> {
        let mut next = self.clone();
        let mut named = false;
        let mut fields = Vec::new();
        macro_rules! set {
            ($($field:ident),* $(,)?) => {$(
                if let Some(value) = change.$field {
                    named = true;
                    if next.$field != value {
                        next.$field = value;
                        fields.push(stringify!($field));
                    }
                }
            )*};
        }
        set!(
            replication_factor,
            spread,
            min_in_sync,
            rejoin_grace_ms,
            settle_ms,
            auto_create,
            auto_rebalance,
            voters,
            max_transfers_per_node,
            members_max,
            custom_value_bytes_max,
            custom_keys_max,
            custom_bytes_max,
            history_max,
        );
        if !named {
            return Err(ConfigError::NoField);
        }
        next.check()?;
        Ok((next, fields))
    }
}
