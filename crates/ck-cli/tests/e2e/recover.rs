//! `ck recover`: the majority is lost for good, and the cluster goes on from what survived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ck_node::{Fence, FencingToken};
use serde_json::Value;

use crate::support::owners::{claims, wait_for_owners};
use crate::support::{BOUND, Cluster, Server, Terminal, argument, json, run, said, wait_for};

const PARTITIONS: usize = 64;

/// Partition → copies and epoch.
type Table = BTreeMap<String, (BTreeSet<String>, u64)>;

/// The table, as a node tells.
fn table(server: &Server) -> Table {
    let answer = server.get("/partitions").json();
    let rows = answer["partitions"].as_array().unwrap().iter();
    rows.map(|row| {
        let replicas = row["replica_nodes"].as_array().unwrap().iter();
        let nodes = replicas.chain([&row["primary_node"]]);
        let nodes = nodes.map(|node| node.as_str().unwrap().to_owned());
        let nodes = nodes.filter(|node| !node.is_empty()).collect();
        let id = row["id"].as_str().unwrap().to_owned();
        (id, (nodes, row["epoch"].as_u64().unwrap()))
    })
    .collect()
}

/// The tokens of what a node may act on now.
fn tokens(server: &Server) -> Vec<FencingToken> {
    let owned = server.get("/v1/owned").json();
    let incarnation = owned["incarnation"].as_u64().unwrap();
    let all = owned["owned"].as_array().unwrap().iter();
    all.map(|one| {
        let number = &one["id"].as_str().unwrap()["partition-".len()..];
        let token = format!("{incarnation}.{number}.{}", one["epoch"]);
        token.parse().unwrap()
    })
    .collect()
}

/// Everybody knows the value, so whatever was agreed on before is in every log.
fn put_everywhere(cluster: &Cluster, key: &str) {
    let reply = cluster.servers[4].send("PUT", &format!("/v1/custom/{key}"), "kept");
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    for server in &cluster.servers {
        wait_for("the value is everywhere", BOUND, || {
            let reply = server.try_get(&format!("/v1/custom/{key}"))?;
            (reply.status == 200).then_some(())
        });
    }
}

/// Starts a node that is not to run; what it says.
#[track_caller]
fn ends(server: &mut Server) -> String {
    server.start();
    let ended = server.process().wait_for_end(BOUND);
    let said = server.process().printed();
    assert!(!ended.success(), "{said}");
    server.process = None;
    said
}

/// Recovers node-1, which keeps node-2, and then that one; what the first one said.
#[track_caller]
fn recover(cluster: &Cluster, lost: &BTreeSet<&String>) -> Value {
    let data = [0, 1].map(|at: usize| cluster.servers[at].data.clone());
    let here = ["recover", "--data", argument(&data[0]), "--keep", "node-2"];
    let look = || json(&[&here[..], &["--dry-run"]].concat());
    let dry = look();
    let named = |field: &str| dry[field].as_array().unwrap().len();
    assert_eq!((named("stay"), named("gone")), (2, 3), "{dry}");
    let told: BTreeSet<String> = serde_json::from_value(dry["lost"].clone()).unwrap();
    assert_eq!(told.iter().collect::<BTreeSet<_>>(), *lost);
    // Nobody is there to be asked: nothing happens.
    let unasked = run(&here);
    assert_eq!(unasked.status.code(), Some(2), "{}", said(&unasked));
    assert!(said(&unasked).contains("--yes-i-accept-data-loss"));
    assert_eq!(look()["uuid_before"], dry["uuid_before"]);
    assert_eq!(look()["last_log_index"], dry["last_log_index"]);

    let done = json(&[&here[..], &["--yes-i-accept-data-loss"]].concat());
    assert!(Path::new(done["kept"].as_str().unwrap()).is_file());
    assert!(done["incarnation"].as_u64() > done["incarnation_before"].as_u64());
    let uuid = done["uuid"].as_str().unwrap();
    let into = |data: &Path, more: &[&str]| {
        let data = argument(data).to_owned();
        let words = ["recover", "--data", &data, "--into", uuid];
        run(&[&words[..], &["--yes-i-accept-data-loss"], more].concat())
    };
    // Not by itself, and not one that does not stay.
    let third = &cluster.servers[2].data;
    for (data, more, code, part) in [
        (&data[1], &[][..], 2, "--keep"),
        (third, &["--keep", "node-2"], 4, "empty data directory"),
        (
            third,
            &["--keep", "node-2", "--dry-run"],
            4,
            "node-3 is not",
        ),
    ] {
        let refused = into(data, more);
        assert_eq!(refused.status.code(), Some(code), "{}", said(&refused));
        assert!(said(&refused).contains(part), "{}", said(&refused));
    }
    let keep = ["--keep", "node-2"];
    let followed = into(&data[1], &keep);
    assert!(followed.status.success(), "{}", said(&followed));
    let again = into(&data[1], &keep);
    assert_eq!(again.status.code(), Some(4), "{}", said(&again));
    done
}

/// Epochs by themselves, and tokens as a whole.
#[track_caller]
fn assert_nothing_goes_back(alive: &[&Server], before: &Table, old: &[FencingToken]) {
    let now = table(alive[1]);
    for (id, (_, epoch)) in before {
        assert!(now[id].1 > *epoch, "{id}: epoch {epoch} to {}", now[id].1);
    }
    let mut fence = Fence::new(PARTITIONS);
    for token in alive.iter().flat_map(|server| tokens(server)) {
        fence.admit(token).unwrap();
    }
    assert_eq!(old.len(), PARTITIONS);
    assert!(old.iter().all(|token| fence.admit(*token).is_err()));
    assert_eq!(alive[1].get("/v1/custom/before").text(), "kept");
}

