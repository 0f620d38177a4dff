//! What is not a name, a spec or a topology is refused with the field, the value and the remedy.

use ck_core::topology::Domain;
use ck_core::{IdError, Node, NodeId, PartitionId, Spec, SpecError, Topology, TopologyError};

#[test]
fn names_that_are_empty_long_or_unprintable_are_refused() {
    let cases = [
        ("", "node id is empty; give it 1 to 128 bytes"),
        (
            "a\nb",
            "node id \"a\\nb\" holds a control character; use printable characters",
        ),
    ];
    for (name, message) in cases {
        assert_eq!(NodeId::new(name).unwrap_err().to_string(), message);
    }
    let long = "ü".repeat(65);
    assert_eq!(
        NodeId::new(&long),
        Err(IdError::TooLong {
            what: "node id",
            got: 130
        })
    );
    assert!(NodeId::new(&long[..128]).is_ok());
    assert!(serde_json::from_str::<NodeId>("\"\"").is_err());
}

#[test]
fn domains_have_no_empty_segments() {
    for path in ["/a", "a/", "a//b", "/"] {
        let refused = Domain::new(path).unwrap_err();
        assert_eq!(refused, IdError::EmptySegment { value: path.into() });
    }
    let path = Domain::new("eu-1a/rack-3").unwrap();
    assert_eq!(path.segments().collect::<Vec<_>>(), ["eu-1a", "rack-3"]);
    assert_eq!(
        (path.widest(), Domain::new("b").unwrap().widest()),
        ("eu-1a", "b")
    );
}

#[test]
fn partition_ids_have_one_spelling_each_way() {
    for text in [
        "",
        "partition-",
        "-1",
        "03",
        "partition-03",
        "4294967296",
        "partition-3 ",
        "p-3",
    ] {
        let refused = text.parse::<PartitionId>().unwrap_err();
        assert_eq!(refused, IdError::Partition { value: text.into() });
    }
    assert_eq!("partition-0".parse(), Ok(PartitionId(0)));
    assert_eq!("4294967295".parse(), Ok(PartitionId(u32::MAX)));
}

#[test]
fn specs_out_of_range_are_refused() {
    let cases = [
        (Spec::new(0, 3, 1), SpecError::Partitions { got: 0 }),
        (
            Spec::new((1 << 24) + 1, 3, 1),
            SpecError::Partitions { got: (1 << 24) + 1 },
        ),
        (Spec::new(64, 0, 1), SpecError::ReplicationFactor { got: 0 }),
        (
            Spec::new(64, 17, 1),
            SpecError::ReplicationFactor { got: 17 },
        ),
        (
            Spec::new(64, 3, 0),
            SpecError::Spread {
                got: 0,
                replication_factor: 3,
            },
        ),
        (
            Spec::new(64, 3, 4),
            SpecError::Spread {
                got: 4,
                replication_factor: 3,
            },
        ),
    ];
    for (result, expected) in cases {
        assert_eq!(result.unwrap_err(), expected);
    }
    assert!(Spec::new(1 << 24, 16, 16).is_ok());
    let absent: Spec = serde_json::from_str(r#"{"partitions":8,"replication_factor":2}"#).unwrap();
    assert_eq!(absent.spread(), 1);
    for hostile in [
        r#"{"partitions":8,"replication_factor":2,"spread":3}"#,
        r#"{"partitions":8,"replication_factor":2,"other":3}"#,
        r#"{"partitions":-8,"replication_factor":2}"#,
    ] {
        assert!(serde_json::from_str::<Spec>(hostile).is_err(), "{hostile}");
    }
}

#[test]
fn topologies_have_distinct_nodes_with_weights() {
    let node = |name: &str| Node::new(NodeId::new(name).unwrap());
    let refused = Topology::new([node("b"), node("a"), node("b")]).unwrap_err();
    assert_eq!(
        refused,
        TopologyError::Duplicate {
            id: NodeId::new("b").unwrap()
        }
    );
    let refused = Topology::new([node("a").with_weight(0)]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "node \"a\" has weight 0; use 1 or more, or the state `draining` to empty it"
    );
    let json = r#"[{"id":"b"},{"id":"a","weight":2,"domain":"x/y","state":"cordoned"}]"#;
    let topology: Topology = serde_json::from_str(json).unwrap();
    assert_eq!(topology.nodes()[0].id.as_str(), "a");
    assert_eq!(topology.node("b").map(|node| node.weight), Some(1));
    assert!(topology.node("c").is_none());
    for hostile in [
        r#"[{"id":"a","weight":0}]"#,
        r#"[{"id":"a","rack":"x"}]"#,
        r#"[{"id":""}]"#,
    ] {
        assert!(
            serde_json::from_str::<Topology>(hostile).is_err(),
            "{hostile}"
        );
    }
}
