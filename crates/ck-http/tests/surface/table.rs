//! The whole table: its forms, its tag, waiting for a version, the past.

use std::io::Read as _;

use ck_api::{Newest, TableAnswer};
use ck_control::{Command, MemberChange};
use ck_http::Limits;
use ck_http::fake::Fake;
use ck_node::Operation;

use crate::events::Watch;
use crate::support::{Got, Live, captured};

fn table(got: &Got) -> TableAnswer {
    assert_eq!(got.status, 200, "{got:?}");
    serde_json::from_slice(&got.body).unwrap()
}

/// One more version of the table.
pub(crate) fn change(live: &Live, weight: u32) -> u64 {
    let operation = Operation::Update {
        node: "node-2".parse().unwrap(),
        change: MemberChange {
            weight: Some(weight),
            ..MemberChange::default()
        },
    };
    live.fake.operate(operation).unwrap();
    live.version()
}

#[tokio::test]
async fn the_table_says_in_numbers_what_the_list_says_in_names() {
    let live = Live::three().await;
    let got = live.get("/v1/table").await;
    let version = live.version();
    assert_eq!(got.header("ck-version"), Some(&*format!("1.{version}")));
    assert_eq!(got.header("vary"), Some("accept, accept-encoding"));
    let table = table(&got);
    assert_eq!((table.incarnation, table.version), (1, version));
    assert_eq!((table.replication_factor, table.rows.len()), (3, 64));
    assert_eq!(table.hash_config.hash, "md5-mod");
    let list: ck_api::PartitionList =
        serde_json::from_slice(&live.get("/v1/partitions").await.body).unwrap();
    let name = |number: &u64| &*table.member(*number).unwrap().id;
    for (row, listed) in table.rows.iter().zip(&list.partitions) {
        assert_eq!(name(&row.primary.unwrap()), listed.primary_node);
        let replicas: Vec<_> = row.replicas.iter().map(name).collect();
        assert_eq!(replicas, listed.replica_nodes);
        assert_eq!((row.epoch, &row.state), (listed.epoch, &listed.state));
    }
    assert_eq!(table.members[1].http, "127.0.0.1:18082");
    assert_eq!(table.members[1].services["kv"], "127.0.0.1:19082");
}

#[tokio::test]
async fn the_table_is_there_before_the_partitions_and_not_before_the_cluster() {
    let live = Live::start(Fake::unformed()).await;
    for path in ["/v1/table", "/v1/watch"] {
        let got = live.get(path).await;
        assert_eq!((got.status, got.code().as_str()), (503, "not-formed"));
    }
    let live = Live::start(Fake::formed(captured(), 3)).await;
    let table = table(&live.get("/v1/table").await);
    assert_eq!((table.rows.len(), table.hash_config.partitions), (0, 64));
    assert_eq!(table.members.len(), 3);
}

#[tokio::test]
async fn a_known_table_is_not_sent_again_in_any_form() {
    let live = Live::three().await;
    let forms = [
        ("accept", "*/*"),
        ("accept", "application/x-bincode"),
        ("accept-encoding", "gzip"),
        ("accept-encoding", "zstd, gzip"),
    ];
    let mut tags = Vec::new();
    for form in forms {
        let got = live.send("GET", "/v1/table", &[form], b"").await;
        assert_eq!(got.status, 200);
        let tag = got.header("etag").unwrap().to_owned();
        assert!(
            tag.starts_with(&format!("\"1.{}.", live.version())),
            "{tag}"
        );
        assert!(!tags.contains(&tag), "one form's tag is not another's");
        let known = ("if-none-match", tag.as_str());
        let again = live.send("GET", "/v1/table", &[form, known], b"").await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), Some(tag.as_str()));
        tags.push(tag);
    }
    change(&live, 2);
    for (form, tag) in forms.into_iter().zip(&tags) {
        let known = ("if-none-match", tag.as_str());
        let got = live.send("GET", "/v1/table", &[form, known], b"").await;
        assert_eq!(got.status, 200, "{form:?}");
    }
}

#[tokio::test]
async fn each_form_holds_the_same_table() {
    let live = Live::three().await;
    let plain = live.get("/v1/table").await;
    let ask = async |encoding| {
        let header = ("accept-encoding", encoding);
        let got = live.send("GET", "/v1/table", &[header], b"").await;
        assert_eq!(got.header("content-encoding"), Some(encoding));
        assert!(got.body.len() < plain.body.len() / 2);
        got.body
    };
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&*ask("gzip").await)
        .read_to_end(&mut read)
        .unwrap();
    assert_eq!(read, plain.body);
    let read = zstd::bulk::decompress(&ask("zstd").await, 1 << 20).unwrap();
    assert_eq!(read, plain.body);
    let binary = [("accept", "application/x-bincode")];
    let got = live.send("GET", "/v1/table", &binary, b"").await;
    assert_eq!(got.header("content-type"), Some("application/x-bincode"));
    assert_eq!(got.body[..2], [1, 1], "format 1, incarnation 1");
    assert!(got.body.len() < plain.body.len() / 4);
    let neither = [("accept", "text/html")];
    let got = live.send("GET", "/v1/table", &neither, b"").await;
    assert_eq!((got.status, got.code().as_str()), (406, "not-acceptable"));
}

