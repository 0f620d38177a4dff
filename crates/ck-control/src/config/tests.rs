use super::*;

#[test]
fn defaults_are_valid() {
    assert_eq!(Config::default().check(), Ok(()));
    assert_eq!(
        Config::from_choices(&ConfigChoices::default()),
        Ok(Config::default())
    );
}

#[test]
fn min_in_sync_follows_a_replication_factor_of_one() {
    let choices = ConfigChoices {
        replication_factor: Some(1),
        ..ConfigChoices::default()
    };
    assert_eq!(Config::from_choices(&choices).unwrap().min_in_sync, 1);
}

#[test]
fn a_profile_brings_its_lease() {
    let choices = ConfigChoices {
        profile: Some(Profile::Wan),
        ..ConfigChoices::default()
    };
    assert_eq!(
        Config::from_choices(&choices).unwrap().lease.lease_ms,
        10_000
    );
}

#[test]
fn each_field_out_of_range_is_refused_by_name() {
    type Spoil = fn(&mut Config);
    let cases: [(&str, Spoil); 17] = [
        ("partitions 0", |c| c.partitions = 0),
        ("partitions 16777217", |c| c.partitions = (1 << 24) + 1),
        ("replication_factor 17", |c| c.replication_factor = 17),
        ("spread 0", |c| c.spread = 0),
        ("spread 4 exceeds replication_factor 3", |c| c.spread = 4),
        ("min_in_sync 0", |c| c.min_in_sync = 0),
        ("min_in_sync 4 exceeds replication_factor 3", |c| {
            c.min_in_sync = 4;
        }),
        ("lease_ms 99", |c| c.lease.lease_ms = 99),
        ("rho_ppm 500001", |c| c.lease.rho_ppm = 500_001),
        ("rejoin_grace_ms", |c| c.rejoin_grace_ms = u64::MAX),
        ("settle_ms", |c| c.settle_ms = u64::MAX),
        ("voters 2", |c| c.voters = 2),
        ("max_transfers_per_node 0", |c| c.max_transfers_per_node = 0),
        ("members_max 0", |c| c.members_max = 0),
        ("custom_value_bytes_max 1048577", |c| {
            c.custom_value_bytes_max = (1 << 20) + 1;
        }),
        ("custom_bytes_max", |c| c.custom_bytes_max = u64::MAX),
        ("history_max", |c| c.history_max = u32::MAX),
    ];
    for (wanted, spoil) in cases {
        let mut config = Config::default();
        spoil(&mut config);
        let message = config.check().unwrap_err().to_string();
        assert!(
            message.starts_with(wanted),
            "{message:?} should start with {wanted:?}"
        );
    }
}

#[test]
fn a_choice_that_differs_is_named_with_both_values() {
    let config = Config::default();
    assert_eq!(config.conflict(&ConfigChoices::default()), None);
    let same = ConfigChoices {
        partitions: Some(64),
        ..ConfigChoices::default()
    };
    assert_eq!(config.conflict(&same), None);
    let other = ConfigChoices {
        hash: Some(KeyHash::Md5Mod),
        ..ConfigChoices::default()
    };
    let conflict = config.conflict(&other).unwrap();
    assert_eq!(
        conflict.to_string(),
        "hash md5-mod differs from the cluster's xxh3; use that or leave it out"
    );
}

#[test]
fn a_change_is_checked_as_a_whole() {
    let config = Config::default();
    let lower = ConfigChange {
        replication_factor: Some(1),
        ..ConfigChange::default()
    };
    assert!(matches!(
        config.changed(&lower),
        Err(ConfigError::Exceeds { .. })
    ));
    let both = ConfigChange {
        min_in_sync: Some(1),
        ..lower
    };
    let (next, fields) = config.changed(&both).unwrap();
    assert_eq!((next.replication_factor, next.min_in_sync), (1, 1));
    assert_eq!(fields, ["replication_factor", "min_in_sync"]);
}

#[test]
fn a_change_that_names_nothing_is_refused() {
    assert_eq!(
        Config::default().changed(&ConfigChange::default()),
        Err(ConfigError::NoField)
    );
}

#[test]
fn a_change_to_the_same_value_changes_no_field() {
    let same = ConfigChange {
        spread: Some(1),
        ..ConfigChange::default()
    };
    assert_eq!(
        Config::default().changed(&same),
        Ok((Config::default(), alloc::vec![]))
    );
}
