//! Limits of what may be written: every text and every map is bounded.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use crate::state::{HOMES_MAX, Registration, Rejection};

/// Most services, or labels, of a node.
const ITEMS_MAX: usize = 64;

/// Most bytes of all services, or of all labels, of a node.
const ITEMS_BYTES_MAX: usize = 8_192;

/// `value` has `min` to `max` bytes and no control character.
pub(super) fn text(field: &str, value: &str, min: usize, max: usize) -> Result<(), Rejection> {
    let got = value.len();
    if got < min || got > max {
        return Err(Rejection::Length {
            field: field.to_string(),
            got: got as u64,
            min: min as u64,
            max: max as u64,
        });
    }
    if value.chars().any(char::is_control) {
        return Err(characters(field, value));
    }
    Ok(())
}

fn characters(field: &str, value: &str) -> Rejection {
    Rejection::Characters {
        field: field.to_string(),
        value: value.chars().take(64).collect(),
    }
}

/// `value` is an address of `min` to 256 bytes, without a space.
pub(super) fn address(field: &str, value: &str, min: usize) -> Result<(), Rejection> {
    text(field, value, min, 256)?;
    if value.chars().any(char::is_whitespace) {
        return Err(characters(field, value));
    }
    Ok(())
}

/// `weight` is 1 or more.
pub(super) fn weight(weight: u32) -> Result<(), Rejection> {
    if weight == 0 {
        let (field, got, max) = ("weight".to_string(), 0, u32::MAX.into());
        return Err(Rejection::Range {
            field,
            got,
            min: 1,
            max,
        });
    }
    Ok(())
}

/// At most 64 items, names of 1 to 128 bytes, values of at most 1,024, 8,192 bytes in all.
pub(super) fn items(field: &str, items: &BTreeMap<String, String>) -> Result<(), Rejection> {
    if items.len() > ITEMS_MAX {
        let (field, got) = (field.to_string(), items.len() as u64);
        return Err(Rejection::Count {
            field,
            got,
            max: ITEMS_MAX as u64,
        });
    }
    let mut bytes = 0;
    for (name, value) in items {
        text(field, name, 1, 128)?;
        text(field, value, 0, 1_024)?;
        bytes += name.len() + value.len();
    }
    if bytes > ITEMS_BYTES_MAX {
        let (got, max) = (bytes as u64, ITEMS_BYTES_MAX as u64);
        return Err(Rejection::Length {
            field: field.to_string(),
            got,
            min: 0,
            max,
        });
    }
    Ok(())
}

/// Every field of a registration that can be judged by itself.
pub(super) fn registration(registration: &Registration) -> Result<(), Rejection> {
    text("display_name", &registration.display_name, 0, 128)?;
    address("peer_address", &registration.peer_address, 1)?;
    address("http_address", &registration.http_address, 0)?;
    weight(registration.weight)?;
    if registration.homes.len() > HOMES_MAX {
        return Err(Rejection::Count {
            field: "homes".to_string(),
            got: registration.homes.len() as u64,
            max: HOMES_MAX as u64,
        });
    }
    items("services", &registration.services)?;
    items("labels", &registration.labels)
}
