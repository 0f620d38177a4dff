//! Counters and identities of the control plane, each a type of its own.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The value after this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which at one step a nanosecond takes 584 years.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a 64-bit counter never runs out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// Identity of a member, given by the log and never reused; consensus ids are these numbers.
    MemberNumber
}
counter! {
    /// One registration of one node: the position of its registration in the log.
    SessionId
}
counter! {
    /// One consensus leader process in one term: the position of its office entry in the log.
    OfficeId
}
counter! {
    /// Index of an entry in the replicated log, counted from 1; 0 is before the first.
    Position
}
counter! {
    /// Grows at every restore of the cluster from a backup or forced recovery.
    Incarnation
}
counter! {
    /// Starts of a node so far: +1 each time its process starts on the same store.
    Generation
}
counter! {
    /// One planned move of one copy: the position of the entry that opened it.
    TransferId
}
counter! {
    /// One attempt to hand a primary role over: the position of the entry that opened the switch.
    SwitchId
}
counter! {
    /// Drawn at random by a process when it starts, so that two starts are told apart.
    Nonce
}
counter! {
    /// Drawn at random when a store is first opened in the place it is in: that file, on that machine,
    /// since that boot. Starts of the same home held its lock one after the other; a copy has another.
    Home
}

impl From<Position> for SessionId {
    fn from(position: Position) -> Self {
        Self(position.0)
    }
}

impl From<Position> for OfficeId {
    fn from(position: Position) -> Self {
        Self(position.0)
    }
}

impl From<Position> for TransferId {
    fn from(position: Position) -> Self {
        Self(position.0)
    }
}

impl From<Position> for SwitchId {
    fn from(position: Position) -> Self {
        Self(position.0)
    }
}

/// Text that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a uuid; write it as 8-4-4-4-12 hexadecimal digits")]
pub struct UuidError {
    /// The text as given, at most 64 characters of it.
    pub value: String,
}

fn uuid_format(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        value >> 96,
        (value >> 80) & 0xffff,
        (value >> 64) & 0xffff,
        (value >> 48) & 0xffff,
        value & 0xffff_ffff_ffff
    )
}

fn uuid_parse(value: &str) -> Result<u128, UuidError> {
    let refused = || UuidError {
        value: value.chars().take(64).collect(),
    };
    let bytes = value.as_bytes();
    if bytes.len() != 36 {
        return Err(refused());
    }
    let mut number = 0_u128;
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return Err(refused());
            }
        } else {
            let digit = char::from(*byte).to_digit(16).ok_or_else(refused)?;
            number = (number << 4) | u128::from(digit);
        }
    }
    Ok(number)
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Printed as a hyphenated UUID in lower case; in binary formats the bare number.
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid_format(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid_format(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = UuidError;
            fn from_str(value: &str) -> Result<Self, UuidError> {
                uuid_parse(value).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let value = String::deserialize(deserializer)?;
                    value.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

uuid! {
    /// Identity of a cluster, drawn when it is formed.
    ClusterId
}
uuid! {
    /// Identity of a store on a disk, drawn when it is created; a lost disk gets another.
    StoreId
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn uuid_text_reads_back() {
        let id = ClusterId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0011-223344556677");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("01234567-89AB-CDEF-0011-223344556677".parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        assert_eq!(
            serde_json::from_str::<ClusterId>(&format!("\"{id}\"")).unwrap(),
            id
        );
    }

    #[test]
    fn other_text_is_no_uuid() {
        for text in [
            "",
            "0",
            "0123456789abcdef0011223344556677",
            "g1234567-89ab-cdef-0011-223344556677",
            "01234567-89ab-cdef-0011_223344556677",
            "01234567-89ab-cdef-0011-22334455667é",
        ] {
            assert!(text.parse::<StoreId>().is_err(), "{text:?}");
        }
    }

    use alloc::format;

    #[test]
    fn counters_print_as_numbers_and_count_up() {
        assert_eq!(MemberNumber(7).next().to_string(), "8");
        assert_eq!(serde_json::to_string(&SessionId(3)).unwrap(), "3");
    }
}
