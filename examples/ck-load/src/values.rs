//! Values that say which write they are of, in every byte.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// Ends the name at the beginning of a value.
const END: u8 = b';';

/// Longest name looked for.
const NAME_MAX: usize = 64;

/// Makes the values of one client: no two are alike, nor like those of another run.
#[derive(Debug, Clone)]
pub struct Values {
    run: u64,
    client: u64,
    next: u64,
}

impl Values {
    /// Fewest bytes in which every value has a name of its own.
    pub const NAMED_BYTES_MIN: usize = 48;

    /// Those of one client in one run.
    #[must_use]
    pub const fn new(run: u64, client: u64) -> Self {
        Self {
            run,
            client,
            next: 0,
        }
    }

    /// A value of that size, and the name that a history has for it.
    pub fn make(&mut self, size: usize) -> (Bytes, String) {
        let name = format!("{:x}.{}.{}", self.run, self.client, self.next);
        self.next += 1;
        let value = filled(&name, size);
        if size > name.len() {
            return (value, name);
        }
        let name = Self::name(&value);
        (value, name)
    }

    /// The name of a value that was read. One that is not, byte for byte, what some name stands for
    /// is named by its length and hash, so that a torn or mixed value is one that nobody wrote.
    #[must_use]
    pub fn name(value: &[u8]) -> String {
        let head = &value[..value.len().min(NAME_MAX + 1)];
        let end = head.iter().position(|byte| *byte == END);
        let name = end.and_then(|end| std::str::from_utf8(&value[..end]).ok());
        match name {
            Some(name) if filled(name, value.len()) == value => name.to_owned(),
            _ => format!("{} bytes, xxh3 {:016x}", value.len(), xxh3_64(value)),
        }
    }
}

/// The name, and as many bytes drawn from it as are wanted.
fn filled(name: &str, size: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(END);
    let mut random = ck_sim::random::Random::new(xxh3_64(name.as_bytes()), 0);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_named_by_itself_and_a_changed_one_is_not() {
        let mut values = Values::new(0xabc, 3);
        for size in [Values::NAMED_BYTES_MIN, 100, 4_099] {
            let (value, name) = values.make(size);
            assert_eq!((value.len(), Values::name(&value)), (size, name.clone()));
            for at in [0, size / 2, size - 1] {
                let mut torn = value.to_vec();
                torn[at] ^= 1;
                assert_ne!(Values::name(&torn), name, "{at}");
            }
            assert_ne!(Values::name(&value[..size - 1]), name[..name.len() - 1]);
            assert!(Values::name(&[&value[..], b"x"].concat()).contains("xxh3"));
        }
    }

    #[test]
    fn the_smallest_named_value_has_room_for_the_longest_name() {
        let name = format!("{:x}.{}.{}", u64::from(u32::MAX), 99_999, u64::MAX);
        assert!(name.len() < Values::NAMED_BYTES_MIN, "{}", name.len());
    }

    #[test]
    fn values_without_room_for_a_name_are_named_by_their_bytes() {
        let mut values = Values::new(1, 1);
        let (empty, name) = values.make(0);
        assert_eq!(empty.len(), 0);
        assert_eq!(Values::name(b""), name);
        let (small, name) = values.make(3);
        assert_eq!(Values::name(&small), name);
    }
}
