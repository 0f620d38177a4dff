use bytes::Bytes;
use ck_node::{Epoch, FencingToken, Incarnation, MemberNumber, PartitionId, SessionId, TransferId};

use super::serving::{Progress, Serving, Turn};
use super::{Attachment, Part};
use crate::kv::Replication;
use crate::record::Effect;
use crate::stamp::{Grant, Stamp};
use crate::store::TRACES_MAX;
use crate::wire::{Refused, Section};

const ME: MemberNumber = MemberNumber(1);
const B: MemberNumber = MemberNumber(2);
const C: MemberNumber = MemberNumber(3);
const D: MemberNumber = MemberNumber(4);

fn grant() -> Grant {
    Grant {
        incarnation: 1,
        epoch: 5,
        round: 1,
    }
}

fn serving_as(replication: Replication) -> Serving {
    let token = FencingToken {
        incarnation: Incarnation(1),
        partition: PartitionId(0),
        epoch: Epoch(5),
    };
    let at = Stamp {
        grant: Grant {
            epoch: 4,
            ..grant()
        },
        seq: 10,
    };
    let in_sync = [ME, B, C];
    Serving::new(grant(), token, SessionId(9), ME, at, &in_sync, replication)
}

fn serving() -> Serving {
    serving_as(Replication::Sync)
}

fn write(serving: &mut Serving, key: &str) -> u64 {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let (after, record, _) = serving.assign(key, Effect::Delete);
    assert_eq!(after.seq + 1, record.stamp.seq);
    record.stamp.seq
}

fn progress(serving: &Serving) -> Progress {
    *serving.progress().borrow()
}

fn committed(serving: &Serving) -> u64 {
    progress(serving).committed
}

fn take(serving: &mut Serving, member: MemberNumber) -> Option<Section> {
    serving.take(member, usize::MAX, 0)
}

const fn attempt(transfer: u64, attempt: u64) -> Attachment {
    Attachment {
        transfer: TransferId(transfer),
        attempt,
    }
}

fn kept(_: TransferId) -> bool {
    false
}

#[test]
fn a_record_counts_once_every_member_in_sync_has_it() {
    let mut serving = serving();
    assert_eq!(write(&mut serving, "a"), 11);
    assert_eq!(serving.pending(b"a"), Some(11));
    serving.appended(11);
    serving.acked(B, 11);
    assert_eq!(committed(&serving), 10);
    serving.acked(C, 11);
    assert_eq!(committed(&serving), 11);
    assert!(serving.is_idle() && serving.pending(b"a").is_none());
}

#[test]
fn without_its_own_disk_nothing_counts() {
    let mut serving = serving();
    write(&mut serving, "a");
    [B, C].iter().for_each(|one| serving.acked(*one, 11));
    assert_eq!(committed(&serving), 10);
    // Nor does a member that says it has more than there is.
    serving.acked(B, 99);
    serving.appended(11);
    write(&mut serving, "b");
    serving.appended(12);
    serving.acked(C, 12);
    assert_eq!(committed(&serving), 11);
}

#[test]
fn a_member_counts_until_the_cluster_says_that_it_is_out() {
    let mut serving = serving();
    write(&mut serving, "a");
    serving.appended(11);
    serving.acked(B, 11);
    let lag = serving.suspect(C).expect("it lacks something");
    assert_eq!((lag.member, lag.grant), (C, grant()));
    assert!(serving.suspect(C).is_none(), "somebody is at it");
    assert!(serving.suspect(B).is_none(), "it has everything");
    assert_eq!(
        committed(&serving),
        10,
        "suspicion is no word of the cluster"
    );
    serving.required(&[ME, B], kept, 2);
    assert_eq!(committed(&serving), 11);
    assert_eq!(progress(&serving).thin, None);
    assert!(take(&mut serving, C).is_none());
}

