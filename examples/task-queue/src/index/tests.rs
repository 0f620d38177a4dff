use std::time::Duration;

use super::*;
use crate::record::Kept;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    index: Index,
    queue: QueueName,
    begun: Instant,
    writes: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            index: Index::default(),
            queue: QueueName::new(b"mail").unwrap(),
            begun: Instant::now(),
            writes: 0,
        }
    }

    fn at(&self, seconds: u32) -> Instant {
        self.begun + SECOND * seconds
    }

    fn put(&mut self, number: u64, attempts: u32, kept: Kept, seconds: u32) {
        let head = Head {
            attempts,
            attempts_max: 2,
            kept,
            idempotency: None,
        };
        self.writes += 1;
        let stamp = Stamp {
            seq: self.writes,
            ..Stamp::ZERO
        };
        let (queue, now) = (self.queue.clone(), self.at(seconds));
        self.index.put(number, &queue, stamp, head, now);
    }

    fn lease(&mut self, most: usize, seconds: u32) -> Vec<u64> {
        let (queue, now) = (self.queue.clone(), self.at(seconds));
        let begun = self.index.begin_lease(&queue, most, now);
        begun.iter().map(|one| one.number).collect()
    }

    fn counts(&mut self, seconds: u32) -> (u64, u64, u64, u64) {
        let (queue, now) = (self.queue.clone(), self.at(seconds));
        let counts = self.index.counts(&queue, now);
        (counts.ready, counts.delayed, counts.leased, counts.dead)
    }
}

fn leased(receipt: u128, seconds: u64) -> Kept {
    Kept::Leased {
        receipt: Receipt(receipt),
        visibility: Duration::from_secs(seconds),
    }
}

#[test]
fn the_oldest_comes_first_and_once() {
    let mut bench = Bench::new();
    for number in [3, 1, 2] {
        bench.put(number, 0, Kept::Ready, 0);
    }
    assert_eq!(bench.lease(2, 0), [1, 2]);
    assert_eq!(bench.lease(2, 0), [3]);
    assert_eq!(bench.lease(2, 0), [0; 0]);
    bench.index.give_back(2);
    assert_eq!(bench.lease(2, 0), [2]);
    assert_eq!(bench.counts(0), (3, 0, 0, 0));
}

#[test]
fn a_delay_holds_a_task_back_for_its_time() {
    let mut bench = Bench::new();
    let delay = 3 * SECOND;
    bench.put(1, 0, Kept::Delayed { delay }, 0);
    assert_eq!(bench.lease(1, 2), [0; 0]);
    assert_eq!(bench.counts(2), (0, 1, 0, 0));
    assert_eq!(bench.lease(1, 3), [1]);
}

#[test]
fn a_lease_that_ran_out_is_leased_again_and_then_spent() {
    let mut bench = Bench::new();
    bench.put(1, 1, leased(7, 2), 0);
    assert_eq!(bench.lease(1, 1), [0; 0]);
    assert_eq!(bench.counts(1), (0, 0, 1, 0));
    assert_eq!(bench.lease(1, 2), [1]);
    bench.put(1, 2, leased(8, 2), 2);
    assert_eq!(bench.lease(1, 9), [0; 0]);
    assert_eq!(bench.index.begin_spent(9).len(), 1);
    assert_eq!(bench.index.begin_spent(9).len(), 0);
    let reason = DeadReason::Expired;
    bench.put(1, 2, Kept::Dead { reason }, 9);
    assert_eq!(bench.counts(9), (0, 0, 0, 1));
    assert_eq!(bench.index.dead(&bench.queue, 9)[0].attempts, 2);
    assert_eq!(bench.lease(1, 9), [0; 0]);
}

#[test]
fn a_receipt_counts_until_another_lease_begins() {
    let mut bench = Bench::new();
    bench.put(1, 0, Kept::Ready, 0);
    let of = |bench: &mut Bench, number, receipt| {
        bench
            .index
            .begin_of(number, Receipt(receipt))
            .map(|begun| begun.number)
    };
    assert_eq!(of(&mut bench, 1, 7), Err(Refusal::NotLeased));
    assert_eq!(of(&mut bench, 2, 7), Err(Refusal::Unknown));
    bench.put(1, 1, leased(7, 2), 0);
    assert_eq!(of(&mut bench, 1, 8), Err(Refusal::Superseded));
    // Late, and nobody else has it.
    bench.index.advance(bench.at(5));
    assert_eq!(of(&mut bench, 1, 7), Ok(1));
    assert_eq!(of(&mut bench, 1, 7), Err(Refusal::Busy));
    bench.index.give_back(1);
    assert_eq!(bench.lease(1, 5), [1]);
    assert_eq!(of(&mut bench, 1, 7), Err(Refusal::Busy));
    bench.put(1, 2, leased(8, 2), 5);
    assert_eq!(of(&mut bench, 1, 7), Err(Refusal::Superseded));
    bench.put(1, 2, Kept::Ready, 5);
    assert_eq!(of(&mut bench, 1, 8), Err(Refusal::Superseded));
    bench.put(1, 2, Kept::Done, 5);
    assert_eq!(of(&mut bench, 1, 8), Err(Refusal::Unknown));
}

