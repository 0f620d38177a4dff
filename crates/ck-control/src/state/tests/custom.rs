use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use ck_core::Version;

use super::world::{World, config};
use crate::Config;
use crate::state::{Command, EventKind, Rejection};

fn set(key: &str, value: &[u8], expected: Option<u64>) -> Command {
    let (key, value) = (key.to_string(), value.to_vec());
    Command::SetCustom {
        key,
        value,
        expected: expected.map(Version),
    }
}

fn delete(key: &str, expected: Option<u64>) -> Command {
    Command::DeleteCustom {
        key: key.to_string(),
        expected: expected.map(Version),
    }
}

#[test]
fn a_value_is_written_read_and_deleted() {
    let mut world = World::of(1, config(4, 3));
    let events = world.ok(set("greeting", b"hello", None));
    let key = "greeting".to_string();
    assert_eq!(
        events,
        [EventKind::CustomChanged {
            key: key.clone(),
            deleted: false
        }]
    );
    let custom = world.state.custom("greeting").unwrap();
    assert_eq!(
        (&*custom.value, custom.version),
        (&b"hello"[..], world.version())
    );
    assert_eq!(world.state.custom_bytes(), 13);
    world.ok(set("greeting", b"hi", None));
    assert_eq!(world.state.custom_bytes(), 10);
    let keys: Vec<&str> = world.state.customs().map(|(key, _)| key).collect();
    assert_eq!(keys, ["greeting"]);
    let events = world.ok(delete("greeting", None));
    assert_eq!(events, [EventKind::CustomChanged { key, deleted: true }]);
    assert_eq!(
        (world.state.customs().len(), world.state.custom_bytes()),
        (0, 0)
    );
}

#[test]
fn a_write_compares_and_sets() {
    let mut world = World::of(1, config(4, 3));
    world.ok(set("k", b"1", Some(0)));
    let actual = world.version();
    let refused = world.refused(set("k", b"2", Some(0)));
    let key = "k".to_string();
    assert_eq!(
        refused,
        Rejection::CustomVersion {
            key,
            expected: Version(0),
            actual
        }
    );
    world.ok(set("k", b"2", Some(actual.0)));
    assert!(matches!(
        world.refused(delete("k", Some(actual.0))),
        Rejection::CustomVersion { .. }
    ));
    world.ok(delete("k", Some(world.version().0)));
    let refused = world.refused(delete("k", None));
    assert_eq!(
        refused,
        Rejection::CustomUnknown {
            key: "k".to_string()
        }
    );
    let refused = world.refused(delete("k", Some(7)));
    assert!(matches!(
        refused,
        Rejection::CustomVersion {
            actual: Version(0),
            ..
        }
    ));
}

#[test]
fn keys_and_values_are_bounded() {
    let mut world = World::of(
        1,
        Config {
            custom_value_bytes_max: 4,
            ..config(4, 3)
        },
    );
    for key in [String::new(), "k".repeat(513), "a\nb".to_string()] {
        let refused = world.refused(set(&key, b"", None));
        assert!(refused.to_string().starts_with("key"), "{refused}");
    }
    world.ok(set(&"k".repeat(512), b"1234", None));
    let refused = world.refused(set("k", b"12345", None));
    assert!(matches!(refused, Rejection::Length { got: 5, max: 4, .. }));
}

#[test]
fn a_value_of_one_mebibyte_fits_by_default() {
    let mut world = World::of(1, config(4, 3));
    world.ok(set("k", &vec![7; 1 << 20], None));
    world.refused(set("k", &vec![7; (1 << 20) + 1], None));
}

#[test]
fn the_number_of_keys_is_bounded() {
    let mut world = World::of(
        1,
        Config {
            custom_keys_max: 1,
            ..config(4, 3)
        },
    );
    world.ok(set("a", b"1", None));
    let refused = world.refused(set("b", b"1", None));
    assert!(matches!(refused, Rejection::CustomFull { max: 1, .. }));
    world.ok(set("a", b"2", None));
    world.ok(delete("a", None));
    world.ok(set("b", b"1", None));
}

#[test]
fn all_values_together_are_bounded() {
    let mut world = World::of(
        1,
        Config {
            custom_bytes_max: 10,
            ..config(4, 3)
        },
    );
    world.ok(set("a", b"123456789", None));
    let refused = world.refused(set("b", b"", None));
    assert!(matches!(refused, Rejection::CustomFull { max: 10, .. }));
    world.ok(set("a", b"1", None));
    world.ok(set("b", b"", None));
    let change = crate::ConfigChange {
        custom_bytes_max: Some(0),
        ..Default::default()
    };
    world.ok(Command::Configure { change });
    world.ok(set("a", b"", None));
    assert_eq!(
        world.state.custom_bytes(),
        2,
        "what shrinks is accepted over the limit"
    );
}
