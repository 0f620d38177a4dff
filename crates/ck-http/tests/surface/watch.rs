//! Following the table: what comes, from where, and when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ck_api::{Lifecycle, TableAnswer};
use ck_control::{Command, Move, Party, TransferCommand, Trigger};
use ck_core::PartitionId;
use ck_http::fake::Fake;
use ck_http::{Limits, Request, Surface, SurfaceConfig};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use tokio::io::AsyncWriteExt as _;

use crate::events::Watch;
use crate::support::{Live, PATIENCE, captured, parse};
use crate::table::change;

async fn now(live: &Live) -> TableAnswer {
    serde_json::from_slice(&live.get("/v1/table").await.body).unwrap()
}

#[tokio::test]
async fn the_table_comes_first_and_then_what_changes() {
    let live = Live::three().await;
    let mut watch = Watch::open(&live, "", &[]).await;
    assert_eq!(watch.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(watch.head.header("cache-control"), Some("no-cache"));
    let first = watch.next().await.unwrap();
    let mut table = first.table();
    assert_eq!(table, now(&live).await);
    assert_eq!(first.id, Some(format!("1.{}", table.version)));
    for weight in 2..6 {
        change(&live, weight);
    }
    let stopped = live.fake.apply(stop(&live, "node-3")).unwrap().0;
    while table.version < stopped {
        let told = watch.of_table().await;
        let delta = told.delta();
        assert_eq!(told.id, Some(format!("1.{}", delta.version)));
        table.apply(&delta).unwrap();
    }
    assert_eq!(table, now(&live).await);
    assert_eq!(table.members[2].status, "stopped");
}

/// The command that ends the session of a node.
fn stop(live: &Live, node: &str) -> Command {
    let state = ck_http::Backend::state(&*live.fake);
    Command::Stop {
        member: state.member_by_node(node).unwrap().number,
        session: state.open_session_of(node).unwrap().id,
    }
}

#[tokio::test]
async fn the_partitions_come_when_they_are_created() {
    let live = Live::start(Fake::formed(captured(), 3)).await;
    let mut watch = Watch::open(&live, "", &[]).await;
    let mut table = watch.next().await.unwrap().table();
    assert!(table.rows.is_empty());
    assert_eq!(live.json("POST", "/partitions", "").await.status, 201);
    table.apply(&watch.of_table().await.delta()).unwrap();
    assert_eq!(table, now(&live).await);
    assert_eq!(table.rows.len(), 64);
}

#[tokio::test]
async fn what_happened_is_told_behind_its_change() {
    let live = Live::three().await;
    let mut watch = Watch::open(&live, "", &[]).await;
    let mut table = watch.next().await.unwrap().table();
    live.fake.apply(stop(&live, "node-2")).unwrap();
    let mut kinds = Vec::new();
    while !kinds.contains(&"node-down".to_owned()) {
        let told = watch.next().await.unwrap();
        match told.name.as_str() {
            "delta" => table.apply(&told.delta()).unwrap(),
            "lifecycle" => {
                let happened: Lifecycle = serde_json::from_str(&told.data).unwrap();
                assert!(happened.version <= table.version, "{happened:?}");
                assert_eq!(told.id, None);
                assert!(!happened.text.is_empty());
                if happened.kind == "node-down" {
                    assert_eq!(happened.node.as_deref(), Some("node-2"));
                }
                kinds.push(happened.kind);
            }
            other => panic!("{other}"),
        }
    }
    assert!(
        kinds.len() < 20,
        "many changes at once are told as one: {kinds:?}"
    );
}

#[tokio::test]
async fn a_stream_that_broke_off_is_resumed() {
    let live = Live::three().await;
    let mut watch = Watch::open(&live, "", &[]).await;
    let first = watch.next().await.unwrap();
    let mut table = first.table();
    change(&live, 2);
    table.apply(&watch.of_table().await.delta()).unwrap();
    drop(watch);
    let last = change(&live, 3);
    let known = format!("1.{}", table.version);
    let asked: [(String, &[(&str, &str)]); 3] = [
        (format!("?from={}", table.version), &[]),
        (format!("?from={known}"), &[]),
        // As a browser comes back: the address of the first time, and the last id it saw.
        ("?from=1".to_owned(), &[("last-event-id", &known)]),
    ];
    for (query, headers) in asked {
        let mut watch = Watch::open(&live, &query, headers).await;
        let mut resumed = table.clone();
        while resumed.version < last {
            resumed.apply(&watch.of_table().await.delta()).unwrap();
        }
        assert_eq!(resumed, now(&live).await, "{query}");
    }
}

#[tokio::test]
async fn what_is_compacted_is_gone() {
    let live = Live::with_limits(Limits {
        changes_max: 4,
        ..Limits::default()
    })
    .await;
    let first = live.version();
    let mut watch = Watch::open(&live, "", &[]).await;
    watch.next().await.unwrap();
    for weight in 2..8 {
        change(&live, weight);
        watch.of_table().await;
    }
    let (from, id) = (format!("/v1/watch?from={first}"), format!("1.{first}"));
    let asked: [(&str, &[(&str, &str)]); 2] =
        [(&from, &[]), ("/v1/watch", &[("last-event-id", &id)])];
    for (path, headers) in asked {
        let got = live.send("GET", path, headers, b"").await;
        assert_eq!((got.status, got.code().as_str()), (410, "compacted"));
        assert_eq!(got.json()["newest"]["version"], live.version());
    }
    let mut anew = Watch::open(&live, "?from=0.5", &[]).await;
    assert_eq!(
        anew.next().await.unwrap().name,
        "table",
        "of another incarnation"
    );
    let got = live.get("/v1/watch?from=2.1").await;
    assert_eq!((got.status, got.code().as_str()), (503, "behind"));
    for bad in ["?from=x", "?from=", "?since=1"] {
        assert_eq!(
            live.get(&format!("/v1/watch{bad}")).await.status,
            400,
            "{bad}"
        );
    }
    let bad = [("last-event-id", "nonsense")];
    assert_eq!(live.send("GET", "/v1/watch", &bad, b"").await.status, 400);
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_lives() {
    let idle = Duration::from_millis(300);
    let live = Live::with_limits(Limits {
        idle_timeout: idle,
        ..Limits::default()
    })
    .await;
    let mut watch = Watch::open(&live, "", &[]).await;
    let version = watch.next().await.unwrap().table().version;
    let began = Instant::now();
    while began.elapsed() < 3 * idle {
        let told = watch.next().await.unwrap();
        assert_eq!(told.name, "heartbeat");
        assert_eq!(told.data, format!("{{\"version\":{version}}}"));
        assert_eq!(told.id, Some(format!("1.{version}")));
    }
}

#[tokio::test]
async fn one_watcher_too_many_is_refused_and_a_place_is_given_back() {
    let live = Live::with_limits(Limits {
        watchers_max: 1,
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let watch = Watch::open(&live, "", &[]).await;
    for path in ["/v1/watch", "/v1/table?min_version=999&wait=5"] {
        let got = live.get(path).await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (503, "too-many-watchers")
        );
        assert_eq!(got.header("retry-after"), Some("1"));
    }
    assert_eq!(live.get("/v1/table").await.status, 200, "others are served");
    assert_eq!(live.send("HEAD", "/v1/watch", &[], b"").await.status, 200);
    drop(watch);
    // Noticed when it is written to next.
    let began = Instant::now();
    while live.get("/v1/watch?from=2.1").await.code() != "behind" {
        assert!(began.elapsed() < PATIENCE, "the place is given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_slow_reader_is_told_and_dropped() {
    let fake = Arc::new(Fake::with_partitions(captured(), 3));
    let limits = Limits {
        changes_max: 2,
        ..Limits::default()
    };
    let config = SurfaceConfig {
        limits,
        ..SurfaceConfig::default()
    };
    let surface = Surface::new(config, Arc::clone(&fake) as _).unwrap();
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", "localhost");
        surface
            .handle(request.body(Empty::<Bytes>::new()).unwrap())
            .await
    };
    let mut slow = ask("/v1/watch").await.into_body();
    let mut keeps_up = ask("/v1/watch").await.into_body();
    let next = async |body: &mut ck_http::ReplyBody| {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap();
        let data = frame?.unwrap().into_data().unwrap();
        Some(String::from_utf8(data.to_vec()).unwrap())
    };
    for _ in 0..2 {
        next(&mut slow).await.unwrap();
        next(&mut keeps_up).await.unwrap();
    }
    for weight in 2..6 {
        let node = "node-2".parse().unwrap();
        let change = ck_control::MemberChange {
            weight: Some(weight),
            ..Default::default()
        };
        fake.apply(Command::Update { node, change }).unwrap();
        while !next(&mut keeps_up).await.unwrap().contains("event: delta") {}
    }
    let told = next(&mut slow).await.unwrap();
    assert!(told.starts_with("event: dropped\ndata: {"), "{told}");
    assert!(told.contains("\"code\":\"too-slow\""), "{told}");
    assert_eq!(next(&mut slow).await, None, "that is its end");
}

#[tokio::test]
async fn a_stop_ends_streams_and_waiting_at_once() {
    let live = Live::three().await;
    let mut watch = Watch::open(&live, "", &[]).await;
    watch.next().await.unwrap();
    let mut waiting = live.connect().await;
    let ask = "GET /v1/table?min_version=999&wait=60 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    waiting.write_all(ask.as_bytes()).await.unwrap();
    while !live.get("/v1/metrics").await.body_has("http_watchers 2.0") {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    live.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "before `stop_timeout`"
    );
    while watch.next().await.is_some() {}
    assert!(watch.ended, "with its last chunk");
    let got = parse(&crate::support::read_to_end(&mut waiting).await);
    assert_eq!(got.code(), "behind");
}

/// Begins a move of the primary role of one partition, which changes its state and nothing else.
fn move_one(live: &Live, partition: PartitionId) {
    let state = ck_http::Backend::state(&*live.fake);
    let holder = state
        .partition(partition)
        .and_then(|one| one.holder)
        .unwrap();
    let row = state.row_members(partition);
    let target = *row.iter().find(|one| **one != holder.member).unwrap();
    let step = TransferCommand::Open(Move {
        partition,
        source: Party {
            member: holder.member,
            session: holder.session,
        },
        target: Party {
            member: target,
            session: state.member(target).unwrap().session.unwrap(),
        },
        handoff: true,
        leaving: None,
        reason: Trigger::Manual,
        force: false,
    });
    let office = state.office().map(|office| office.id);
    live.fake.apply(Command::Transfer { office, step }).unwrap();
}

/// Bytes of what is told of one partition's change, in a cluster of that many.
async fn bytes_of_a_change(partition_count: u32) -> usize {
    let config = ck_control::Config {
        partitions: partition_count,
        ..captured()
    };
    let live = Live::start(Fake::with_partitions(config, 3)).await;
    let mut watch = Watch::open(&live, "", &[]).await;
    let mut table = watch.next().await.unwrap().table();
    assert_eq!(table.rows.len(), partition_count as usize);
    move_one(&live, PartitionId(partition_count - 1));
    let told = watch.of_table().await;
    let delta = told.delta();
    assert_eq!(
        (delta.rows.len(), delta.rows[0].state.as_str()),
        (1, "moving")
    );
    table.apply(&delta).unwrap();
    assert_eq!(table, now(&live).await);
    told.data.len()
}

#[tokio::test]
async fn a_change_costs_no_more_where_there_are_more_partitions() {
    let (few, many) = (bytes_of_a_change(64).await, bytes_of_a_change(4096).await);
    assert!(
        many <= 2 * few,
        "{many} bytes at 4,096 partitions, {few} at 64"
    );
}
