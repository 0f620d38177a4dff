use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{IdError, check_name};

/// Nodes that fail together: a path such as `eu-1a` or `eu-1a/rack-3`, widest first.
///
/// 1 to 128 bytes, no control characters, no empty segment. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Checks and keeps `path`.
    ///
    /// # Errors
    /// [`IdError`] when it is empty, too long, holds a control character or an empty segment.
    pub fn new(path: &str) -> Result<Self, IdError> {
        check_name("domain", path)?;
        if path.split('/').any(str::is_empty) {
            return Err(IdError::EmptySegment {
                value: path.to_string(),
            });
        }
        Ok(Self(Arc::from(path)))
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first segment: the part that the spread of a [`Spec`](crate::Spec) counts.
    #[must_use]
    pub fn widest(&self) -> &str {
        self.0
            .split_once('/')
            .map_or(&*self.0, |(widest, _)| widest)
    }

    /// The segments, widest first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for Domain {
    type Err = IdError;
    fn from_str(path: &str) -> Result<Self, IdError> {
        Self::new(path)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        Self::new(&path).map_err(serde::de::Error::custom)
    }
}