#[test]
fn a_task_that_is_being_changed_does_not_run_out_meanwhile() {
    let mut bench = Bench::new();
    bench.put(1, 1, leased(7, 2), 0);
    bench.index.begin_of(1, Receipt(7)).unwrap();
    assert_eq!(bench.lease(1, 9), [0; 0]);
    bench.index.give_back(1);
    assert_eq!(bench.lease(1, 9), [1]);
}

#[test]
fn a_dead_task_is_begun_and_others_are_not() {
    let mut bench = Bench::new();
    bench.put(1, 0, Kept::Ready, 0);
    assert_eq!(bench.index.begin_dead(1), Err(Refusal::NotDead));
    let reason = DeadReason::Rejected;
    bench.put(1, 2, Kept::Dead { reason }, 0);
    assert_eq!(bench.index.begin_dead(1).unwrap().number, 1);
    assert_eq!(bench.index.begin_dead(1), Err(Refusal::Busy));
}

#[test]
fn an_idempotency_key_finds_its_task_until_it_is_forgotten() {
    let mut bench = Bench::new();
    let (queue, key) = (bench.queue.clone(), Bytes::from_static(b"order-7"));
    assert_eq!(bench.index.repeat(&queue, &key), Repeat::First);
    assert_eq!(bench.index.repeat(&queue, &key), Repeat::UnderWay);
    bench.index.unrepeat(&queue, &key);
    assert_eq!(bench.index.repeat(&queue, &key), Repeat::First);
    let head = |kept| Head {
        attempts: 0,
        attempts_max: 2,
        kept,
        idempotency: Some(key.clone()),
    };
    let now = bench.begun;
    let mut put = |number, kept| {
        bench
            .index
            .put(number, &queue, Stamp::ZERO, head(kept), now);
        bench.index.repeat(&queue, &key)
    };
    assert_eq!(put(4, Kept::Ready), Repeat::Known(4));
    assert_eq!(put(4, Kept::Done), Repeat::Known(4));
    bench.index.unrepeat(&queue, &key);
    assert_eq!(bench.index.repeat(&queue, &key), Repeat::Known(4));
    bench.index.remove(4);
    assert_eq!(bench.index.repeat(&queue, &key), Repeat::First);
}

#[test]
fn the_newest_that_are_done_are_remembered() {
    let mut bench = Bench::new();
    let most = DONE_MAX as u64;
    for number in 1..=most + 3 {
        bench.put(number, 1, Kept::Done, 0);
    }
    let begun = bench.index.begin_forgetting(2);
    let numbers: Vec<_> = begun.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(bench.index.begin_forgetting(9).len(), 1);
    assert_eq!(bench.index.begin_forgetting(9).len(), 0);
    assert_eq!(bench.counts(0), (0, 0, 0, 0));
}

/// Every task is in exactly the list of its phase, and is counted once.
fn assert_sound(index: &Index) {
    let mut counted: BTreeMap<&QueueName, Counts> = BTreeMap::new();
    for (number, entry) in &index.tasks {
        if let Some(count) = entry.phase.count(counted.entry(&entry.queue).or_default()) {
            *count += 1;
        }
        let lists = &index.queues.get(&entry.queue);
        let in_ready = lists.is_some_and(|lists| lists.ready.contains(number));
        let in_dead = lists.is_some_and(|lists| lists.dead.contains(number));
        let in_deadlines = index.deadlines.iter().any(|one| one.1 == *number);
        let lists = [
            in_ready,
            in_dead,
            in_deadlines,
            index.spent.contains(number),
            index.done.contains(number),
        ];
        let listed = lists.iter().filter(|one| **one).count();
        assert_eq!(listed, usize::from(!entry.begun), "{number}: {entry:?}");
    }
    for (queue, lists) in &index.queues {
        assert_eq!(Some(&lists.counts), counted.get(queue), "{queue}");
    }
}

proptest::proptest! {
    #[test]
    fn a_task_is_in_one_list_whatever_is_done(
        steps in proptest::collection::vec((0_u8..8, 1_u64..6, 0_u64..4), 1..80)
    ) {
        let mut bench = Bench::new();
        for (at, (step, number, what)) in (0_u32..).zip(steps) {
            let delay = Duration::from_secs(what);
            let attempts = u32::try_from(what).unwrap();
            match step {
                0 => bench.put(number, attempts, Kept::Ready, at),
                1 => bench.put(number, attempts, Kept::Delayed { delay }, at),
                2 => bench.put(number, attempts, leased(what.into(), what), at),
                3 => bench.put(number, attempts, Kept::Done, at),
                4 => drop(bench.lease(2, at)),
                5 => drop(bench.index.begin_of(number, Receipt(what.into()))),
                6 => bench.index.give_back(number),
                _ => bench.index.remove(number),
            }
            assert_sound(&bench.index);
            bench.index.begin_spent(1);
            assert_sound(&bench.index);
        }
    }
}