#[test]
fn two_survivors_of_five_go_on_and_the_lost_ones_are_refused() {
    let mut cluster = Cluster::ready(5, &[]);
    let all: Vec<&Server> = cluster.servers.iter().collect();
    wait_for_owners(PARTITIONS, &all, BOUND);
    put_everywhere(&cluster, "before");
    let before = table(&cluster.servers[0]);
    let old: Vec<FencingToken> = cluster.servers.iter().flat_map(tokens).collect();
    cluster.servers.iter_mut().for_each(Server::kill);
    let survivors = BTreeSet::from(["node-1".to_owned(), "node-2".to_owned()]);
    let lost: BTreeSet<&String> = before
        .iter()
        .filter(|(_, (nodes, _))| nodes.is_disjoint(&survivors))
        .map(|(id, _)| id)
        .collect();

    let done = recover(&cluster, &lost);
    let uuid = done["uuid"].as_str().unwrap();
    for server in &mut cluster.servers[..2] {
        server.start();
    }
    let alive = || -> Vec<&Server> { cluster.servers[..2].iter().collect() };
    let kept = PARTITIONS - lost.len();
    wait_for("what survived is owned", BOUND, || {
        (claims(&alive()).len() == kept).then_some(())
    });
    let server = format!("http://{}", cluster.servers[1].http);
    for id in &lost {
        let args = ["promote", id, "node-1", "--server", &server];
        assert_eq!(
            run(&args).status.code(),
            Some(4),
            "{id} was not lost by consent"
        );
        json(&[&args[..], &["--accept-data-loss"]].concat());
    }
    wait_for_owners(PARTITIONS, &alive(), BOUND);

    assert_nothing_goes_back(&alive(), &before, &old);

    // One that comes back with its old data is refused, by name; with an empty disk it is new.
    let refused = ends(&mut cluster.servers[2]);
    assert!(
        refused.contains(uuid) && refused.contains(done["uuid_before"].as_str().unwrap()),
        "{refused}"
    );
    let third = &mut cluster.servers[2];
    std::fs::remove_dir_all(&third.data).unwrap();
    third.start();
    third.wait_until_ready();
    let node = cluster.servers[0].get("/v1/nodes/node-3").json();
    assert!(node["node"]["member"].as_u64() > Some(5), "{node}");
}

#[test]
fn what_is_no_survivor_is_left_alone() {
    let mut cluster = Cluster::ready(1, &["--replication-factor", "1"]);
    let data = cluster.servers[0].data.clone();
    let refused = |args: &[&str], code: i32, part: &str| {
        let output = run(&[&["recover", "--data"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(part), "{part:?}: {}", said(&output));
    };
    refused(
        &[argument(&data), "--yes-i-accept-data-loss"],
        1,
        "in use by another process",
    );
    cluster.servers[0].kill();
    let empty = cluster.directory.path().join("empty");
    refused(&[argument(&empty), "--dry-run"], 4, "no data of a node");
    assert!(!empty.exists(), "looking made a directory");
    refused(
        &[argument(&data), "--keep", "node-9", "--dry-run"],
        4,
        "the members are node-1",
    );
    refused(&[argument(&data), "--into", "not-a-uuid"], 2, "not-a-uuid");
    cluster.servers[0].start();
    cluster.wait_until_ready();
}

#[test]
fn both_questions_have_to_be_answered_and_a_wrong_answer_changes_nothing() {
    let flags = ["--replication-factor", "1", "--partitions", "4"];
    let mut cluster = Cluster::ready(1, &flags);
    cluster.servers[0].kill();
    let data = cluster.servers[0].data.clone();
    let here = ["recover", "--data", argument(&data)];
    let entries = || std::fs::read_dir(&data).unwrap().count();
    // But for the incarnation it would begin, which is drawn anew each time.
    let look = || {
        let mut seen = json(&[&here[..], &["--dry-run"]].concat());
        (seen["uuid"], seen["incarnation"]) = (Value::Null, Value::Null);
        seen
    };
    let (before, kept) = (look(), entries());
    let name = before["cluster"].as_str().unwrap();
    let answers = |answers: &[&str]| {
        let mut terminal = Terminal::start(&here);
        for (question, answer) in ["Type yes: ", "Type the name of the cluster"]
            .into_iter()
            .zip(answers)
        {
            terminal.wait_for_text(question);
            terminal.types(&format!("{answer}\n"));
        }
        (terminal.wait_for_end(), terminal.shown())
    };
    for wrong in [&["no"][..], &["y"], &["yes", "yes"], &["yes", "elsewhere"]] {
        let (code, shown) = answers(wrong);
        assert_eq!(code, Some(4), "{wrong:?}: {shown}");
        assert!(shown.contains("nothing was changed"), "{wrong:?}: {shown}");
        assert_eq!((look(), entries()), (before.clone(), kept), "{wrong:?}");
    }
    let (code, shown) = answers(&["yes", name]);
    assert_eq!(code, Some(0), "{shown}");
    // What may be lost is said before it is asked.
    let said = |part: &str| {
        shown
            .find(part)
            .unwrap_or_else(|| panic!("{part:?}: {shown}"))
    };
    assert!(said("lost: every change") < said("Type yes: "));
    assert!(said("begins: ") < said("the data as it was is in"));
    assert_eq!(entries(), kept + 1);
    assert_ne!(look()["uuid_before"], before["uuid_before"]);
    cluster.servers[0].start();
    cluster.wait_until_ready();
}
