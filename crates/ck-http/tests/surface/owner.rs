//! What a data plane answers, on a node that really owns, and then does not any more.

use std::time::Duration;

use ck_control::{ConfigChoices, FencingToken, Incarnation};
use ck_core::{Epoch, PartitionId};
use ck_http::{Code, Problem, admit, not_owner, partition_of};
use ck_node::{Config, Node, OnFatal};

use crate::support::PATIENCE;

const PARTITION: PartitionId = PartitionId(1);

#[track_caller]
fn code<T: std::fmt::Debug>(refused: Result<T, Box<Problem>>) -> Code {
    let problem = refused.unwrap_err();
    let code = problem.known_code().unwrap();
    assert_eq!(problem.status, code.status());
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_admits_whom_it_may_and_nobody_once_it_has_stopped() {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new("node-1".parse().unwrap(), data.path());
    config.on_fatal = OnFatal::Report;
    config.choices = ConfigChoices {
        partitions: Some(4),
        replication_factor: Some(1),
        ..ConfigChoices::default()
    };
    let node = Node::start(config).await.unwrap();
    tokio::time::timeout(PATIENCE, node.ready())
        .await
        .unwrap()
        .unwrap();
    // Ready says that the partitions exist; the role begins when the handler has been told.
    let own = tokio::time::timeout(PATIENCE, async {
        loop {
            match admit(&node, PARTITION, None) {
                Ok(own) => return own,
                Err(problem) => assert!(problem.known_code().unwrap().is_not_done()),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let own = own.await.unwrap();
    let token = own.token();
    assert!(admit(&node, PARTITION, Some(token)).is_ok());
    let with = |incarnation: u64, epoch: u64| FencingToken {
        incarnation: Incarnation(incarnation),
        epoch: Epoch(epoch),
        ..token
    };
    let (incarnation, epoch) = (token.incarnation.0, token.epoch.0);
    let asked = |fence| code(admit(&node, PARTITION, Some(fence)));
    assert_eq!(asked(with(incarnation, epoch - 1)), Code::EpochOld);
    assert_eq!(asked(with(incarnation - 1, epoch + 1)), Code::EpochOld);
    assert_eq!(asked(with(incarnation, epoch + 1)), Code::Moving);
    let other = FencingToken {
        partition: PartitionId(0),
        ..token
    };
    assert_eq!(asked(other), Code::InvalidParameter);
    assert_eq!(
        code(admit(&node, PartitionId(4), None)),
        Code::PartitionUnknown
    );

    let of = |segment| partition_of(&node, segment).unwrap();
    assert_eq!(
        of("a%20b"),
        of("a b"),
        "a key is bytes, however it is written"
    );
    assert_eq!(of("a%2Fb"), node.partition_for_key(b"a/b").unwrap().id);
    assert_eq!(code(partition_of(&node, "")), Code::InvalidParameter);

    node.stop().await;
    let refused = own.check().unwrap_err();
    let problem = not_owner(&node, &refused, None);
    assert!(problem.known_code().unwrap().is_not_done(), "{problem}");
    assert!(code(admit(&node, PARTITION, Some(token))).is_not_done());
}
