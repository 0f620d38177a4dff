//! Who owns what, as seen from outside, written into the history.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ck_api::Owned;
use ck_control::Incarnation;
use ck_core::{Epoch, PartitionId};
use ck_sim::history::{Line, Seen};

use super::nodes::client;
use crate::recorder::{Clock, Told};

/// Between two looks at one node.
const EVERY: Duration = Duration::from_millis(25);

/// A time of ownership: surely so from the answer that told it first until the question that it
/// was told to last.
struct Tenure {
    from: u64,
    until: u64,
}

/// Asks one node what it owns until it is told to end, and records when it surely did.
pub(super) struct Owners {
    node: String,
    clock: Clock,
    told: Told,
    held: BTreeMap<(PartitionId, u64, u64), Tenure>,
}

impl Owners {
    pub(super) fn new(node: String, clock: Clock, told: Told) -> Self {
        let held = BTreeMap::new();
        Self {
            node,
            clock,
            told,
            held,
        }
    }

    /// Runs until `ended` is told.
    pub(super) async fn watch(
        mut self,
        http: SocketAddr,
        ended: tokio::sync::watch::Receiver<bool>,
    ) {
        let client = client([http]);
        while !*ended.borrow() {
            let asked = self.clock.now();
            match client.owned().await {
                Ok(owned) => self.saw(&owned, asked),
                // It may be gone, or slow: what it owned it surely did until it was asked last.
                Err(_) => self.lost(|_| true),
            }
            tokio::time::sleep(EVERY).await;
        }
        self.lost(|_| true);
    }

    fn saw(&mut self, owned: &Owned, asked: u64) {
        let answered = self.clock.now();
        let mut now = Vec::new();
        for one in &owned.owned {
            let Ok(partition) = one.id.parse::<PartitionId>() else {
                continue;
            };
            let key = (partition, owned.incarnation, one.epoch);
            now.push(key);
            let tenure = self.held.entry(key).or_insert(Tenure {
                from: answered,
                until: 0,
            });
            tenure.until = tenure.until.max(asked);
        }
        self.lost(|key| !now.contains(key));
    }

    /// Ends and records those.
    fn lost(&mut self, gone: impl Fn(&(PartitionId, u64, u64)) -> bool) {
        let ended: Vec<_> = self.held.keys().filter(|key| gone(key)).copied().collect();
        for key in ended {
            let Some(Tenure { from, until }) = self.held.remove(&key) else {
                continue;
            };
            // Seen once, it was so at some instant between the question and the answer, which
            // proves nothing.
            if until <= from {
                continue;
            }
            for (seen, at) in [(Seen::Owns, from), (Seen::Lost, until)] {
                let (partition, incarnation, epoch) = key;
                self.told.line(Line {
                    at,
                    node: self.node.clone(),
                    seen,
                    partition,
                    epoch: Epoch(epoch),
                    incarnation: Incarnation(incarnation),
                    write: None,
                });
            }
        }
    }
}
