//! Following servers, against servers that misbehave.

mod server;
mod trouble;

use std::time::Duration;

use ck_api::{Heartbeat, Problem, TableAnswer, TableDelta};
use ck_client::http::{Bytes, Request};
use ck_client::{Router, RouterConfig};
use ck_core::PartitionId;
use serde_json::json;
use server::{BOUND, Server, delta, lists, table, wait_for};

/// Follows, and asks for no table unless it has to.
fn config(servers: &[&Server]) -> RouterConfig {
    let mut config = RouterConfig::new(servers.iter().map(|server| &*server.address));
    config.refresh_every = Duration::from_secs(3600);
    config
}

async fn router(servers: &[&Server]) -> Router {
    Router::connect(config(servers)).await.unwrap()
}

fn age(router: &Router) -> (u64, u64) {
    let status = router.status().unwrap();
    (status.incarnation, status.version)
}

#[track_caller]
fn version_is(router: &Router, version: u64) -> impl Future<Output = ()> {
    let router = router.clone();
    wait_for(format!("version {version} is known"), move || {
        (age(&router).1 == version).then_some(())
    })
}

/// The primary of a partition.
fn primary(router: &Router, partition: u32) -> String {
    let route = router.route_of(PartitionId(partition)).unwrap();
    route.primary().unwrap().id().to_owned()
}

#[tokio::test]
async fn changes_are_taken_in_order_and_never_twice() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let router = router(&[&server]).await;
    let stream = server.stream(0).await;
    assert_eq!(stream.last.as_deref(), Some("1.30"));
    stream.send("delta", &delta(30, 31, 2)).await;
    version_is(&router, 31).await;
    assert_eq!(
        (primary(&router, 0), primary(&router, 1)),
        ("node-2".into(), "node-1".into())
    );
    for old in [delta(30, 31, 1), delta(29, 30, 1)] {
        stream.send("delta", &old).await;
    }
    stream.send("table", &table(29, 1, ["", ""])).await;
    let happened = json!({"version": 31, "kind": "transfer", "text": "for people"});
    stream.send("lifecycle", &happened).await;
    stream.raw("event: later\ndata: not even JSON\n\n").await;
    stream.send("delta", &delta(31, 35, 2)).await;
    version_is(&router, 35).await;
    assert_eq!(router.route_of(PartitionId(0)).unwrap().epoch().0, 35);
    // Nothing has changed up to there; what comes begins at the last change.
    stream.send("heartbeat", &Heartbeat { version: 40 }).await;
    version_is(&router, 40).await;
    stream.send("delta", &delta(35, 41, 1)).await;
    version_is(&router, 41).await;
    assert_eq!(primary(&router, 0), "node-1");
    let figures = router.figures();
    assert_eq!(
        (figures.streams, figures.changes, figures.tables),
        (1, 3, 1)
    );
    assert_eq!(figures.refreshes, 1, "the first table alone");
    assert_eq!(
        router.status().unwrap().following.as_ref(),
        Some(&server.address)
    );
    assert_eq!(router.status().unwrap().trouble, None);
}

#[tokio::test]
async fn a_gap_is_filled_by_the_whole_table() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let router = router(&[&server]).await;
    let stream = server.stream(0).await;
    server.says(|says| says.table = Some(table(33, 2, ["", ""])));
    stream.send("delta", &delta(31, 32, 1)).await;
    let again = server.stream(1).await;
    assert_eq!(again.last, None);
    version_is(&router, 33).await;
    again.send("delta", &delta(33, 34, 1)).await;
    version_is(&router, 34).await;
}