#[test]
fn below_the_least_number_of_copies_it_is_said() {
    let mut serving = serving();
    serving.required(&[ME, B, C], kept, 2);
    write(&mut serving, "a");
    serving.appended(11);
    serving.required(&[ME], kept, 2);
    let now = progress(&serving);
    assert_eq!((now.committed, now.thin), (11, Some(11)));
    assert_eq!(serving.in_sync(), (1, 2));
}

#[test]
fn an_attached_copy_is_waited_for_and_sent_to_only_once_it_is_ready() {
    let mut serving = serving();
    write(&mut serving, "before");
    let at = serving.attach(D, attempt(70, 1)).unwrap();
    assert_eq!(at.seq, 11);
    write(&mut serving, "after");
    serving.appended(12);
    [B, C].iter().for_each(|one| serving.acked(*one, 12));
    assert_eq!(
        committed(&serving),
        11,
        "what was there before is not its to have"
    );
    assert!(take(&mut serving, D).is_none(), "it is not ready");
    assert!(!serving.resume(D, attempt(71, 1)), "another move");
    assert!(serving.resume(D, attempt(70, 1)));
    let section = take(&mut serving, D).unwrap();
    assert_eq!((section.after.seq, section.records.len()), (11, 1));
    // A change of the table that does not yet know of it does not let it go.
    serving.required(&[ME, B, C], kept, 2);
    assert_eq!(committed(&serving), 11);
    serving.acked(D, 12);
    assert_eq!(committed(&serving), 12);
    // Its move is over and it is not in sync: nothing can bring it in any more.
    write(&mut serving, "more");
    serving.appended(13);
    [B, C].iter().for_each(|one| serving.acked(*one, 13));
    assert_eq!(committed(&serving), 12);
    serving.required(&[ME, B, C], |_| true, 2);
    assert_eq!(committed(&serving), 13);
}

/// Its question was on its way for so long that the copy had asked again.
#[test]
fn an_attempt_to_attach_that_comes_late_takes_no_later_ones_place() {
    let mut serving = serving();
    assert!(serving.attach(D, attempt(70, 2)).is_some());
    assert!(!serving.resume(D, attempt(70, 1)), "an earlier attempt's");
    assert_eq!(serving.newest_before(D, attempt(70, 1)), None);
    assert!(serving.resume(D, attempt(70, 2)));
    write(&mut serving, "a");
    serving.appended(11);
    [B, C].iter().for_each(|one| serving.acked(*one, 11));
    for late in [attempt(70, 1), attempt(70, 2), attempt(69, 9)] {
        assert_eq!(serving.attach(D, late), None);
    }
    assert_eq!(committed(&serving), 10, "it was not sent the record");
    serving.acked(D, 11);
    assert_eq!(committed(&serving), 11);
    assert_eq!(serving.attach(D, attempt(70, 3)).unwrap().seq, 11);
    assert_eq!(serving.attach(D, attempt(71, 1)).unwrap().seq, 11);
}

#[test]
fn a_member_in_sync_cannot_attach() {
    assert_eq!(serving().attach(B, attempt(1, 1)), None);
}

