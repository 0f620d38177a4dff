use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ck_control::{FencingToken, Incarnation, Time};
use ck_core::{Epoch, PartitionId};

use super::{Gates, NotOwner, Ownership};
use crate::clock::Clock;

#[derive(Default)]
struct Hands(AtomicU64);

impl Clock for Arc<Hands> {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

const P: PartitionId = PartitionId(3);

fn gates() -> (Arc<Gates>, Arc<Hands>) {
    let hands = Arc::new(Hands::default());
    let gates = Gates::new(Arc::new(Arc::clone(&hands)));
    gates.lay_out(8, Incarnation(7));
    (gates, hands)
}

fn token(epoch: u64) -> FencingToken {
    FencingToken {
        incarnation: Incarnation(7),
        partition: P,
        epoch: Epoch(epoch),
    }
}

#[test]
fn nothing_is_owned_without_a_gate_or_without_a_lease() {
    let (gates, hands) = gates();
    assert!(Ownership::open(&gates, P).is_none());
    gates.open(token(5));
    assert!(Ownership::open(&gates, P).is_none(), "no lease yet");
    gates.set_lease_end(Time(100));
    let own = Ownership::open(&gates, P).unwrap();
    assert_eq!(own.token(), token(5));
    assert_eq!(own.check().unwrap().token(), token(5));
    assert!(Ownership::open(&gates, PartitionId(4)).is_none());
    assert!(Ownership::open(&gates, PartitionId(8)).is_none());
    hands.0.store(99, Ordering::SeqCst);
    drop(own.check().unwrap());
    hands.0.store(100, Ordering::SeqCst);
    assert_eq!(
        own.check().unwrap_err(),
        NotOwner::LeaseLapsed { partition: P }
    );
    assert!(gates.all().is_empty());
}

#[test]
fn a_grant_that_has_ended_is_not_revived_by_the_next() {
    let (gates, _) = gates();
    gates.set_lease_end(Time(100));
    gates.open(token(5));
    let own = Ownership::open(&gates, P).unwrap();
    gates.shut(P);
    assert_eq!(
        own.check().unwrap_err(),
        NotOwner::Ended { token: token(5) }
    );
    gates.open(token(6));
    assert_eq!(
        own.check().unwrap_err(),
        NotOwner::Ended { token: token(5) }
    );
    assert_eq!(gates.all(), [token(6)]);
}

#[test]
fn a_shut_gate_is_drained_when_its_last_proof_is_dropped() {
    let (gates, _) = gates();
    gates.set_lease_end(Time(100));
    gates.open(token(5));
    let own = Ownership::open(&gates, P).unwrap();
    let (one, two) = (own.check().unwrap(), own.check().unwrap());
    gates.shut(P);
    assert!(!gates.is_drained(P));
    drop(one);
    assert!(!gates.is_drained(P));
    assert!(own.check().is_err());
    drop(two);
    assert!(gates.is_drained(P));
}

/// What was admitted is finished: whoever shut the gate waits for it. Beyond the lease it was
/// admitted under it is not.
#[test]
fn a_held_proof_outlasts_its_gate_and_not_its_lease() {
    let (gates, hands) = gates();
    gates.set_lease_end(Time(100));
    gates.open(token(5));
    let own = Ownership::open(&gates, P).unwrap();
    let held = own.hold().unwrap();
    gates.shut(P);
    assert!(own.check().is_err() && own.hold().is_err());
    assert_eq!(held.check().unwrap().token(), token(5));
    assert!(!gates.is_drained(P));
    hands.0.store(100, Ordering::SeqCst);
    assert_eq!(
        held.check().unwrap_err(),
        NotOwner::Ended { token: token(5) }
    );
    // The partition has come back under a later grant and lease: not this proof's.
    gates.set_lease_end(Time(200));
    gates.open(token(7));
    assert!(held.check().is_err());
    drop(held);
    assert!(gates.is_drained(P));
}

/// Readings of a clock that went back meet no end, so its lease has none: nor has what is held.
#[test]
fn a_held_proof_does_not_outlive_the_trust_in_the_clock() {
    let (gates, hands) = gates();
    gates.set_lease_end(Time(100));
    gates.open(token(5));
    let own = Ownership::open(&gates, P).unwrap();
    let held = own.hold().unwrap();
    gates.set_lease_end(Time::ZERO);
    hands.0.store(1, Ordering::SeqCst);
    assert_eq!(
        held.check().unwrap_err(),
        NotOwner::LeaseLapsed { partition: P }
    );
    // The clock has caught up, and the node has a lease again; the partition is another's.
    gates.shut(P);
    gates.set_lease_end(Time(190));
    hands.0.store(95, Ordering::SeqCst);
    assert_eq!(
        held.check().unwrap_err(),
        NotOwner::Ended { token: token(5) }
    );
}

#[test]
fn a_held_proof_goes_on_under_a_renewed_lease_of_an_open_gate() {
    let (gates, hands) = gates();
    gates.set_lease_end(Time(100));
    gates.open(token(5));
    let own = Ownership::open(&gates, P).unwrap();
    let held = own.hold().unwrap();
    hands.0.store(150, Ordering::SeqCst);
    assert_eq!(
        held.check().unwrap_err(),
        NotOwner::LeaseLapsed { partition: P }
    );
    gates.set_lease_end(Time(200));
    drop(held.check().unwrap());
    drop(held);
    assert!(gates.is_drained(P));
}

/// Whoever shuts a gate and then finds no proof may rely on no effect being admitted any more.
#[test]
fn no_proof_is_given_after_a_gate_was_found_drained() {
    for round in 1..=200 {
        let (gates, _) = gates();
        gates.set_lease_end(Time(100));
        gates.open(token(round));
        let own = Ownership::open(&gates, P).unwrap();
        let released = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Ok(proof) = own.check() {
                        assert_eq!(released.load(Ordering::SeqCst), 0);
                        drop(proof);
                    }
                });
            }
            gates.shut(P);
            while !gates.is_drained(P) {
                std::thread::yield_now();
            }
            released.store(1, Ordering::SeqCst);
        });
    }
}
