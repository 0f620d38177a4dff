//! Keys fall where the frozen vectors say. The file was computed by other implementations (Python's
//! `xxhash` and `hashlib`) and is never written by this project.

use ck_core::{KeyHash, PartitionId};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/keys.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_key_falls_where_the_vectors_say() {
    let file = vectors();
    let counts: Vec<u32> = file["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_u64().unwrap() as u32)
        .collect();
    assert_eq!(counts, [1, 3, 16, 64, 1000, 16_384, 1 << 24]);
    let vectors = file["vectors"].as_array().unwrap();
    for vector in vectors {
        let key = bytes(vector["key"].as_str().unwrap());
        let digest = format!("{:016x}", xxh3_64(&key));
        assert_eq!(digest, vector["xxh3_64"].as_str().unwrap(), "{vector}");
        for (at, count) in counts.iter().enumerate() {
            for hash in [KeyHash::Xxh3, KeyHash::Md5Mod] {
                let expected = PartitionId(vector[hash.name()][at].as_u64().unwrap() as u32);
                assert_eq!(
                    hash.partition(&key, *count),
                    expected,
                    "{hash} of {count}: {vector}"
                );
            }
        }
    }
}

#[test]
fn the_vectors_cover_every_length_class() {
    let file = vectors();
    let lengths: Vec<usize> = file["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| vector["key"].as_str().unwrap().len() / 2)
        .collect();
    for class in [0..=0, 1..=3, 4..=8, 9..=16, 17..=128, 129..=240, 241..=300] {
        for edge in [*class.start(), *class.end()] {
            assert!(lengths.contains(&edge), "no key of {edge} bytes");
        }
    }
    let text = |vector: &Value| String::from_utf8(bytes(vector["key"].as_str().unwrap())).is_ok();
    assert!(
        !file["vectors"].as_array().unwrap().iter().all(text),
        "no key that is not text"
    );
}

#[test]
fn doubling_the_count_splits_a_partition_into_the_next_two() {
    for number in 0..20_000_u32 {
        let key = number.to_le_bytes();
        for count in [1, 3, 64, 1000, 1 << 23] {
            let PartitionId(before) = KeyHash::Xxh3.partition(&key, count);
            let PartitionId(after) = KeyHash::Xxh3.partition(&key, 2 * count);
            assert!(
                after == 2 * before || after == 2 * before + 1,
                "{number}: {before} → {after}"
            );
        }
    }
}

#[test]
fn names_of_hashes_are_read_back_and_others_refused() {
    for hash in [KeyHash::Xxh3, KeyHash::Md5Mod] {
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }
    let refused = "crc32".parse::<KeyHash>().unwrap_err().to_string();
    assert_eq!(
        refused,
        "\"crc32\" is not a key hash; use `xxh3` or `md5-mod`"
    );
}
