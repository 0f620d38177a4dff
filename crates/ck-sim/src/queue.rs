//! What happens next: events in order of time, those of one instant in a seeded order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Instant;
use crate::random::Random;

struct Item<E> {
    key: Reverse<(Instant, u64, u64)>,
    event: E,
}

impl<E> PartialEq for Item<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Item<E> {}

impl<E> PartialOrd for Item<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Item<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// The scheduler.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Item<E>>,
    ties: Random,
    count: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new(ties: Random) -> Self {
        Self {
            heap: BinaryHeap::new(),
            ties,
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Instant, event: E) {
        self.count += 1;
        let key = Reverse((at, self.ties.next(), self.count));
        self.heap.push(Item { key, event });
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, E)> {
        let item = self.heap.pop()?;
        Some((item.key.0.0, item.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_ties_by_the_seed() {
        let order = |seed| {
            let mut queue = Queue::new(Random::new(seed, 0));
            for event in 0..8 {
                queue.push(5, event);
            }
            queue.push(1, 99);
            let mut out = Vec::new();
            while let Some((_, event)) = queue.pop() {
                out.push(event);
            }
            out
        };
        assert_eq!(order(1)[0], 99);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
