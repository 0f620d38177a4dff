//! Vectors for clients in other languages: what this crate computes is what they are held against.

use ck_core::KeyHash;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const FILE: &str = include_str!("../../../clients/python/tests/vectors.json");

const PARTITIONS: [u32; 3] = [64, 4096, 65_536];

/// Clusters hash with seed 0; an implementation that takes others is held against this one.
const SEED: u64 = 0x9e37_79b1_85eb_ca8d;

const ABOUT: &str = "Frozen. key: bytes in hexadecimal; or length and start: as many bytes (s >> 16) & 255 of \
    s = (s * 1103515245 + 12345) mod 2^31, from s = start, the first step taken before the first byte. xxh3_64: XXH3, 64 bits, seed 0. \
    seeded: with seed. xxh3: (xxh3_64 * P) >> 64 for each P of partitions. md5-mod: first four bytes of MD5, \
    big-endian, mod P.";

/// As `ABOUT` says.
fn pattern(length: usize, start: u32) -> Vec<u8> {
    let mut state = start;
    let step = |_| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        (state >> 16) as u8
    };
    (0..length).map(step).collect()
}

fn line(name: &str, key: &[u8]) -> String {
    let of = |hash: KeyHash| {
        let numbers = PARTITIONS.map(|count| hash.partition(key, count).0.to_string());
        numbers.join(", ")
    };
    format!(
        "    {{{name}, \"xxh3_64\": \"{:016x}\", \"seeded\": \"{:016x}\", \"xxh3\": [{}], \"md5-mod\": [{}]}}",
        xxh3_64(key),
        xxh3_64_with_seed(key, SEED),
        of(KeyHash::Xxh3),
        of(KeyHash::Md5Mod),
    )
}

fn expected() -> String {
    let spelt: [&[u8]; 12] = [
        b"",
        b"\0",
        b" ",
        b"\n",
        b"\xff",
        b"\xff\xfe\x80\x00",
        b"\xc3\x28",
        "é".as_bytes(),
        b"a",
        b"user:1001",
        b"user:1001\0",
        b"/kv/a%20b?c=d",
    ];
    let spelt = spelt.iter().map(|key| {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        line(&format!("\"key\": \"{hex}\""), key)
    });
    // Every short length; then the edges of XXH3's stripes of 64 bytes and blocks of 1,024.
    let long = [
        511, 512, 1023, 1024, 1025, 1087, 1088, 1089, 2047, 2048, 2049,
    ];
    let longest = [4096, 65_535, 65_536, 65_537];
    let lengths = (0..=300).chain(long).chain(longest);
    let made = lengths.map(|length| {
        let start = length as u32 + 1;
        let name = format!("\"length\": {length}, \"start\": {start}");
        line(&name, &pattern(length, start))
    });
    let lines: Vec<String> = spelt.chain(made).collect();
    let counts = PARTITIONS.map(|count| count.to_string()).join(", ");
    format!(
        "{{\n  \"about\": \"{ABOUT}\",\n  \"partitions\": [{counts}],\n  \"seed\": \"{SEED:016x}\",\n  \
         \"vectors\": [\n{}\n  ]\n}}\n",
        lines.join(",\n")
    )
}

#[test]
fn vectors_of_clients_are_what_this_crate_computes() {
    let expected = expected();
    if FILE == expected {
        return;
    }
    let found = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors.json");
    std::fs::write(&found, &expected).unwrap();
    let differs = FILE.lines().zip(expected.lines()).find(|(a, b)| a != b);
    panic!(
        "clients/python/tests/vectors.json is not {}; a released mapping never changes: {differs:?}",
        found.display()
    );
}
