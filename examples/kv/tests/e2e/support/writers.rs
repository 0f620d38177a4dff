//! Writers that remember what was acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{BOUND, Cluster, REQUEST, request, wait_for};

/// What a writer found.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Key to the values it may have: the acknowledged one, then those whose outcome is open.
    pub(crate) keys: BTreeMap<String, Vec<Option<String>>>,
    pub(crate) acknowledged: usize,
    /// Answers that were no success: status and code, or "broken".
    pub(crate) others: Vec<String>,
    /// The longest time between two acknowledgements.
    pub(crate) pause: Duration,
}

/// Writers that run beside a test.
pub(crate) struct Writers {
    over: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<Written>>,
}

impl Writers {
    /// `count` writers, each with keys of its own, that ask the given nodes in turn.
    pub(crate) fn start(addresses: &[SocketAddr], count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let total = Arc::new(AtomicUsize::new(0));
        let threads = (0..count).map(|writer| {
            let (over, total, addresses) =
                (Arc::clone(&over), Arc::clone(&total), addresses.to_vec());
            std::thread::spawn(move || write(writer, &addresses, &over, &total))
        });
        Self {
            threads: threads.collect(),
            over,
            count: total,
        }
    }

    /// Writes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until so many more are acknowledged.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, more: usize) {
        let until = self.acknowledged() + more;
        wait_for("writes are acknowledged", BOUND, || {
            (self.acknowledged() >= until).then_some(())
        });
    }

    pub(crate) fn stop(self) -> Written {
        self.over.store(true, Ordering::SeqCst);
        let mut all = Written::default();
        for thread in self.threads {
            let one = thread.join().expect("a writer does not panic");
            all.keys.extend(one.keys);
            all.acknowledged += one.acknowledged;
            all.others.extend(one.others);
            all.pause = all.pause.max(one.pause);
        }
        all
    }
}

fn write(
    writer: usize,
    addresses: &[SocketAddr],
    over: &AtomicBool,
    total: &AtomicUsize,
) -> Written {
    const KEYS: usize = 64;
    let mut written = Written::default();
    let mut last = Instant::now();
    for turn in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let (key, value) = (
            format!("writer-{writer}-{}", turn % KEYS),
            format!("{turn}"),
        );
        let address = addresses[(turn + writer) % addresses.len()];
        let path = format!("/kv/{key}");
        let reply = request(address, "PUT", &path, &[], value.as_bytes(), REQUEST);
        let known = written.keys.entry(key).or_insert(vec![None]);
        match reply {
            Ok(reply) if reply.status == 204 => {
                *known = vec![Some(value)];
                written.acknowledged += 1;
                total.fetch_add(1, Ordering::SeqCst);
                written.pause = written.pause.max(last.elapsed());
                last = Instant::now();
            }
            Ok(reply) => {
                let code = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
                let code = code["code"].as_str().unwrap_or_default().to_owned();
                if reply.status >= 500 {
                    known.push(Some(value));
                }
                written.others.push(format!("{} {code}", reply.status));
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                // The node is away: nothing was asked.
            }
            Err(error) => {
                known.push(Some(value));
                written.others.push(format!("broken: {error}"));
            }
        }
    }
    written
}

impl Written {
    /// Every key has its acknowledged value, or a later one whose outcome was open.
    #[track_caller]
    pub(crate) fn is_kept_by(&self, cluster: &Cluster) {
        let lost = self.lost_by(cluster);
        assert!(lost.is_empty(), "{}", lost.join("\n"));
    }

    /// What every key that has none of those values has instead.
    #[track_caller]
    pub(crate) fn lost_by(&self, cluster: &Cluster) -> Vec<String> {
        assert!(
            self.acknowledged > 0,
            "nothing was acknowledged: {:?}",
            self.others
        );
        let running: Vec<_> = cluster
            .nodes
            .iter()
            .filter(|node| node.child.is_some())
            .collect();
        let mut lost = Vec::new();
        for (at, (key, values)) in self.keys.iter().enumerate() {
            let node = running[at % running.len()];
            let reply = wait_for(&format!("{key} can be read"), BOUND, || {
                let reply = node.ask("GET", &format!("/kv/{key}"), b"")?;
                [200, 404].contains(&reply.status).then_some(reply)
            });
            let found = (reply.status == 200).then(|| reply.text());
            if !values.contains(&found) {
                lost.push(format!(
                    "{key} is {found:?}, and was acknowledged as {values:?}"
                ));
            }
        }
        lost
    }
}
