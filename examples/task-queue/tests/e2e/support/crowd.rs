//! Producers and workers that run beside a test and remember what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::{Failed, tasks};
use super::{BOUND, Client, wait_for};

/// Between two looks at what is open.
const PAUSE: Duration = Duration::from_millis(20);

/// The queue they use.
const QUEUE: &str = "crowd";

/// One delivery of a task.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) task: String,
    pub(crate) receipt: String,
    /// Before it was asked for, and once it was there.
    pub(crate) asked: Instant,
    pub(crate) came: Instant,
    pub(crate) acknowledged: bool,
}

/// What all of them were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Payloads that were taken, and their tasks.
    pub(crate) enqueued: BTreeMap<String, String>,
    /// Deliveries by payload, in order.
    pub(crate) delivered: BTreeMap<String, Vec<Delivery>>,
    /// Answers that a client that follows should not get.
    pub(crate) failed: Vec<String>,
}

/// Producers and workers.
pub(crate) struct Crowd {
    told: Arc<Mutex<Told>>,
    no_more: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    enqueued: Arc<AtomicUsize>,
    producers: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// So many of each, that begin at different nodes; workers lease for `visibility_ms`.
    pub(crate) fn start(
        client: &Client,
        producers: usize,
        workers: usize,
        visibility_ms: u32,
    ) -> Self {
        let mut crowd = Self {
            told: Arc::default(),
            no_more: Arc::default(),
            over: Arc::default(),
            enqueued: Arc::default(),
            producers: Vec::new(),
            workers: Vec::new(),
        };
        for at in 0..producers {
            let client = client.clone().from(at);
            let (told, no_more) = (Arc::clone(&crowd.told), Arc::clone(&crowd.no_more));
            let count = Arc::clone(&crowd.enqueued);
            let produce = move || produce(at, client, &told, &no_more, &count);
            crowd.producers.push(std::thread::spawn(produce));
        }
        for at in 0..workers {
            let client = client.clone().from(at);
            let (told, over) = (Arc::clone(&crowd.told), Arc::clone(&crowd.over));
            let work = move || work(client, visibility_ms, &told, &over);
            crowd.workers.push(std::thread::spawn(work));
        }
        crowd
    }

    /// Waits until so many more tasks were taken.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, more: usize) {
        let until = self.enqueued.load(Ordering::SeqCst) + more;
        wait_for("tasks are taken", BOUND, || {
            (self.enqueued.load(Ordering::SeqCst) >= until).then_some(())
        });
    }

    /// No more tasks; returns once every one that was taken has been acknowledged.
    #[track_caller]
    pub(crate) fn finish(self) -> Told {
        self.no_more.store(true, Ordering::SeqCst);
        for producer in self.producers {
            producer.join().expect("a producer does not panic");
        }
        let begun = Instant::now();
        loop {
            let told = self.told.lock().expect("nobody panics with it");
            let is_open = |payload: &&String| {
                let delivered = told.delivered.get(*payload).into_iter().flatten();
                !delivered.into_iter().any(|one| one.acknowledged)
            };
            let open: Vec<_> = told.enqueued.iter().filter(|one| is_open(&one.0)).collect();
            if open.is_empty() {
                break;
            }
            let late = begun.elapsed() > BOUND;
            assert!(!late, "not acknowledged: {open:?}\n{:#?}", told.failed);
            drop(told);
            std::thread::sleep(PAUSE);
        }
        self.over.store(true, Ordering::SeqCst);
        for worker in self.workers {
            worker.join().expect("a worker does not panic");
        }
        std::mem::take(&mut *self.told.lock().expect("nobody panics with it"))
    }
}

fn produce(
    at: usize,
    mut client: Client,
    told: &Mutex<Told>,
    no_more: &AtomicBool,
    count: &AtomicUsize,
) {
    for number in 0.. {
        if no_more.load(Ordering::SeqCst) {
            return;
        }
        let payload = format!("{at}-{number}");
        let headers = [("Idempotency-Key", payload.as_str())];
        let path = format!("/queues/{QUEUE}");
        // Until it is known: the same key makes no second task of it.
        let task = loop {
            match client.follow("POST", &path, &headers, payload.as_bytes()) {
                Ok(reply) => break reply.json()["task"].as_str().expect("a task").to_owned(),
                Err(Failed::Broken) => {}
                Err(Failed::Answered(status, text)) => {
                    let mut told = told.lock().expect("nobody panics with it");
                    told.failed.push(format!("enqueue: {status} {text}"));
                }
            }
        };
        let mut told = told.lock().expect("nobody panics with it");
        told.enqueued.insert(payload, task);
        count.fetch_add(1, Ordering::SeqCst);
    }
}

fn work(mut client: Client, visibility_ms: u32, told: &Mutex<Told>, over: &AtomicBool) {
    let path = format!("/queues/{QUEUE}/lease?max=4&visibility_ms={visibility_ms}&wait_ms=300");
    while !over.load(Ordering::SeqCst) {
        let asked = Instant::now();
        let reply = match client.follow("POST", &path, &[], b"") {
            Ok(reply) => reply,
            Err(Failed::Broken) => continue,
            Err(Failed::Answered(status, text)) => {
                let mut told = told.lock().expect("nobody panics with it");
                told.failed.push(format!("lease: {status} {text}"));
                continue;
            }
        };
        let came = Instant::now();
        for one in tasks(&reply) {
            let path = format!("/tasks/{}/ack?receipt={}", one.task, one.receipt);
            let said = acknowledge(&mut client, &path);
            let mut told = told.lock().expect("nobody panics with it");
            let payload = String::from_utf8(one.payload).expect("a text");
            told.delivered.entry(payload).or_default().push(Delivery {
                task: one.task,
                receipt: one.receipt,
                asked,
                came,
                acknowledged: said.0,
            });
            told.failed.extend(said.1);
        }
    }
}

/// Whether it is acknowledged, and the answers that a client that follows should not get. While the
/// outcome is open it is asked again: a task that is not there any more was acknowledged then.
fn acknowledge(client: &mut Client, path: &str) -> (bool, Vec<String>) {
    let mut failed = Vec::new();
    let mut is_open = false;
    loop {
        match client.follow("POST", path, &[], b"") {
            Ok(_) => return (true, failed),
            Err(Failed::Answered(404, _)) if is_open => return (true, failed),
            Err(Failed::Broken) => is_open = true,
            Err(Failed::Answered(status, text)) => {
                failed.push(format!("ack: {status} {text}"));
                if status != 504 {
                    return (false, failed);
                }
                is_open = true;
            }
        }
    }
}