#[tokio::test]
async fn a_change_past_what_another_server_has_told_is_a_gap() {
    let (server, other) = (Server::start().await, Server::start().await);
    server.says(|says| says.table = Some(table(30, 1, ["", ""])));
    other.says(|says| says.refusal = Some((503, false)));
    let router = router(&[&server, &other]).await;
    let stream = server.stream(0).await;
    // Partition 0 is elsewhere at 33, as the other one alone has seen, and back at 35.
    server.says(|says| says.table = None);
    other.says(|says| says.table = Some(table(33, 2, ["", ""])));
    router.refresh().await.unwrap();
    version_is(&router, 33).await;
    // What it has told itself does not stand in the way of what follows.
    stream.send("heartbeat", &Heartbeat { version: 33 }).await;
    stream.send("delta", &delta(33, 34, 2)).await;
    version_is(&router, 34).await;
    other.says(|says| says.table = Some(table(36, 2, ["", ""])));
    router.refresh().await.unwrap();
    version_is(&router, 36).await;
    server.says(|says| says.table = Some(table(38, 1, ["", ""])));
    let nothing = TableDelta {
        rows: Vec::new(),
        ..delta(34, 38, 1)
    };
    stream.send("delta", &nothing).await;
    assert_eq!(server.stream(1).await.last, None);
    version_is(&router, 38).await;
    assert_eq!(primary(&router, 0), "node-1");
}

#[tokio::test]
async fn a_stream_that_ends_is_resumed_where_it_was() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let router = router(&[&server]).await;
    server
        .stream(0)
        .await
        .send("delta", &delta(30, 31, 2))
        .await;
    version_is(&router, 31).await;
    server.end(0);
    let dropped = Problem::new(ck_api::Code::TooSlow, "too slow");
    let again = server.stream(1).await;
    assert_eq!(again.last.as_deref(), Some("1.31"));
    // A server that gives up on a slow reader is one that ends it.
    again.send("dropped", &dropped).await;
    assert_eq!(server.stream(2).await.last.as_deref(), Some("1.31"));
    assert_eq!(router.figures().tables, 1);
}

#[tokio::test]
async fn compacted_changes_are_replaced_by_the_whole_table() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    server.says(|says| says.refusal = Some((410, true)));
    let router = router(&[&server]).await;
    server.says(|says| says.table = Some(table(90, 2, ["", ""])));
    assert_eq!(server.stream(0).await.last, None);
    version_is(&router, 90).await;
    assert_eq!(primary(&router, 5), "node-2");
}

#[tokio::test]
async fn a_later_incarnation_is_taken_and_an_earlier_one_is_not() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let router = router(&[&server]).await;
    let stream = server.stream(0).await;
    let restored = TableAnswer {
        incarnation: 2,
        ..table(3, 2, ["", ""])
    };
    stream.send("table", &restored).await;
    version_is(&router, 3).await;
    stream.send("table", &table(99, 1, ["", ""])).await;
    stream.send("delta", &delta(3, 4, 1)).await;
    stream.send("heartbeat", &Heartbeat { version: 99 }).await;
    assert_eq!(age(&router), (2, 3));
    let next = TableDelta {
        incarnation: 2,
        ..delta(3, 4, 1)
    };
    stream.send("delta", &next).await;
    version_is(&router, 4).await;
    assert_eq!(
        (age(&router), primary(&router, 1)),
        ((2, 4), "node-2".into())
    );
    assert_eq!(router.figures().streams, 1);
}

#[tokio::test]
async fn the_loss_of_every_server_is_survived() {
    let mut servers = vec![
        Server::start().await,
        Server::start().await,
        Server::start().await,
    ];
    // The third one is known by the table alone.
    let first = table(30, 1, ["", &servers[2].address]);
    for server in &servers {
        server.says(|says| says.table = Some(first.clone()));
    }
    let router = router(&[&servers[0], &servers[1]]).await;
    let mut version = 30;
    while !servers.is_empty() {
        let is_there = |address: &String| servers.iter().position(|one| one.address == *address);
        let at = wait_for("one is followed", || {
            let at = is_there(&router.status()?.following?)?;
            servers[at].says(|says| says.streams.last()?.clone().map(|_| at))
        });
        let server = servers.remove(at.await);
        let stream = server
            .says(|says| says.streams.last().cloned().flatten())
            .unwrap();
        stream.send("delta", &delta(version, version + 1, 2)).await;
        version += 1;
        version_is(&router, version).await;
        server.die().await;
        let now = table(version, 1, ["", ""]);
        servers
            .iter()
            .for_each(|one| one.says(|says| says.table = Some(now.clone())));
        if !servers.is_empty() {
            // Whoever is next is followed from there, and says that it lives.
            wait_for("another one is followed", || {
                let streams = servers
                    .iter()
                    .find_map(|one| one.says(|says| says.streams.last().cloned().flatten()));
                streams.filter(|stream| stream.last == Some(format!("1.{version}")))
            })
            .await
            .send("heartbeat", &Heartbeat { version })
            .await;
        }
    }
    assert_eq!(primary(&router, 0), "node-2");
    let status = wait_for("it says why", || {
        router.status().filter(|status| status.following.is_none())
    });
    assert!(status.await.trouble.is_some());
    let old = router.status().unwrap().age;
    let older = || {
        router
            .status()
            .filter(|status| status.age > old + Duration::from_millis(50))
    };
    wait_for("it says how old the table is", older).await;
    assert!(router.refresh().await.is_err());
    assert_eq!(age(&router), (1, version));
}

