//! Owners seen from outside: every node is asked `/v1/owned` again and again, by a thread each.
//!
//! What an answer proves. It was computed at some instant between the sending of its request and
//! the arrival of its end, and lists what the node might act on at that instant. So:
//!
//! - Two nodes that ever answer with the same epoch of a partition were both granted it. When they
//!   did so plays no part.
//! - When an answer with a lower epoch belongs to a request that was *sent after* an answer with a
//!   higher one had *arrived*, the lower one was claimed after the higher one: its holder acted, or
//!   could have, on what was another's. Order of arrival alone proves nothing, nor do answers whose
//!   intervals overlap: the role may have moved between the two instants.
//!
//! The second covers two owners at once: a grant is one stretch of time, so an owner that claims an
//! epoch before and after another node's higher one held it in between. All times are of one clock,
//! this process's. No correct cluster trips either check; a double owner shorter than the distance
//! of two answers may go unseen, which is the simulator's part.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Server, answer, send, wait_for};

/// A bound on time, twice as long while tasks wait for a processor most of the time.
pub(crate) fn on_this_machine(bound: Duration) -> Duration {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let share = pressure.split_once("avg10=").and_then(|(_, rest)| {
        let (share, _) = rest.split_once(' ')?;
        share.parse::<f64>().ok()
    });
    if let Some(share) = share.filter(|share| *share > 70.0) {
        eprintln!("tasks wait for a processor {share} % of the time: {bound:?} is doubled");
        return bound * 2;
    }
    bound
}

/// Between two questions to one node: often enough to see a handoff, and no load to speak of.
const EVERY: Duration = Duration::from_millis(15);

/// Longest a node is waited for: a stopped process must not hold its thread.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// One answer of `/v1/owned`.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) node: String,
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
    /// Partition to epoch.
    pub(crate) owned: BTreeMap<String, u64>,
    /// What was left of the lease.
    pub(crate) lease: Duration,
}

/// Asks a node once; `None` when it does not answer.
pub(crate) fn owned(node: &str, http: SocketAddr, within: Duration) -> Option<Claim> {
    ask(node, http, within)?.answer()
}

/// A question that was sent.
pub(crate) struct Asked {
    node: String,
    sent: Instant,
    stream: TcpStream,
}

/// Sends the question; whoever is frozen answers it when it wakes.
pub(crate) fn ask(node: &str, http: SocketAddr, within: Duration) -> Option<Asked> {
    let sent = Instant::now();
    let stream = send(http, "GET", "/v1/owned", &[], b"", within).ok()?;
    let node = node.to_owned();
    Some(Asked { node, sent, stream })
}

impl Asked {
    pub(crate) fn answer(self) -> Option<Claim> {
        let reply = answer(self.stream).ok()?;
        let received = Instant::now();
        if reply.status != 200 {
            return None;
        }
        let answer = reply.json();
        let list = answer["owned"].as_array()?.iter();
        let owned = list
            .map(|one| Some((one["id"].as_str()?.to_owned(), one["epoch"].as_u64()?)))
            .collect::<Option<_>>()?;
        Some(Claim {
            node: self.node,
            sent: self.sent,
            received,
            owned,
            lease: Duration::from_millis(answer["lease_remaining_ms"].as_u64()?),
        })
    }
}

/// The threads that ask.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Claim>>>,
}

impl Watch {
    /// Returns once each has answered.
    #[track_caller]
    pub(crate) fn start<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let silent = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = servers
            .into_iter()
            .map(|server| {
                let silent = Arc::clone(&silent);
                silent.fetch_add(1, Ordering::Relaxed);
                let (id, http, over) = (server.id.clone(), server.http, Arc::clone(&over));
                std::thread::spawn(move || {
                    let mut claims = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let heard = owned(&id, http, ANSWERS_WITHIN);
                        if claims.is_empty() && heard.is_some() {
                            silent.fetch_sub(1, Ordering::Relaxed);
                        }
                        claims.extend(heard);
                        std::thread::sleep(EVERY);
                    }
                    claims
                })
            })
            .collect();
        wait_for("every node has answered", ANSWERS_WITHIN, || {
            (silent.load(Ordering::Relaxed) == 0).then_some(())
        });
        Self { over, threads }
    }

    /// What was seen, once it was checked that nobody ever acted on what was another's.
    #[track_caller]
    pub(crate) fn stop(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        let claims = threads.flat_map(|thread| thread.join().expect("no watcher panics"));
        let seen = Seen::of(claims.collect());
        seen.assert_one_owner_at_a_time();
        seen
    }
}

