//! One client: an operation after another, each told to a history if there is one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ck_client::Router;
use ck_sim::history::{self, Kind, Outcome};
use tokio::sync::Semaphore;

use crate::answer::{Answer, Condition, Request};
use crate::connection::{Broken, Connection, Reply};
use crate::keys::{self, Keys};
use crate::measure::Operation;
use crate::plan::{Plan, VALUE_BYTES_MAX};
use crate::recorder::{Clock, Told};
use crate::route::{Partitions, Way};
use crate::values::Values;

/// Most keys whose version a client remembers for a compare-and-set.
const KNOWN_MAX: usize = 1_024;

/// The key whose values are large at times. Only one, so that what all clients hold of them is bounded.
const LARGE_KEY: u64 = 0;

/// Operations on that key at a time, whoever they are of.
const LARGE_MAX: usize = 4;

/// First and longest pause after an operation that was not served.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(160)];

/// What a client and those beside it share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    /// One for each client in turn.
    pub(crate) ways: Vec<Way>,
    pub(crate) clock: Clock,
    pub(crate) told: Option<Told>,
    pub(crate) partitions: Option<Partitions>,
    /// Tells the values of this run from those of others.
    pub(crate) run: u64,
    pub(crate) odd: Arc<Odd>,
}

/// What is kept of values of odd sizes.
#[derive(Debug)]
pub(crate) struct Odd {
    /// One for each operation on [`LARGE_KEY`].
    permits: Semaphore,
    /// Writes of no bytes that were acknowledged.
    pub(crate) empty: AtomicU64,
    /// And of as many as there may be.
    pub(crate) large: AtomicU64,
}

impl Default for Odd {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(LARGE_MAX),
            empty: AtomicU64::new(0),
            large: AtomicU64::new(0),
        }
    }
}

impl Odd {
    fn count(&self, request: &Request, answer: &Answer) {
        if let (Request::Put(value, _), Answer::Written { .. }) = (request, answer) {
            match value.len() {
                0 => self.empty.fetch_add(1, Ordering::Relaxed),
                VALUE_BYTES_MAX => self.large.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
        }
    }
}

/// What was there when a client looked last.
#[derive(Debug)]
struct Known {
    condition: Condition,
    value: Option<String>,
}

/// One operation that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) operation: Operation,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pub(crate) answer: Answer,
}

/// An operation on its way, with what a history says of it.
struct Planned {
    operation: Operation,
    number: u64,
    request: Request,
    value: Option<String>,
    expected: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Client {
    shared: Shared,
    number: usize,
    keys: Keys,
    values: Values,
    known: HashMap<u64, Known>,
    connections: HashMap<SocketAddr, Connection>,
    failures: usize,
    pause: Duration,
}

impl Client {
    pub(crate) fn new(shared: Shared, number: usize) -> Self {
        let plan = &shared.plan;
        let (client, clients) = (number as u64, plan.clients as u64);
        Self {
            keys: Keys::new(plan.keys, plan.distribution, plan.seed, client, clients),
            values: Values::new(shared.run, client),
            number,
            known: HashMap::new(),
            connections: HashMap::new(),
            failures: 0,
            pause: PAUSES[0],
            shared,
        }
    }

    /// Draws an operation and performs it.
    pub(crate) async fn step(&mut self) -> Done {
        let planned = self.planned();
        self.perform(planned).await
    }

    /// Writes a key, whatever is there.
    pub(crate) async fn write(&mut self, number: u64) -> Done {
        let planned = self.put(number);
        self.perform(planned).await
    }

    /// Reads a key.
    pub(crate) async fn read(&mut self, number: u64) -> Done {
        self.perform(get(number)).await
    }

