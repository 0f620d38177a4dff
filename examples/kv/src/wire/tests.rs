use std::sync::Arc;

use bytes::Bytes;

use super::*;

fn grant() -> Grant {
    Grant {
        incarnation: 7,
        epoch: 3,
        round: 2,
    }
}

fn stamp(seq: u64) -> Stamp {
    Stamp {
        grant: grant(),
        seq,
    }
}

fn append() -> Append {
    let effects = [
        Effect::Put(Bytes::from_static(b"value")),
        Effect::Delete,
        Effect::Superseded,
    ];
    let records = effects.into_iter().zip(5..).map(|(effect, seq)| {
        Arc::new(Record {
            stamp: stamp(seq),
            key: Bytes::from_static(b"\x00key\xff"),
            effect,
        })
    });
    Append {
        sections: vec![Section {
            partition: 9,
            grant: grant(),
            after: stamp(4),
            records: records.collect(),
            stable: 3,
        }],
    }
}

#[test]
fn a_frame_reads_back() {
    let content = append();
    assert_eq!(unframe::<Append>(frame(&content)), Ok(content));
    for refused in [
        Refused::Fenced { newest: grant() },
        Refused::Gap { position: stamp(1) },
        Refused::Full,
        Refused::NotServing,
        Refused::Busy,
        Refused::Forgotten,
    ] {
        let verdict: Verdict<Ack> = Err(refused);
        assert_eq!(unframe(frame(&verdict)), Ok(verdict));
    }
    let chunk = Chunk {
        partition: 1,
        grant: None,
        start: Some(Bytes::from_static(b"a")),
        end: None,
        digest: 5,
    };
    assert_eq!(unframe(frame(&chunk)), Ok(chunk));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let whole = frame(&append());
    for at in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(unframe::<Append>(bytes.into()).is_err(), "bit {at}");
    }
    for length in 0..whole.len() {
        assert!(
            unframe::<Append>(whole.slice(..length)).is_err(),
            "{length}"
        );
    }
}

#[test]
fn an_announced_length_is_compared_with_what_is_there() {
    let mut bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]);
    let (left, wanted) = (1, 0xffff_ffff);
    assert_eq!(
        Bytes::read(&mut bytes.clone()),
        Err(WireError::Short { left, wanted })
    );
    assert_eq!(
        Vec::<Stamp>::read(&mut bytes),
        Err(WireError::Short { left, wanted })
    );
}