#[test]
fn what_was_not_acknowledged_is_sent_again_from_where_the_member_stands() {
    let mut serving = serving();
    for key in ["a", "b", "c"] {
        write(&mut serving, key);
    }
    let section = take(&mut serving, B).unwrap();
    assert_eq!((section.after.seq, section.records.len()), (10, 3));
    assert!(take(&mut serving, B).is_none());
    serving.rewind(B);
    assert_eq!(take(&mut serving, B).unwrap().records.len(), 3);
    // It has the first two: their answer was lost.
    let position = section.records[1].stamp;
    assert!(!serving.not_acked(B, Refused::Gap { position }));
    let section = take(&mut serving, B).unwrap();
    assert_eq!((section.after, section.records.len()), (position, 1));
    // A position that is none of this line cannot be gone on from.
    let elsewhere = Stamp {
        grant: Grant {
            epoch: 3,
            ..grant()
        },
        seq: 12,
    };
    let position = elsewhere;
    assert!(serving.not_acked(B, Refused::Gap { position }));
    // Nor one before what it had acknowledged.
    let position = Stamp {
        seq: 10,
        grant: Grant {
            epoch: 4,
            ..grant()
        },
    };
    assert!(serving.not_acked(B, Refused::Gap { position }));
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut serving = serving();
    for _ in 0..TRACES_MAX {
        assert_eq!(serving.full(1), None);
        write(&mut serving, "a");
    }
    assert_eq!(serving.full(1), Some(Turn::Stable(11)));
    let last = 10 + TRACES_MAX as u64;
    serving.appended(last);
    [B, C].iter().for_each(|one| serving.acked(*one, last));
    assert_eq!(serving.full(1), None);
}

#[tokio::test]
async fn in_mode_async_who_waits_for_room_is_told_when_the_copies_have_made_some() {
    let mut serving = serving_as(Replication::Async);
    for _ in 0..TRACES_MAX {
        write(&mut serving, "a");
    }
    let last = 10 + TRACES_MAX as u64;
    serving.appended(last);
    assert_eq!(committed(&serving), last);
    let turn = serving.full(1).expect("the copies have none of them");
    let mut waits = serving.progress();
    let waiting =
        tokio::spawn(async move { waits.wait_for(|now| now.is_turn(turn)).await.is_ok() });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    serving.acked(B, 11);
    assert!(serving.full(1).is_some(), "one copy still lacks the first");
    serving.acked(C, 11);
    assert_eq!(serving.full(1), None);
    assert!(progress(&serving).is_turn(turn));
    let told = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    assert!(told.expect("it is told").unwrap());
}

#[test]
fn in_mode_async_the_own_disk_is_enough_and_the_rest_is_still_sent() {
    let mut serving = serving_as(Replication::Async);
    write(&mut serving, "a");
    assert_eq!(committed(&serving), 10);
    serving.appended(11);
    assert_eq!(committed(&serving), 11);
    assert_eq!(take(&mut serving, B).unwrap().records.len(), 1);
    assert_eq!(take(&mut serving, C).unwrap().records.len(), 1);
}

/// What waits for room waits for the replicas, although every write is answered already.
#[test]
fn in_mode_async_room_is_made_by_the_replicas() {
    let mut serving = serving_as(Replication::Async);
    for _ in 0..TRACES_MAX {
        write(&mut serving, "a");
    }
    let last = 10 + TRACES_MAX as u64;
    serving.appended(last);
    let now = progress(&serving);
    assert_eq!((now.committed, now.stable), (last, 10));
    assert!(serving.full(1).is_some());
    let mut told = serving.progress();
    told.mark_unchanged();
    [B, C].iter().for_each(|one| serving.acked(*one, 11));
    assert!(told.has_changed().unwrap());
    assert_eq!(progress(&serving).stable, 11);
    assert!(serving.full(1).is_none());
}

/// A partition has no primary meanwhile: what kept it from being served may be over at any moment.
#[test]
fn after_failures_in_a_row_the_rest_is_no_longer_than_a_second() {
    let part = Part::new(PartitionId(0));
    assert!(!part.rests());
    (0..9).for_each(|_| part.rest());
    assert!(part.rests());
    let until = part.rest.lock().0.unwrap();
    let second = std::time::Duration::from_secs(1);
    assert!(until <= std::time::Instant::now() + second);
}

#[test]
fn a_batch_is_bounded_and_holds_one_record_at_least() {
    let mut serving = serving();
    for key in ["a", "b", "c"] {
        write(&mut serving, key);
    }
    assert_eq!(serving.take(B, 1, 0).unwrap().records.len(), 1);
    assert_eq!(serving.take(B, 200, 0).unwrap().records.len(), 2);
}
