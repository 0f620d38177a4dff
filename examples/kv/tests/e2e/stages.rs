//! A handoff whose source, or whose target, is killed: at every stage that a handoff goes through.
//!
//! Six partitions move from one node to another at the same time, and each is kept at a stage of its
//! own by holding the request that leads out of it. One kill then meets them all.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::wires::{Rule, RuleId, Wires};
use crate::support::{BOUND, Cluster, answer, send, wait_for};

/// The nodes between which the role moves, from 0; the others have a copy of everything.
const SOURCE: usize = 2;
const TARGET: usize = 3;

const PARTITIONS: u32 = 24;

/// Keys of each partition that moves.
const KEYS: usize = 4;

/// Time a write has whose copies are held back.
const REQUEST: Duration = Duration::from_secs(30);

/// Attempts to have every move at its stage at once, on a machine that is busy with other things.
const ATTEMPTS: usize = 3;

/// A partition that moves, and its keys.
#[derive(Debug, Clone)]
struct Moving {
    number: u32,
    keys: Vec<String>,
}

/// The moves, one for each stage.
struct Moves {
    prepare: Moving,
    catch_up: Moving,
    release: Moving,
    commit: Moving,
    activate: Moving,
    clean_up: Moving,
}

impl Moves {
    /// Partitions of which the source is the primary.
    fn of(cluster: &Cluster) -> Self {
        let mut keys: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let source = cluster.nodes[SOURCE].owned();
        assert!(source.len() >= 6, "{source:?}");
        for number in 0..10_000 {
            let key = format!("moves-{number}");
            let row = cluster.nodes[0].get(&format!("/v1/partitions/key?key={key}"));
            let id = row.json()["id"].as_str().expect("an id").to_owned();
            let id: u64 = id
                .trim_start_matches("partition-")
                .parse()
                .expect("a number");
            if source.contains_key(&id) {
                let partition = u32::try_from(id).expect("few partitions");
                keys.entry(partition).or_default().push(key);
            }
            if keys.len() >= 6 && keys.values().all(|keys| keys.len() >= KEYS) {
                break;
            }
        }
        let mut all = keys
            .into_iter()
            .map(|(number, keys)| Moving { number, keys });
        let mut next = || all.next().expect("six at least");
        Self {
            prepare: next(),
            catch_up: next(),
            release: next(),
            commit: next(),
            activate: next(),
            clean_up: next(),
        }
    }

    /// Those that get further than to a copy.
    fn going_on(&self) -> [&Moving; 4] {
        [&self.release, &self.commit, &self.activate, &self.clean_up]
    }

