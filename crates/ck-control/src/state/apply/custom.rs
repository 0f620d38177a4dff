//! Small values kept for the application.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use ck_core::Version;

use crate::state::apply::{Step, fields};
use crate::state::{Custom, EventKind, Rejection, State};

/// Most bytes of a custom key.
const KEY_BYTES_MAX: usize = 512;

impl State {
    pub(super) fn set_custom(
        &mut self,
        step: &mut Step<'_>,
        key: &str,
        value: &[u8],
        expected: Option<Version>,
    ) -> Result<(), Rejection> {
        fields::text("key", key, 1, KEY_BYTES_MAX)?;
        let max = self.config.custom_value_bytes_max.into();
        if value.len() as u64 > max {
            let (field, got) = ("value".to_string(), value.len() as u64);
            return Err(Rejection::Length {
                field,
                got,
                min: 0,
                max,
            });
        }
        self.check_custom(key, expected)?;
        let bytes = self.custom_bytes_with(key, value)?;
        let custom = Custom {
            value: Arc::from(value),
            version: step.version,
            at_ms: step.at_ms(),
        };
        let customs = Arc::make_mut(&mut self.customs);
        match customs.get_mut(key) {
            Some(present) => *present = custom,
            None => drop(customs.insert(Arc::from(key), custom)),
        }
        self.custom_bytes = bytes;
        step.publish();
        step.summary = format!("{key}: {} bytes", value.len());
        step.tell(EventKind::CustomChanged {
            key: key.to_string(),
            deleted: false,
        });
        Ok(())
    }

    fn check_custom(&self, key: &str, expected: Option<Version>) -> Result<(), Rejection> {
        let actual = self.custom(key).map_or(Version(0), |custom| custom.version);
        match expected {
            Some(expected) if expected != actual => Err(Rejection::CustomVersion {
                key: key.to_string(),
                expected,
                actual,
            }),
            _ => Ok(()),
        }
    }

    /// Bytes of all keys and values once `key` has `value`.
    fn custom_bytes_with(&self, key: &str, value: &[u8]) -> Result<u64, Rejection> {
        let full = |field: &str, max: u64| Rejection::CustomFull {
            key: key.to_string(),
            field: field.to_string(),
            max,
        };
        let present = self.custom(key);
        let (keys, keys_max) = (
            self.customs.len() as u64,
            self.config.custom_keys_max.into(),
        );
        if present.is_none() && keys >= keys_max {
            return Err(full("custom_keys_max", keys_max));
        }
        let freed = present.map_or(0, |custom| (key.len() + custom.value.len()) as u64);
        let bytes = self.custom_bytes - freed + (key.len() + value.len()) as u64;
        let bytes_max = self.config.custom_bytes_max;
        if bytes > bytes_max && bytes > self.custom_bytes {
            return Err(full("custom_bytes_max", bytes_max));
        }
        Ok(bytes)
    }

    pub(super) fn delete_custom(
        &mut self,
        step: &mut Step<'_>,
        key: &str,
        expected: Option<Version>,
    ) -> Result<(), Rejection> {
        fields::text("key", key, 1, KEY_BYTES_MAX)?;
        self.check_custom(key, expected)?;
        let Some(present) = self.custom(key) else {
            return Err(Rejection::CustomUnknown {
                key: key.to_string(),
            });
        };
        self.custom_bytes -= (key.len() + present.value.len()) as u64;
        Arc::make_mut(&mut self.customs).remove(key);
        step.publish();
        step.summary = format!("{key}: deleted");
        step.tell(EventKind::CustomChanged {
            key: key.to_string(),
            deleted: true,
        });
        Ok(())
    }
}
