use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Node, request};

/// What clients were told about rows they inserted into `notes`.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// 2xx.
    acknowledged: BTreeSet<u64>,
    /// Certainly not applied.
    refused: BTreeSet<u64>,
    /// Anything else.
    unknown: BTreeSet<u64>,
    problems: Vec<String>,
}

/// Clients that insert rows one after the other, each at one node after the other.
pub(crate) struct Writers {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Between two requests of one client: the rest of the machine is to get on as well.
const PAUSE: Duration = Duration::from_millis(3);

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Writers {
    pub(crate) fn start(nodes: &[SocketAddr], count: usize) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|at| {
            let (told, stop, nodes) = (Arc::clone(&told), Arc::clone(&stop), nodes.to_vec());
            std::thread::spawn(move || {
                let mut turn = at;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    write(nodes[turn % nodes.len()], &told);
                    std::thread::sleep(PAUSE);
                }
            })
        });
        let threads = threads.collect();
        Self {
            told,
            stop,
            threads,
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.told.lock().unwrap().acknowledged.len()
    }

    /// Requests that were answered with anything but success, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.told.lock().unwrap().problems.clone()
    }

    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }

    /// What was acknowledged is there, once; what was refused is not.
    #[track_caller]
    pub(crate) fn check(&self, node: &Node) {
        let rows = node.query("SELECT n FROM notes");
        let rows: Vec<u64> = rows.iter().map(|row| row[0].as_u64().unwrap()).collect();
        let found: BTreeSet<u64> = rows.iter().copied().collect();
        assert_eq!(rows.len(), found.len(), "some rows are there twice");
        let told = self.told.lock().unwrap();
        let lost: Vec<_> = told.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let applied: Vec<_> = told.refused.intersection(&found).collect();
        assert!(applied.is_empty(), "refused and applied: {applied:?}");
        let stray: Vec<_> = found
            .iter()
            .filter(|n| !told.acknowledged.contains(n) && !told.unknown.contains(n))
            .collect();
        assert!(stray.is_empty(), "nobody wrote these: {stray:?}");
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn write(node: SocketAddr, told: &Mutex<Told>) {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let body = json!({
        "sql": "INSERT INTO notes (n, text) VALUES (?, ?)",
        "params": [n, "x".repeat(200)],
    });
    let body = body.to_string();
    let path = format!("/sql/note-{n}");
    let headers = [("Content-Type", "application/json")];
    let bound = Duration::from_secs(20);
    let reply = request(node, "POST", &path, &headers, body.as_bytes(), bound);
    let mut told = told.lock().unwrap();
    match reply {
        Ok(reply) if reply.status == 200 => {
            told.acknowledged.insert(n);
        }
        Ok(reply) => {
            let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let certain = reply.status / 100 == 4 || reply.status == 503 || reply.status == 507;
            let to = if certain {
                &mut told.refused
            } else {
                &mut told.unknown
            };
            to.insert(n);
            told.problems.push(format!("{}: {problem}", reply.status));
        }
        Err(error) => {
            told.unknown.insert(n);
            told.problems.push(error.to_string());
        }
    }
}
