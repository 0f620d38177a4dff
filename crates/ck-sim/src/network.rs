//! What becomes of a message: loss, delay, duplication, reordering, and links that are cut one way.

use crate::clock::{Instant, MS};
use crate::random::Random;

/// The links between places, each way by itself.
#[derive(Debug, Clone)]
pub struct Network {
    places: usize,
    /// How many faults hold a link cut; a link is up at 0.
    cuts: Vec<u16>,
    /// Extra delay of a place, each way.
    slow: Vec<Instant>,
    delay: (Instant, Instant),
    loss_permille: u64,
    duplicates_permille: u64,
    late_permille: u64,
    random: Random,
}

/// What an undisturbed message takes.
const SHORTEST: Instant = MS / 10;
const LONGEST: Instant = 3 * MS;

/// What a repeated message takes at most: several leases.
const LATEST: Instant = 8_000 * MS;

impl Network {
    /// A network of `places` where every link is up and takes 0.1 to 3 ms.
    #[must_use]
    pub fn new(places: usize, random: Random) -> Self {
        Self {
            places,
            cuts: vec![0; places * places],
            slow: vec![0; places],
            delay: (SHORTEST, LONGEST),
            loss_permille: 0,
            duplicates_permille: 0,
            late_permille: 0,
            random,
        }
    }

    /// Cuts a link one way, once more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts[from * self.places + to] += 1;
    }

    /// Takes one cut back.
    pub fn mend(&mut self, from: usize, to: usize) {
        let cuts = &mut self.cuts[from * self.places + to];
        *cuts = cuts.saturating_sub(1);
    }

    /// Whether a link is up.
    #[must_use]
    pub fn is_up(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.places + to] == 0
    }

    /// Whether both ways between two places are up.
    #[must_use]
    pub fn both_up(&self, one: usize, other: usize) -> bool {
        self.is_up(one, other) && self.is_up(other, one)
    }

    /// Adds delay to every message of a place, each way.
    pub fn slow_down(&mut self, place: usize, extra: Instant) {
        self.slow[place] = extra;
    }

    /// Makes all links lose so many of a thousand messages.
    pub const fn lose(&mut self, permille: u64) {
        self.loss_permille = permille;
    }

    /// Makes so many of a thousand messages come twice, the second time late.
    pub const fn double(&mut self, permille: u64) {
        self.duplicates_permille = permille;
    }

    /// Makes every message take so long; a wide span lets them overtake each other.
    pub const fn delayed(&mut self, shortest: Instant, longest: Instant) {
        self.delay = (shortest, longest);
    }

    /// Makes so many of a thousand messages that are lost arrive late after all, as they do where a
    /// sender repeats what was not received.
    pub const fn repeat(&mut self, permille: u64) {
        self.late_permille = permille;
    }

    /// Ends every fault. What is late may still come.
    pub fn heal(&mut self) {
        self.cuts.fill(0);
        self.slow.fill(0);
        self.lose(0);
        self.double(0);
        self.delayed(SHORTEST, LONGEST);
    }

    /// How long each arrival of a message takes: none when it is lost, two when it is doubled.
    pub fn send(&mut self, from: usize, to: usize) -> [Option<Instant>; 2] {
        if from == to {
            return [Some(1_000), None];
        }
        if !self.is_up(from, to) || self.random.permille(self.loss_permille) {
            let repeated = self.random.permille(self.late_permille);
            return [repeated.then(|| self.late()), None];
        }
        let first = Some(self.delay(from, to));
        let second = self.random.permille(self.duplicates_permille);
        [first, second.then(|| self.late())]
    }

    /// Some milliseconds as often as some seconds.
    fn late(&mut self) -> Instant {
        let most = self.random.below(LATEST);
        self.random.between(self.delay.0, most)
    }

    fn delay(&mut self, from: usize, to: usize) -> Instant {
        // Messages of one link overtake each other whenever their delays say so.
        self.random.between(self.delay.0, self.delay.1) + self.slow[from] + self.slow[to]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_works_one_way_and_as_often_as_it_was_made() {
        let mut network = Network::new(3, Random::new(1, 1));
        network.cut(0, 1);
        network.cut(0, 1);
        assert_eq!(network.send(0, 1), [None, None]);
        assert!(network.send(1, 0)[0].is_some());
        network.mend(0, 1);
        assert!(!network.is_up(0, 1));
        network.mend(0, 1);
        assert!(network.both_up(0, 1));
    }

    #[test]
    fn what_a_cut_keeps_may_come_late() {
        let mut network = Network::new(2, Random::new(5, 1));
        network.cut(0, 1);
        network.repeat(500);
        let sent: Vec<_> = (0..200).filter_map(|_| network.send(0, 1)[0]).collect();
        assert!((60..140).contains(&sent.len()));
        assert!(sent.iter().any(|late| *late > 2_000 * MS));
    }

    #[test]
    fn disturbance_loses_doubles_and_reorders_until_it_is_healed() {
        let mut network = Network::new(2, Random::new(3, 1));
        network.lose(300);
        network.double(300);
        network.delayed(MS, 50 * MS);
        let sent: Vec<_> = (0..500).map(|_| network.send(0, 1)).collect();
        assert!(sent.iter().any(|one| one[0].is_none()));
        assert!(sent.iter().any(|one| one[1].is_some()));
        assert!(!sent.is_sorted_by(|a, b| a[0] <= b[0]));
        network.heal();
        assert!((0..500).all(|_| network.send(0, 1)[0].is_some_and(|delay| delay <= 3 * MS)));
    }
}
