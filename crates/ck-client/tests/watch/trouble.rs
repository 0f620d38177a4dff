//! Servers that send garbage, fall silent, stay behind, or are of another cluster.

use std::time::Duration;

use ck_api::{Heartbeat, TableAnswer, TableDelta};
use ck_client::Router;
use ck_core::PartitionId;
use serde_json::json;

use crate::server::{BOUND, PARTITIONS, Server, Stream, delta, lists, table, wait_for};
use crate::{age, config, primary, router, version_is};

/// Sends that, and waits until the server is left for it. Gives the reason.
async fn left_for(router: &Router, server: &Server, frame: &[u8]) -> String {
    let stream = server.stream(0).await;
    server.says(|says| says.refusal = Some((503, false)));
    let before = router.route_of(PartitionId(0));
    stream.raw(frame).await;
    let reason = wait_for("the server is left", || {
        stream
            .is_closed()
            .then(|| router.status()?.trouble)
            .flatten()
    });
    let reason = reason.await;
    assert_eq!(router.route_of(PartitionId(0)), before);
    reason
}

fn event(name: &str, data: &impl serde::Serialize) -> Vec<u8> {
    let data = serde_json::to_string(data).unwrap();
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

#[tokio::test]
async fn garbage_teaches_nothing() {
    let beyond = |mut delta: TableDelta| {
        delta.rows[0].partition = PARTITIONS;
        delta
    };
    let strange = |mut table: TableAnswer| {
        table.hash_config.hash = "crc32".into();
        table
    };
    let deep = "[".repeat(100_000);
    for (frame, said) in [
        (event("delta", &json!([])), "\"delta\""),
        (event("heartbeat", &json!({"version": -1})), "\"heartbeat\""),
        (b"event: delta\ndata: {\n\n".to_vec(), "\"delta\""),
        (
            format!("event: table\ndata: {deep}\n\n").into(),
            "\"table\"",
        ),
        (event("delta", &delta(30, 31, 9)), "member 9"),
        (event("delta", &beyond(delta(30, 31, 1))), "partition-16"),
        (event("table", &strange(table(31, 1, ["", ""]))), "crc32"),
        (event("delta", &delta(31, 32, 1)), "1.30 is known"),
    ] {
        let server = Server::with(table(30, 1, ["", ""])).await;
        let router = router(&[&server]).await;
        let reason = left_for(&router, &server, &frame).await;
        // What follows may have been tried in vain meanwhile.
        assert!(
            reason.contains(said) || reason.contains("503"),
            "{said}: {reason}"
        );
        assert_eq!(age(&router), (1, 30));
    }
}

#[tokio::test]
async fn an_event_over_the_limit_is_an_error_that_names_it() {
    let long = [b"data: ".to_vec(), vec![b'x'; 20_000]].concat();
    for frame in [long, b"data: x\n".repeat(4_000)] {
        let server = Server::with(table(30, 1, ["", ""])).await;
        let mut config = config(&[&server]);
        config.event_bytes_max = 10_000;
        let router = Router::connect(config).await.unwrap();
        let stream = server.stream(0).await;
        let named = |text: &str| text.contains("10000 bytes (`RouterConfig::event_bytes_max`)");
        server.says(|says| says.table = None);
        stream.raw(frame).await;
        wait_for("it is named", || {
            router.status()?.trouble.filter(|text| named(text))
        })
        .await;
        // The one that comes next is followed as if nothing had been.
        server
            .stream(1)
            .await
            .send("delta", &delta(30, 31, 2))
            .await;
        version_is(&router, 31).await;
    }
}

#[tokio::test]
async fn a_silent_server_and_one_that_trickles_are_left() {
    for trickle in [false, true] {
        let server = Server::with(table(30, 1, ["", ""])).await;
        let mut config = config(&[&server]);
        config.silence = Duration::from_millis(300);
        let router = Router::connect(config).await.unwrap();
        let stream = server.stream(0).await;
        let trickling = tokio::spawn(async move {
            // Never a whole event.
            while trickle && !stream.is_closed() {
                stream.raw("data: x\n").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert_eq!(server.stream(1).await.last.as_deref(), Some("1.30"));
        trickling.await.unwrap();
        drop(router);
    }
}

#[tokio::test]
async fn a_server_that_stays_behind_is_left() {
    let (one, two) = (Server::start().await, Server::start().await);
    for server in [&one, &two] {
        server.says(|says| says.table = Some(table(30, 1, ["", ""])));
    }
    let mut config = config(&[&one, &two]);
    config.silence = Duration::from_millis(500);
    let router = Router::connect(config).await.unwrap();
    let first = wait_for("one is followed", || router.status()?.following).await;
    let (cut_off, other) = if first == one.address {
        (&one, &two)
    } else {
        (&two, &one)
    };
    cut_off.says(|says| says.table = None);
    other.says(|says| says.table = Some(table(40, 2, ["", ""])));
    router.refresh().await.unwrap();
    version_is(&router, 40).await;
    let stream = cut_off.stream(0).await;
    let resumed = wait_for("the other one is followed", || {
        other.says(|says| says.streams.last().cloned().flatten())
    });
    let telling = async {
        loop {
            stream.send("heartbeat", &Heartbeat { version: 30 }).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let resumed: Stream = tokio::select! {
        resumed = resumed => resumed,
        () = telling => unreachable!("it has no end"),
    };
    assert_eq!(resumed.last.as_deref(), Some("1.40"));
}

#[tokio::test]
async fn a_server_of_another_cluster_teaches_nothing() {
    let (server, stranger) = (Server::start().await, Server::start().await);
    let nodes = [&*server.address, &stranger.address];
    for one in [&server, &stranger] {
        one.says(|says| says.table = Some(table(30, 1, nodes)));
    }
    stranger.says(|says| says.refusal = Some((503, false)));
    let router = router(&[&server]).await;
    server.stream(0).await;
    // It was of this cluster when it was asked before.
    server.says(|says| says.table = None);
    router.refresh().await.unwrap();
    let later = TableAnswer {
        incarnation: 2,
        ..table(99, 2, nodes)
    };
    stranger.says(|says| {
        (says.cluster, says.refusal) = (["bank", "c-2"], None);
        says.table = Some(later);
    });
    assert!(router.refresh().await.is_err());
    let asked = stranger.asked("/v1/watch");
    server.die().await;
    let named = |text: &str| text.contains("it is in cluster c-2, this router is of c-1");
    wait_for("it is refused", || {
        router.status()?.trouble.filter(|text| named(text))
    })
    .await;
    let refused = router.refresh().await.unwrap_err().to_string();
    assert!(
        refused.contains("c-2") || refused.contains(&server.address),
        "{refused}"
    );
    assert_eq!(
        (age(&router), stranger.asked("/v1/watch")),
        ((1, 30), asked)
    );
}

#[tokio::test]
async fn a_heartbeat_counts_for_the_incarnation_that_its_stream_resumes() {
    let (slow, other) = (Server::start().await, Server::start().await);
    slow.says(|says| (says.table, says.held) = (Some(table(30, 1, ["", ""])), true));
    other.says(|says| says.refusal = Some((503, false)));
    let mut config = config(&[&slow, &other]);
    config.attempt_timeout = BOUND;
    let router = Router::connect(config).await.unwrap();
    wait_for("it is asked", || {
        (slow.asked("/v1/watch") > 0).then_some(())
    })
    .await;
    // Before it answers, somebody else tells of a later incarnation.
    slow.says(|says| says.table = None);
    let restored = TableAnswer {
        incarnation: 2,
        ..table(3, 2, ["", ""])
    };
    other.says(|says| says.table = Some(restored));
    router.refresh().await.unwrap();
    assert_eq!(age(&router), (2, 3));
    slow.says(|says| says.held = false);
    let stream = slow.stream(0).await;
    assert_eq!(stream.last.as_deref(), Some("1.30"));
    stream.send("heartbeat", &Heartbeat { version: 40 }).await;
    stream.send("dropped", &json!({})).await;
    wait_for("it is left", || stream.is_closed().then_some(())).await;
    assert_eq!(age(&router), (2, 3));
}

#[tokio::test]
async fn a_server_that_ends_every_stream_is_not_hammered() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let router = router(&[&server]).await;
    let began = std::time::Instant::now();
    for number in 0..5 {
        server.stream(number).await;
        server.end(number);
    }
    // Half of 50, 100, 200 and 400 ms at least.
    assert!(
        began.elapsed() >= Duration::from_millis(375),
        "{:?}",
        began.elapsed()
    );
    drop(router);
}

#[tokio::test]
async fn a_cluster_that_was_restored_is_taken_and_what_is_left_of_it_is_not() {
    let (old, new, other) = (
        Server::start().await,
        Server::start().await,
        Server::start().await,
    );
    let nodes = [&*old.address, &new.address];
    old.says(|says| says.table = Some(table(30, 1, nodes)));
    let restored = |incarnation, version| TableAnswer {
        incarnation,
        ..table(version, 2, nodes)
    };
    new.says(|says| says.table = Some(restored(2, 3)));
    // Of the same name, and later; but no node of the cluster.
    other.says(|says| (says.cluster, says.table) = (["shop", "c-7"], Some(restored(7, 99))));
    new.says(|says| says.refusal = Some((503, false)));
    let router = router(&[&old, &new, &other]).await;
    assert_eq!(age(&router), (1, 30));
    new.says(|says| (says.cluster, says.refusal) = (["shop", "c-2"], None));
    old.says(|says| says.refusal = Some((503, false)));
    old.says(|says| says.streams.clear());
    let stream = new.stream(0).await;
    assert_eq!(stream.last.as_deref(), Some("2.3"));
    assert_eq!(
        (age(&router), primary(&router, 0)),
        ((2, 3), "node-2".into())
    );
    // Whoever has not heard of it is of another cluster by now.
    old.says(|says| says.table = Some(table(99, 1, nodes)));
    new.die().await;
    let named = |text: &str| text.contains("it is in cluster c-1, this router is of c-2");
    wait_for("it is refused", || {
        router.status()?.trouble.filter(|text| named(text))
    })
    .await;
    assert!(router.refresh().await.is_err());
    assert_eq!((age(&router), other.asked("/v1/watch")), ((2, 3), 0));
}

#[tokio::test]
async fn a_server_that_is_another_cluster_s_by_now_teaches_nothing_newer() {
    let nodes = json!({"nodes": [], "total": 0, "limit": 1000, "offset": 0, "next_offset": 0, "has_more": false});
    for has_table in [true, false] {
        let server = Server::start().await;
        let say = |version: u64| {
            server.says(|says| {
                says.table = has_table.then(|| table(version, 1, ["", ""]));
                says.lists = (!has_table).then(|| lists(version, &[]));
                says.nodes = Some(nodes.to_string());
            });
        };
        say(30);
        let mut config = config(&[&server]);
        config.follow = false;
        let router = Router::connect(config).await.unwrap();
        say(31);
        router.refresh().await.unwrap();
        assert_eq!(age(&router), (1, 31), "it is still the one it was");
        // The same address, the same incarnation, and nothing that failed in between.
        server.says(|says| says.cluster = ["bank", "c-2"]);
        say(99);
        let refused = router.refresh().await.unwrap_err().to_string();
        assert!(refused.contains("it is in cluster c-2"), "{refused}");
        assert_eq!(age(&router), (1, 31), "with a table: {has_table}");
    }
}

#[tokio::test]
async fn a_server_that_has_failed_is_asked_again_which_cluster_it_is_of() {
    let server = Server::with(table(30, 1, ["", ""])).await;
    let mut config = config(&[&server]);
    config.follow = false;
    let router = Router::connect(config).await.unwrap();
    router.refresh().await.unwrap();
    assert_eq!(server.asked("/v1/peer"), 1);
    server.says(|says| says.table = None);
    assert!(router.refresh().await.is_err());
    server.says(|says| says.table = Some(table(30, 1, ["", ""])));
    router.refresh().await.unwrap();
    assert_eq!(server.asked("/v1/peer"), 2);
}
