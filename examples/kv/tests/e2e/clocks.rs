//! Clocks that jump, and one that is slow, under load: a preloaded library changes what they say.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::history::{History, Load};
use crate::support::net::in_namespaces;
use crate::support::{BOUND, Cluster, Reply, preloaded, request, wait_for};

/// What a node's clocks say that is not so.
struct Clocks(PathBuf);

impl Clocks {
    /// Both clocks are ahead by so many seconds, and count as they should.
    fn jump(&self, wall_seconds: i64, boot_seconds: i64) {
        self.set([
            wall_seconds * 1_000_000_000,
            boot_seconds * 1_000_000_000,
            0,
            0,
        ]);
    }

    /// The clock of leases counts a tenth of the time from now on.
    fn slow_down(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        let now = now.expect("there is such a clock");
        self.set([0, 0, now.tv_sec() * 1_000_000_000 + now.tv_nsec(), -900]);
    }

    fn set(&self, numbers: [i64; 4]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|one| one.to_ne_bytes()).collect();
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let file = options.open(&self.0).expect("it can be made");
        // In place: the process has it mapped.
        file.write_all_at(&bytes, 0).expect("it can be written");
    }
}

/// Three nodes, each with clocks of its own.
fn ready() -> (Cluster, Vec<Clocks>) {
    started(Cluster::of(3, 0, &["--partitions", "4"]))
}

fn started(mut cluster: Cluster) -> (Cluster, Vec<Clocks>) {
    let library = preloaded(cluster.directory(), "clocks")
        .display()
        .to_string();
    let mut all = Vec::new();
    for node in &mut cluster.nodes {
        let clocks = Clocks(node.data.with_extension("clocks"));
        clocks.jump(0, 0);
        node.environment = vec![
            ("LD_PRELOAD".to_owned(), library.clone()),
            ("CK_CLOCKS".to_owned(), clocks.0.display().to_string()),
        ];
        all.push(clocks);
    }
    cluster.start_all();
    cluster.wait_until_serving();
    (cluster, all)
}

/// Writes a key through a node that is not `old`, as soon as it is taken.
fn written_by_another(cluster: &Cluster, old: usize, key: &str) {
    let node = &cluster.nodes[(old + 1) % 3];
    wait_for("the key is written", BOUND, || {
        // Passed on to one that is cut off, it would wait for long.
        let bound = Duration::from_secs(2);
        let path = format!("/kv/{key}");
        let reply = request(node.http, "PUT", &path, &[], b"x", bound).ok()?;
        (reply.status == 204).then_some(())
    });
}

/// No decision reads a wall clock, and one that goes by leases is not believed once it has gone back.
#[test]
fn clocks_that_jump_lose_nothing_and_make_no_read_old() {
    let (cluster, clocks) = ready();
    let load = Load::on(cluster.addresses(), "jump-");
    let mut history = History::new();
    let clients = history.begin(&load);
    clients.wait_for_more(40);
    let hour = 3_600;
    for jumps in [
        [5 * hour, -3 * hour, 0],
        [-7 * hour, 400 * 24 * hour, hour],
        [0; 3],
    ] {
        for (clocks, wall) in clocks.iter().zip(jumps) {
            clocks.jump(wall, 0);
        }
        clients.wait_for_more(40);
    }
    // Back by more than a lease on a primary: what it has left of its lease grows.
    let (_, at) = cluster.primary_of("goes-back");
    clocks[at].jump(0, -3);
    written_by_another(&cluster, at, "goes-back");
    clients.wait_for_more(40);
    // Ahead on another: its lease is over by its own clock, and nobody else's.
    let (_, at) = cluster.primary_of("goes-ahead");
    clocks[at].jump(0, hour);
    clients.wait_for_more(40);
    history.end(clients);
    cluster.wait_until_serving();
    history.judge(&load);
    cluster.wait_until_equal();
}

/// A clock that counts a tenth of the time breaks what leases rest on: once it is cut off, the old
/// primary takes itself for one long after another has begun. Its copies do not: nothing is
/// acknowledged there, and whoever asks for a barrier is told nothing old.
#[test]
fn a_primary_whose_clock_is_slow_writes_nothing_and_confirms_nothing() {
    in_namespaces(3, |mut net| {
        let cluster = Cluster::inside(&net, 3, &["--partitions", "4"]);
        let (cluster, clocks) = started(cluster);
        let load = Load {
            consistency: "barrier",
            ..Load::on(cluster.addresses(), "slow-")
        };
        let mut history = History::new();
        let clients = history.begin(&load);
        clients.wait_for_more(40);
        // Not whoever leads the log, so that the others need no election.
        let leads = cluster.leader();
        let mut keys = (0..64).map(|number| format!("slow-key-{number}"));
        let key = keys
            .find(|key| cluster.primary_of(key).1 != leads)
            .expect("a key");
        let path = format!("/kv/{key}");
        assert_eq!(cluster.nodes[0].put(&path, b"before").status, 204);
        let (partition, at) = cluster.primary_of(&key);
        let old = &cluster.nodes[at];
        let token = old.owned()[&partition].clone();
        clocks[at].slow_down();
        for other in (0..3).filter(|other| *other != at) {
            net.cut(at, other);
            net.cut(other, at);
        }
        written_by_another(&cluster, at, &key);
        let ask = |method: &str, path: &str, body: &[u8]| {
            let bound = Duration::from_secs(3);
            request(old.http, method, path, &[("CK-Fence", &token)], body, bound)
        };
        // What this is about: it answers by a lease that is over.
        let leased = ask("GET", &path, b"").expect("an answer");
        assert_eq!(leased.text(), "before", "its clock is not slow enough");
        let confirmed = ask("GET", &format!("{path}?consistency=barrier"), b"");
        let is_refused = |reply: &Reply| reply.status >= 400;
        assert!(confirmed.as_ref().map_or(true, is_refused), "{confirmed:?}");
        let written = ask("PUT", &path, b"late");
        assert!(written.as_ref().map_or(true, is_refused), "{written:?}");
        clocks[at].jump(0, 0);
        net.heal();
        clients.wait_for_more(40);
        history.end(clients);
        cluster.wait_until_serving();
        assert_eq!(cluster.nodes[at].get(&path).body, b"x");
        history.judge(&load);
        cluster.wait_until_equal();
    });
}

/// The clock of whoever leads the log runs ahead, and ends the leases of all the others by its word.
#[test]
fn a_leader_whose_clock_runs_ahead_makes_nobody_confirm_what_is_old() {
    let (cluster, clocks) = ready();
    let load = Load {
        consistency: "barrier",
        ..Load::on(cluster.addresses(), "ahead-")
    };
    let mut history = History::new();
    let clients = history.begin(&load);
    clients.wait_for_more(40);
    // One of them leads.
    for clocks in &clocks {
        clocks.jump(0, 6);
        clients.wait_for_more(40);
    }
    history.end(clients);
    cluster.wait_until_serving();
    history.judge(&load);
    cluster.wait_until_equal();
}
