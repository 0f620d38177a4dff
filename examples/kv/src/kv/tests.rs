use ck_node::{Epoch, FencingToken, Incarnation, SessionId};
use tempfile::TempDir;

use super::*;
use crate::part::Serving;
use crate::stamp::Stamp;

const ME: MemberNumber = MemberNumber(1);

fn open() -> (TempDir, Kv) {
    let directory = tempfile::tempdir().unwrap();
    let kv = Kv::open(directory.path(), KvConfig::default()).unwrap();
    (directory, kv)
}

/// Serves a partition alone, in a round.
fn serve(kv: &Kv, partition: u32, round: u32) {
    let token = FencingToken {
        incarnation: Incarnation(1),
        partition: PartitionId(partition),
        epoch: Epoch(5),
    };
    let grant = Grant {
        incarnation: 1,
        epoch: 5,
        round,
    };
    let (session, at) = (SessionId(9), Stamp::ZERO);
    let serving = Serving::new(grant, token, session, ME, at, &[ME], Replication::Sync);
    kv.core.part(token.partition).begin(serving, State::default);
}

#[tokio::test]
async fn a_lapse_that_is_heard_of_late_ends_what_was_served_and_not_what_is() {
    let (_directory, kv) = open();
    serve(&kv, 0, 1);
    serve(&kv, 1, 2);
    let served = kv.core.served();
    assert_eq!(served.len(), 2);
    // The next lease has come, and one of them is served anew.
    serve(&kv, 0, 3);
    kv.core.lapsed(&served);
    let round = |partition| {
        let part = kv.core.part(PartitionId(partition));
        let serving = part.lock();
        serving.as_ref().map(|serving| serving.grant.round)
    };
    assert_eq!((round(0), round(1)), (Some(3), None));
}

#[tokio::test]
async fn with_the_store_ends_what_sends_to_the_replicas() {
    let (_directory, kv) = open();
    let peer = Arc::downgrade(&kv.core.peer(MemberNumber(2)));
    tokio::task::yield_now().await;
    assert!(peer.upgrade().is_some());
    drop(kv);
    let ended = async {
        while peer.upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "its task waits for ever");
}