#[tokio::test]
async fn servers_that_cannot_be_followed_are_asked_from_time_to_time() {
    for has_table in [true, false] {
        let server = Server::start().await;
        let say = |version: u64| {
            server.says(|says| {
                says.refusal = Some((404, false));
                says.table = has_table.then(|| table(version, 1, ["", ""]));
                says.lists = (!has_table).then(|| lists(version, &["node-2"]));
            });
        };
        say(30);
        let mut config = config(&[&server]);
        config.refresh_every = Duration::from_millis(30);
        // Nodes are asked for anew only where the cluster's hash is known.
        let router = Router::connect(config).await.unwrap();
        assert_eq!(age(&router), (1, 30));
        if has_table {
            say(31);
            version_is(&router, 31).await;
        }
        let trouble = wait_for("it says why", || router.status()?.trouble).await;
        assert!(trouble.contains("no /v1/watch"), "{trouble}");
        assert_eq!(primary(&router, 0), "node-1");
    }
}

#[tokio::test]
async fn a_router_that_is_dropped_follows_nobody() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let router = router(&[&server]).await;
    let stream = server.stream(0).await;
    assert!(!stream.is_closed());
    drop(router);
    wait_for("the stream is closed", || stream.is_closed().then_some(())).await;
}

#[tokio::test]
async fn a_request_goes_on_as_soon_as_the_stream_names_another_primary() {
    let dead = Server::start().await;
    dead.die().await;
    let server = Server::start().await;
    let first = table(30, 1, [&dead.address, &server.address]);
    server.says(|says| says.table = Some(first));
    let router = router(&[&server]).await;
    let stream = server.stream(0).await;
    let request = Request::put("/kv/a")
        .body(Bytes::from_static(b"v"))
        .unwrap();
    let sending = {
        let router = router.clone();
        let send = async move {
            router
                .send_to(PartitionId(0), request, Default::default())
                .await
        };
        tokio::spawn(send)
    };
    wait_for("it was tried in vain", || {
        (router.figures().retries > 0).then_some(())
    })
    .await;
    stream.send("delta", &delta(30, 31, 2)).await;
    let answer = tokio::time::timeout(BOUND, sending).await.unwrap().unwrap();
    assert_eq!(answer.unwrap().body().as_ref(), b"done");
    assert_eq!(server.asked("/kv/a"), 1);
}

#[tokio::test]
async fn a_version_that_an_answer_names_is_asked_for_where_nobody_tells() {
    for follow in [true, false] {
        let server = Server::start().await;
        let first = table(30, 1, [&server.address, ""]);
        server.says(|says| says.table = Some(first));
        let mut config = config(&[&server]);
        config.follow = follow;
        let router = Router::connect(config).await.unwrap();
        if follow {
            server.stream(0).await;
        }
        let request = Request::get("/kv/a").body(Bytes::new()).unwrap();
        let answer = router.send_to(PartitionId(0), request, Default::default());
        assert_eq!(answer.await.unwrap().status(), 200);
        if follow {
            // Longer than a newer version may wait that nobody tells of: nothing is there to wait for.
            tokio::time::sleep(Duration::from_millis(800)).await;
            assert_eq!(router.figures().refreshes, 1, "whoever is followed tells");
        } else {
            let asked = || (router.figures().refreshes > 1).then_some(());
            wait_for("it asks by itself", asked).await;
        }
    }
}