#[tokio::test]
async fn a_caller_may_wait_for_a_version() {
    let live = Live::three().await;
    let next = live.version() + 1;
    let path = format!("/v1/table?min_version={next}&wait=10");
    let later = async {
        // Nothing comes before the change, so whoever waits has begun to.
        while !live.get("/v1/metrics").await.body_has("http_watchers 1.0") {
            tokio::task::yield_now().await;
        }
        change(&live, 3)
    };
    let (got, changed) = tokio::join!(live.get(&path), later);
    assert_eq!(changed, next);
    assert_eq!(table(&got).version, next);
    assert!(live.get("/v1/metrics").await.body_has("http_watchers 0.0"));
    for known in [
        format!("{next}"),
        format!("1.{next}"),
        "1.1".to_owned(),
        "0.999".to_owned(),
    ] {
        let got = live.get(&format!("/v1/table?min_version={known}")).await;
        assert_eq!(table(&got).version, next, "{known}");
    }
}

#[tokio::test]
async fn nobody_gets_an_older_table_than_he_knows_of() {
    let live = Live::three().await;
    let (have, need) = (live.version(), live.version() + 5);
    let tag = live.get("/v1/table").await;
    let tag = tag.header("etag").unwrap();
    for wait in ["", "&wait=0", "&wait=1"] {
        let path = format!("/v1/table?min_version={need}{wait}");
        let got = live.get(&path).await;
        assert_eq!((got.status, got.code().as_str()), (503, "behind"));
        let problem = got.json();
        assert_eq!(
            (&problem["have"], &problem["need"]),
            (&have.into(), &need.into())
        );
        assert_eq!(got.header("retry-after"), Some("1"));
        let got = live
            .send("GET", &path, &[("if-none-match", tag)], b"")
            .await;
        assert_eq!(got.status, 304, "nothing newer than what he has");
    }
    let got = live.get("/v1/table?min_version=2.1").await;
    assert_eq!(got.code(), "behind", "an incarnation to come");
}

#[tokio::test]
async fn the_past_is_shown_as_long_as_it_is_kept() {
    let live = Live::with_limits(Limits {
        // Each change is two: what it changes, and what happened.
        changes_max: 6,
        ..Limits::default()
    })
    .await;
    let mut watch = Watch::open(&live, "", &[]).await;
    watch.next().await.unwrap();
    let mut versions = vec![live.version()];
    for weight in 2..8 {
        versions.push(change(&live, weight));
        // Each is waited for, so that none is joined with the next.
        watch.of_table().await;
    }
    let (&newest, past) = versions.split_last().unwrap();
    let (gone, kept) = past.split_at(past.len() - 3);
    for (version, weight) in kept.iter().zip(4..) {
        let got = live.get(&format!("/v1/table?at={version}")).await;
        let table = table(&got);
        assert_eq!((table.version, table.members[1].weight), (*version, weight));
        assert_eq!(got.header("ck-version"), Some(&*format!("1.{version}")));
    }
    for version in gone {
        let got = live.get(&format!("/v1/table?at={version}")).await;
        assert_eq!((got.status, got.code().as_str()), (410, "compacted"));
        let problem: ck_api::Problem = serde_json::from_slice(&got.body).unwrap();
        let Some(Newest { version, .. }) = problem.newest else {
            panic!("where things stand");
        };
        assert_eq!(version, newest);
    }
    let got = live.get(&format!("/v1/table?at={}", newest + 1)).await;
    assert_eq!((got.status, got.code().as_str()), (404, "version-unknown"));
    let now = live.get(&format!("/v1/table?at={newest}")).await;
    assert_eq!(now.body, live.get("/v1/table").await.body);
}

#[tokio::test]
async fn nonsense_is_named() {
    let live = Live::three().await;
    for (query, field) in [
        ("min_version=x", "min_version"),
        ("min_version=", "min_version"),
        ("min_version=1&wait=61", "wait"),
        ("min_version=1&wait=-1", "wait"),
        ("wait=5", "wait"),
        ("at=1&min_version=1", "min_version"),
        ("at=1&wait=1", "wait"),
        ("at=1e99999", "at"),
        ("version=1", "version"),
    ] {
        let got = live.get(&format!("/v1/table?{query}")).await;
        assert_eq!(
            (got.status, &got.json()["field"]),
            (400, &field.into()),
            "{query}"
        );
    }
    assert_eq!(
        live.get("/v1/table?at=1&at=2").await.code(),
        "repeated-parameter"
    );
}

#[tokio::test]
async fn values_of_the_application_change_the_version_and_not_the_table() {
    let live = Live::three().await;
    let before = table(&live.get("/v1/table").await);
    let set = Command::SetCustom {
        key: "a".into(),
        value: b"1".to_vec(),
        expected: None,
    };
    let version = live.fake.apply(set).unwrap().0;
    let path = format!("/v1/table?min_version={version}&wait=10");
    let after = table(&live.get(&path).await);
    assert_eq!(after.version, version);
    assert_eq!((after.rows, after.members), (before.rows, before.members));
}