    fn all(&self) -> [(&Moving, &'static str); 6] {
        [
            (&self.prepare, "prepare"),
            (&self.catch_up, "catch-up"),
            (&self.release, "release"),
            (&self.commit, "release"),
            (&self.activate, "activate"),
            (&self.clean_up, "clean-up"),
        ]
    }
}

/// What a key may be: acknowledged, or of open outcome.
type Values = BTreeMap<String, Vec<String>>;

/// Three nodes with everything, and a fourth that has nothing yet.
fn ready() -> (Cluster, Wires) {
    let flags = [
        "--partitions",
        &PARTITIONS.to_string(),
        "--no-auto-rebalance",
    ];
    let mut cluster = Cluster::of(3, 1, &flags);
    let wires = Wires::before(&mut cluster);
    cluster.nodes[..TARGET]
        .iter_mut()
        .for_each(crate::support::Node::start);
    cluster.wait_until_serving();
    cluster.nodes[TARGET].start();
    cluster.wait_until_serving();
    let json = [("content-type", "application/json")];
    let many = br#"{"max_transfers_per_node":64}"#;
    let changed = cluster.nodes[0].ask_with("PATCH", "/v1/config", &json, many);
    assert_eq!(changed.map(|reply| reply.status), Some(200));
    (cluster, wires)
}

/// The stage of each move under way, by partition.
fn stages(cluster: &Cluster) -> Option<BTreeMap<u32, String>> {
    let reply = cluster.nodes[0].ask("GET", "/v1/transfers", b"")?.json();
    let list = reply["transfers"].as_array()?;
    let all = list.iter().filter_map(|one| {
        let partition = one["partition"].as_str()?.trim_start_matches("partition-");
        Some((partition.parse().ok()?, one["stage"].as_str()?.to_owned()))
    });
    Some(all.collect())
}

/// A write whose record is held back on its way to a copy.
struct Write {
    key: String,
    value: String,
    rule: RuleId,
    open: TcpStream,
}

/// Writes a key at the source; the record does not reach `to`.
fn held_back(cluster: &Cluster, wires: &Wires, key: &str, value: &'static str, to: usize) -> Write {
    let rule = wires.hold(Rule {
        to: Some(to),
        holding: value,
        ..Rule::of("append")
    });
    let path = format!("/kv/{key}");
    let source = cluster.nodes[SOURCE].http;
    let open = send(source, "PUT", &path, &[], value.as_bytes(), REQUEST).expect("it is sent");
    Write {
        key: key.to_owned(),
        value: value.to_owned(),
        rule,
        open,
    }
}

/// Has the source give its partitions to the target, and brings each move to its stage.
///
/// Returns the write that keeps the role from being released and the one that is let go in the end;
/// nothing when the machine was too slow, and a move has gone on meanwhile.
fn staged(
    cluster: &Cluster,
    wires: &Wires,
    moves: &Moves,
    values: &mut Values,
) -> Option<[Write; 2]> {
    let only = |path, moving: &Moving| {
        wires.hold(Rule {
            partition: Some(moving.number),
            ..Rule::of(path)
        })
    };
    let prepare = only("chunk", &moves.prepare);
    let catch_up = only("attach", &moves.catch_up);
    let attach = moves.going_on().map(|one| only("attach", one));
    let late = [&moves.release, &moves.commit, &moves.activate].map(|one| only("resume", one));
    for path in ["/v1/nodes/node-3/drain", "/v1/rebalance"] {
        let told = cluster.nodes[0].ask("POST", path, b"").expect("an answer");
        assert!(told.status < 300, "{path}: {}", told.text());
    }
    for rule in [prepare, catch_up].iter().chain(&attach) {
        wires.wait_until_held(*rule, 1);
    }
    // The copies are made, and lack these.
    for moving in moves.going_on() {
        write(
            cluster,
            &moving.keys[1],
            "written while it was copied",
            values,
        );
    }
    attach.into_iter().for_each(|rule| wires.let_go(rule));
    late.iter().for_each(|rule| wires.wait_until_held(*rule, 1));
    wait_for("one move is as good as done", BOUND, || {
        let stage = stages(cluster)?.remove(&moves.clean_up.number)?;
        (stage == "clean-up").then_some(())
    });
    // Each on its way to another copy: a node is sent one batch at a time, so the one that is to be
    // acknowledged has to be everywhere else before the other one is in the way.
    let commit = held_back(cluster, wires, &moves.commit.keys[0], "held at commit", 1);
    wires.wait_until_held(commit.rule, 1);
    wait_for("it is at the other copy", BOUND, || {
        let path = format!("/kv/{}?consistency=stale", commit.key);
        let found = cluster.nodes[0].ask("GET", &path, b"")?;
        (found.text() == commit.value).then_some(())
    });
    let release = held_back(cluster, wires, &moves.release.keys[0], "held at release", 0);
    wires.wait_until_held(release.rule, 1);
    let activate = only("fence", &moves.activate);
    for rule in late {
        wires.let_go(rule);
    }
    wires.wait_until_held(activate, 1);
    wait_for("two roles are being released", BOUND, || {
        let now = stages(cluster)?;
        let released = [&moves.release, &moves.commit];
        let at = |one: &&Moving| now.get(&one.number).is_none_or(|stage| stage != "catch-up");
        released.iter().all(at).then_some(())
    });
    assert_unanswered(cluster, &moves.commit, &commit);
    let now = stages(cluster)?;
    let right = moves.all().iter().all(|(moving, stage)| {
        let found = now.get(&moving.number);
        if found.is_none_or(|found| found != stage) {
            eprintln!(
                "{} is at {found:?}, and not at {stage} any more",
                moving.number
            );
        }
        found.is_some_and(|found| found == stage)
    });
    (right && wires.held(activate) > 0).then_some([release, commit])
}

/// No write is acknowledged while a copy in sync lacks it.
fn assert_unanswered(cluster: &Cluster, moving: &Moving, write: &Write) {
    write.open.set_nonblocking(true).expect("a socket can");
    let answered = write.open.peek(&mut [0]).is_ok();
    write.open.set_nonblocking(false).expect("a socket can");
    let path = format!("/v1/partitions/partition-{}", moving.number);
    let copies = cluster.nodes[0].get(&path).json();
    let lacks = copies["replicas"].as_array().expect("a list").iter();
    let in_sync = lacks
        .clone()
        .any(|copy| copy["node"] == "node-2" && copy["in_sync"] == true);
    assert!(
        !answered || !in_sync,
        "acknowledged without node-2: {copies}"
    );
}

fn write(cluster: &Cluster, key: &str, text: &str, values: &mut Values) {
    let value = format!("{key} {text}");
    let put = cluster.nodes[0].put(&format!("/kv/{key}"), value.as_bytes());
    assert_eq!(put.status, 204, "{}", put.text());
    values.insert(key.to_owned(), vec![value]);
}

fn fill(cluster: &Cluster, moves: &Moves, text: &str) -> Values {
    let mut values = Values::new();
    for (moving, _) in moves.all() {
        for key in &moving.keys {
            write(cluster, key, text, &mut values);
        }
    }
    values
}

#[track_caller]
fn assert_kept(cluster: &Cluster, values: &Values) {
    for (key, allowed) in values {
        let found = wait_for(&format!("{key} can be read"), BOUND, || {
            cluster.nodes[1]
                .ask("GET", &format!("/kv/{key}"), b"")
                .filter(|reply| [200, 404].contains(&reply.status))
        });
        let fits = found.status == 200 && allowed.contains(&found.text());
        assert!(fits, "{key} is {:?}, of {allowed:?}", found.text());
    }
}

/// Kills the node with a move at each stage, starts it again, and looks whether everything is there.
fn killed(victim: usize) {
    for attempt in 1..=ATTEMPTS {
        let (mut cluster, wires) = ready();
        let moves = Moves::of(&cluster);
        let mut values = fill(&cluster, &moves, "at first");
        let Some([release, commit]) = staged(&cluster, &wires, &moves, &mut values) else {
            eprintln!("attempt {attempt}: too slow, once more");
            continue;
        };
        // The commit is one entry of the log, where nobody rests: it comes as soon as nothing is under
        // way any more at the source, which is when the write is acknowledged.
        wires.let_go(commit.rule);
        let acknowledged = answer(commit.open);
        cluster.nodes[victim].kill();
        let reply = acknowledged.expect("the source answers");
        assert_eq!(reply.status, 204, "{}", reply.text());
        values.insert(commit.key, vec![commit.value]);
        // Of the other one nobody knows.
        values
            .get_mut(&release.key)
            .expect("it is one of them")
            .push(release.value);
        // What was on its way from the one that is gone arrives now.
        drop(release.open);
        wires.let_all_go();
        cluster.nodes[victim].start();
        cluster.wait_until_serving();
        assert_kept(&cluster, &values);
        let values = fill(&cluster, &moves, "in the end");
        assert_kept(&cluster, &values);
        wait_for("the moves are over", BOUND, || {
            // So many copies lost at a time may hold moves back.
            cluster.nodes[0].ask("POST", "/v1/brake/release", b"");
            stages(&cluster)?.is_empty().then_some(())
        });
        cluster.wait_until_equal();
        return;
    }
    panic!("in no attempt was every move at its stage at the same time");
}

#[test]
fn a_source_that_is_killed_at_every_stage_of_a_handoff_loses_nothing() {
    killed(SOURCE);
}

#[test]
fn a_target_that_is_killed_at_every_stage_of_a_handoff_loses_nothing() {
    killed(TARGET);
}
