//! The format, frozen, and what the decoder makes of hostile bytes.

use ck_core::NodeId;
use proptest::prelude::*;

use super::*;
use crate::ClusterId;

fn me() -> PeerId {
    PeerId {
        node: NodeId::new("node-1").unwrap(),
        member: Some(7),
        store: 0x0102,
        cluster: Some(ClusterId(0x0304)),
        cluster_name: "c".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out).unwrap();
    out
}

fn every_kind() -> Vec<Frame> {
    let data = Bytes::from_static(b"xy");
    let (id, first) = (300, data.clone());
    vec![
        Frame::Hello {
            me: me(),
            expects: Some(3),
        },
        Frame::Full { limit: 5 },
        Frame::Identify(PeerId {
            member: None,
            cluster: None,
            ..me()
        }),
        Frame::Ping,
        Frame::Request {
            id,
            kind: 9,
            deadline_ms: 2000,
            payload_bytes: 2,
            body: true,
            first: first.clone(),
        },
        Frame::Reply {
            id,
            payload_bytes: 2,
            body: false,
            first,
        },
        Frame::Refusal {
            id,
            refusal: Refusal::service(ServiceError::new(4, "no")),
        },
        Frame::Piece {
            id,
            data: data.clone(),
        },
        Frame::Chunk { id, data },
        Frame::End { id },
        Frame::Abort { id },
        Frame::Credit { id, chunks: 3 },
        Frame::Stop { id },
        Frame::Cancel { id },
    ]
}

/// Version 1 as it is spoken; a change here is a new version of the protocol.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    assert_eq!(hex(&greeting()), "636b706565720d0a0001");
    let expected = [
        "0000001500066e6f64652d310107fb020101fb040301630103",
        "000000020105",
        "0000000f02066e6f64652d3100fb0201000163",
        "0000000103",
        "0000000d04fb2c0109fbd0070201027879",
        "0000000905fb2c010200027879",
        "0000000906fb2c010004026e6f",
        "0000000707fb2c01027879",
        "0000000708fb2c01027879",
        "0000000409fb2c01",
        "000000040afb2c01",
        "000000050bfb2c0103",
        "000000040cfb2c01",
        "000000040dfb2c01",
    ];
    let frames = every_kind();
    let got: Vec<String> = frames.iter().map(|frame| hex(&encoded(frame))).collect();
    assert_eq!(got, expected, "{got:#?}");
}

#[test]
fn every_kind_of_frame_comes_back_as_it_was() {
    for frame in every_kind() {
        let bytes = encoded(&frame);
        assert_eq!(
            frame_length(bytes[..4].try_into().unwrap()).unwrap(),
            bytes.len() - 4
        );
        assert_eq!(decode(&bytes[4..]).unwrap(), frame);
    }
}

#[test]
fn every_truncation_and_every_extension_is_refused() {
    for frame in every_kind() {
        let mut bytes = encoded(&frame).split_off(4);
        for length in 0..bytes.len() {
            assert!(
                decode(&bytes[..length]).is_err(),
                "{frame:?} cut to {length} bytes"
            );
        }
        bytes.put_u8(0);
        let total = bytes.len();
        assert_eq!(
            decode(&bytes),
            Err(WireError::Trailing {
                bytes: total,
                left: 1
            })
        );
    }
}

#[test]
fn a_full_chunk_fits_and_an_overlong_name_does_not() {
    let data = Bytes::from(vec![0; CHUNK_BYTES_MAX]);
    encoded(&Frame::Chunk {
        id: u64::MAX,
        data: data.clone(),
    });
    encoded(&Frame::Request {
        id: u64::MAX,
        kind: u16::MAX,
        deadline_ms: u64::MAX,
        payload_bytes: u64::MAX,
        body: true,
        first: data,
    });
    let name = "n".repeat(FRAME_BYTES_MAX);
    let mut out = BytesMut::from("before");
    let refused = encode(
        &Frame::Hello {
            me: PeerId {
                cluster_name: name,
                ..me()
            },
            expects: None,
        },
        &mut out,
    );
    assert!(
        matches!(refused, Err(TransportError::FrameTooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(out, "before");
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_frame_is_read() {
    for length in [FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
        let refused = frame_length(length.to_be_bytes());
        let limit = FRAME_BYTES_MAX as u64;
        assert_eq!(
            refused,
            Err(WireError::Length {
                got: u64::from(length),
                limit
            })
        );
    }
    assert_eq!(frame_length([0, 0, 0, 9]), Ok(9));
}

#[test]
fn a_length_inside_a_frame_is_not_believed() {
    // A chunk that claims 2^63 bytes of data, and a name that does.
    let mut chunk = vec![8, 1, 0xfd];
    chunk.extend_from_slice(&(1_u64 << 63).to_le_bytes());
    let mut hello = vec![0, 0xfd];
    hello.extend_from_slice(&(1_u64 << 63).to_le_bytes());
    for bytes in [chunk, hello] {
        assert!(
            matches!(decode(&bytes), Err(WireError::Undecodable { .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_foreign_greeting_is_refused_and_a_version_is_read() {
    assert_eq!(read_greeting(&greeting()), Ok(VERSION));
    let mut http = [0; GREETING_BYTES];
    http.copy_from_slice(b"GET / HTTP");
    assert_eq!(
        read_greeting(&http),
        Err(WireError::Magic { got: *b"GET / HT" })
    );
}

#[test]
fn an_overlong_message_is_cut_between_characters() {
    let Refusal::Service(error) = Refusal::service(ServiceError::new(1, "é".repeat(10_000)))
    else {
        panic!("a service's refusal stays one");
    };
    assert!(error.message.len() <= MESSAGE_BYTES_MAX && error.message.len() > 4000);
    encoded(&Frame::Refusal {
        id: u64::MAX,
        refusal: Refusal::Service(error),
    });
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_what_decodes_encodes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(frame) = decode(&bytes) {
            let again = encoded(&frame);
            prop_assert_eq!(decode(&again[4..]), Ok(frame));
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(kind in 0_usize..14, at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = encoded(&every_kind()[kind]).split_off(4);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        // Any outcome but a panic will do.
        let _ = decode(&bytes);
    }
}