    /// Waits a little where the last operation was not served, longer each time.
    pub(crate) async fn recover(&mut self, answer: &Answer) {
        if answer.is_served() {
            self.pause = PAUSES[0];
            return;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    fn planned(&mut self) -> Planned {
        let number = self.keys.next_key();
        let mix = self.shared.plan.mix;
        let operation = mix.at(self.keys.below(mix.total()));
        match operation {
            Operation::Get => get(number),
            Operation::Put => self.put(number),
            Operation::Delete => Planned {
                operation,
                number,
                request: Request::Delete(Condition::None),
                value: None,
                expected: None,
            },
            Operation::Cas => self.cas(number),
        }
    }

    /// Bytes of a key's next value.
    fn size(&mut self, number: u64) -> usize {
        let plan = &self.shared.plan;
        let odd = plan.odd_values;
        if odd == 0 || self.keys.below(odd) > 0 {
            return plan.value_bytes;
        }
        if number == LARGE_KEY && self.keys.below(2) == 0 {
            VALUE_BYTES_MAX
        } else {
            0
        }
    }

    fn put(&mut self, number: u64) -> Planned {
        let size = self.size(number);
        let (bytes, name) = self.values.make(size);
        Planned {
            operation: Operation::Put,
            number,
            request: Request::Put(bytes, Condition::None),
            value: Some(name),
            expected: None,
        }
    }

    /// Replaces what is known to be there, or removes it; where nothing is known, looks.
    fn cas(&mut self, number: u64) -> Planned {
        let Some(Known { condition, value }) = self.known.remove(&number) else {
            return get(number);
        };
        let removes = value.is_some() && self.keys.below(8) == 0;
        let (request, new) = if removes {
            (Request::Delete(condition), None)
        } else {
            let size = self.size(number);
            let (bytes, name) = self.values.make(size);
            (Request::Put(bytes, condition), Some(name))
        };
        Planned {
            operation: Operation::Cas,
            number,
            request,
            value: new,
            expected: value,
        }
    }

    async fn perform(&mut self, planned: Planned) -> Done {
        let plan = Arc::clone(&self.shared.plan);
        let key = keys::bytes(&plan.key_prefix, planned.number, plan.odd_keys);
        let way = &self.shared.ways[self.number % self.shared.ways.len()];
        let odd = Arc::clone(&self.shared.odd);
        // Until the answer was looked at: it may be as large as the question.
        let _permit = match planned.number {
            LARGE_KEY if plan.odd_values > 0 => odd.permits.acquire().await.ok(),
            _ => None,
        };
        let built = plan.protocol.request(&key, &planned.request);
        let sent = Instant::now();
        let reply = match (built, way) {
            (Ok(request), Way::Client(router)) => routed(router, &key, request).await,
            (Ok(request), Way::Any(spread)) => {
                let server = spread.place(self.number, self.failures);
                let known = self.connections.entry(server.address);
                let connection = known.or_insert_with(|| spread.connection(server));
                connection.exchange(request, plan.timeout).await
            }
            (Err(_), _) => Err(Broken::NotSent),
        };
        let answer = match reply {
            Ok(reply) => plan.protocol.answer(&planned.request, &reply),
            Err(Broken::NotSent) => Answer::NotSent,
            Err(Broken::Unknown) => Answer::Unknown(None),
        };
        let ended = Instant::now();
        if !answer.is_served() {
            self.failures += 1;
        }
        let read = match &answer {
            Answer::Read { value, .. } if plan.recorded => Some(Values::name(value)),
            _ => None,
        };
        odd.count(&planned.request, &answer);
        let operation = planned.operation;
        self.remember(&planned, &answer, read.as_ref());
        if let Some(told) = &self.shared.told {
            told.operation(self.record(planned, &key, [sent, ended], &answer, read));
        }
        Done {
            operation,
            sent,
            ended,
            answer,
        }
    }

    fn remember(&mut self, planned: &Planned, answer: &Answer, read: Option<&String>) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let (condition, value) = match answer {
            // By its value, an empty one is not told from another, as a version is.
            Answer::Read { value, .. } if value.is_empty() => return,
            Answer::Read {
                version: Some(version),
                ..
            } => (Condition::Version(version.clone()), read.cloned()),
            Answer::Absent => (Condition::Absent, None),
            Answer::Written { version } => match (&planned.request, version) {
                (Request::Put(value, _), Some(version)) if !value.is_empty() => {
                    (Condition::Version(version.clone()), planned.value.clone())
                }
                (Request::Delete(_), _) => (Condition::Absent, None),
                _ => return,
            },
            _ => return,
        };
        self.known
            .insert(planned.number, Known { condition, value });
    }

    fn record(
        &self,
        planned: Planned,
        key: &[u8],
        [sent, ended]: [Instant; 2],
        answer: &Answer,
        read: Option<String>,
    ) -> history::Operation {
        let op = match planned.operation {
            Operation::Get => Kind::Get,
            Operation::Put => Kind::Put,
            Operation::Delete => Kind::Delete,
            Operation::Cas => Kind::Cas,
        };
        let outcome = match answer {
            Answer::Written { .. } | Answer::Read { .. } | Answer::Absent => Outcome::Ok,
            Answer::Mismatch if op == Kind::Cas => Outcome::Mismatch,
            // Of a write without a condition it makes no sense, and says that nothing was done.
            Answer::Mismatch | Answer::Refused(_) | Answer::NotSent => Outcome::Failed,
            Answer::Unknown(_) => Outcome::Unknown,
        };
        history::Operation {
            op,
            client: format!("c{}", self.number),
            key: keys::encoded(key),
            value: if op == Kind::Get { read } else { planned.value },
            expected: planned.expected,
            start: self.shared.clock.of(sent),
            end: Some(self.shared.clock.of(ended)),
            outcome,
            partition: self.shared.partitions.map(|partitions| partitions.of(key)),
        }
    }
}

/// By a router, which follows whoever says that another is the primary now.
async fn routed(
    router: &Router,
    key: &[u8],
    request: hyper::Request<Bytes>,
) -> Result<Reply, Broken> {
    match router.send(key, request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body,
            })
        }
        Err(error) if error.is_outcome_unknown() => Err(Broken::Unknown),
        Err(_) => Err(Broken::NotSent),
    }
}

const fn get(number: u64) -> Planned {
    Planned {
        operation: Operation::Get,
        number,
        request: Request::Get,
        value: None,
        expected: None,
    }
}