/// All answers, in the order in which they were asked for.
pub(crate) struct Seen {
    claims: Vec<Claim>,
}

impl Seen {
    pub(crate) fn of(mut claims: Vec<Claim>) -> Self {
        claims.sort_by_key(|claim| claim.sent);
        Self { claims }
    }

    /// What breaks the rules of the module's head, in words.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut granted: BTreeMap<(&str, u64), &str> = BTreeMap::new();
        let mut highest: BTreeMap<&str, (u64, &Claim)> = BTreeMap::new();
        let mut arrived: Vec<&Claim> = self.claims.iter().collect();
        arrived.sort_by_key(|claim| claim.received);
        let mut arrived = arrived.into_iter().peekable();
        for claim in &self.claims {
            while let Some(earlier) = arrived.next_if(|one| one.received < claim.sent) {
                for (partition, epoch) in &earlier.owned {
                    let highest = highest.entry(partition).or_insert((*epoch, earlier));
                    if highest.0 < *epoch {
                        *highest = (*epoch, earlier);
                    }
                }
            }
            for (partition, epoch) in &claim.owned {
                let first = *granted.entry((partition, *epoch)).or_insert(&claim.node);
                if first != claim.node {
                    let node = &claim.node;
                    found.push(format!("{partition} at {epoch}: {first} and {node}"));
                }
                if let Some((higher, by)) = highest.get(&**partition).filter(|one| one.0 > *epoch) {
                    found.push(format!(
                        "{partition}: {} claims {epoch}, asked {:?} after {} claimed {higher}",
                        claim.node,
                        claim.sent.duration_since(by.received),
                        by.node
                    ));
                }
            }
        }
        found
    }

    #[track_caller]
    fn assert_one_owner_at_a_time(&self) {
        let found = self.violations();
        assert!(found.is_empty(), "{} cases: {:#?}", found.len(), &found[..]);
    }

    /// Whoever heard a node's last answer before it was killed at `killed` may act on it until the
    /// lease it named runs out, and the earliest end of that is the sending plus the lease: a new
    /// owner that was heard before is one too many. (Only where nothing was handed over.)
    #[track_caller]
    pub(crate) fn assert_outlasted(&self, node: &str, killed: Instant) {
        let heard = self.of_node(node).filter(|claim| claim.received < killed);
        let last = heard.max_by_key(|claim| claim.received);
        let last = last.expect("it was heard before it was killed");
        let until = last.sent + last.lease;
        for (partition, epoch) in &last.owned {
            let newer = |claim: &&Claim| claim.owned.get(partition).is_some_and(|one| one > epoch);
            let next = self.claims.iter().filter(newer).map(|claim| claim.received);
            if let Some(early) = next.min().filter(|heard| *heard < until) {
                let early = until.duration_since(early);
                panic!("{partition} of {node} had a new owner {early:?} before its lease was over");
            }
        }
    }

    fn of_node(&self, node: &str) -> impl Iterator<Item = &Claim> {
        let node = node.to_owned();
        self.claims.iter().filter(move |claim| claim.node == node)
    }

    /// Asserts that no partition went without an owner for `bound`, or twice that on a machine that
    /// has more to do than it can.
    #[track_caller]
    pub(crate) fn assert_no_gap(&self, bound: Duration) {
        let (gap, partition) = self.longest_gap();
        let took = |claim: &Claim| claim.received.duration_since(claim.sent);
        let slowest = self.claims.iter().map(took).max().unwrap_or_default();
        eprintln!("longest without an owner: {partition}, {gap:?}; slowest answer {slowest:?}");
        let bound = on_this_machine(bound);
        if slowest > bound / 2 {
            eprintln!("too slow a machine for a statement about {bound:?}");
            return;
        }
        assert!(gap < bound, "{partition} had no owner for {gap:?}");
    }

    /// The longest time between two answers that name an owner of a partition, and of which. The
    /// true gap may be shorter, since it takes an answer to see its end.
    fn longest_gap(&self) -> (Duration, String) {
        let mut last: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut longest = (Duration::ZERO, String::new());
        let mut arrived: Vec<&Claim> = self.claims.iter().collect();
        arrived.sort_by_key(|claim| claim.received);
        for claim in arrived {
            for partition in claim.owned.keys() {
                if let Some(before) = last.insert(partition, claim.received) {
                    let gap = claim.received.duration_since(before);
                    if gap > longest.0 {
                        longest = (gap, partition.clone());
                    }
                }
            }
        }
        longest
    }
}
