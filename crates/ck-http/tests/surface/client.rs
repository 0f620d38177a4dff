//! The client against the server: every method, typed.

use bytes::Bytes;
use ck_api::{ConfigPatch, JoinNode, JoinRequest, NodePatch};
use ck_client::{Client, ClientConfig, PartitionQuery, Readiness};
use ck_http::SurfaceConfig;
use ck_http::fake::Fake;

use crate::support::{Live, captured};

async fn live_with_token() -> (Live, Client) {
    let token: ck_api::Token = "s3cret".parse().unwrap();
    let config = SurfaceConfig {
        admin_token: Some(token.clone()),
        ..SurfaceConfig::default()
    };
    let live = Live::start_with(Fake::formed(captured(), 3), config).await;
    let config = ClientConfig::new([live.address.to_string()]).with_token(token);
    (live, Client::new(config).unwrap())
}

#[tokio::test]
async fn what_the_server_shows_the_client_reads() {
    let (live, client) = live_with_token().await;
    assert!(matches!(
        client.ready().await.unwrap(),
        Readiness::NotReady(_)
    ));
    let error = client.partition_for_key(b"a").await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "no-partitions");
    let created = client.create_partitions().await.unwrap();
    assert!(created.created);
    let again = client.create_partitions().await.unwrap();
    assert!(!again.created);
    assert_eq!(again.partitions, created.partitions);
    let list = client.partitions(&PartitionQuery::default()).await.unwrap();
    assert_eq!(list, created.partitions);
    let query = PartitionQuery {
        node: Some("node-1".into()),
        state: Some("stable".into()),
        limit: Some(5),
        after: Some("9".into()),
    };
    assert_eq!(
        client.partitions(&query).await.unwrap().partitions[0].id,
        "partition-10"
    );
    let key = b"\xff \0+/";
    let answer = client.partition_for_key(key).await.unwrap();
    assert_eq!(
        answer.id,
        ck_core::KeyHash::Md5Mod.partition(key, 64).to_string()
    );
    assert_eq!(
        client.partition(&answer.id).await.unwrap().primary_node,
        answer.primary_node
    );
    assert_eq!(client.partition_stats().await.unwrap().total_partitions, 64);
    let cluster = client.cluster().await.unwrap();
    assert_eq!(
        (cluster.leader.as_str(), cluster.cluster.nodes.len()),
        ("node-1", 3)
    );
    assert_eq!(client.nodes(2, 1).await.unwrap().nodes[0].id, "node-2");
    assert_eq!(client.node("node-1").await.unwrap().node.member, 1);
    let held = client.node_partitions("node-1").await.unwrap();
    assert_eq!(held.primary.len() + held.replica.len(), 64);
    assert!(matches!(client.ready().await.unwrap(), Readiness::Ready(_)));
    assert!(client.health().await.unwrap().success);
    assert!(client.health_detailed().await.unwrap().healthy);
    assert!(client.metrics().await.unwrap().request_count > 0);
    assert_eq!(client.consensus_leader().await.unwrap().leader_id, "node-1");
    assert!(client.consensus_stats().await.unwrap().term > 0);
    let peer = client.peer().await.unwrap();
    assert!(peer.formed && peer.uuid.is_some());
    live.stop().await;
    assert_eq!(client.health().await.unwrap_err().exit_code(), 3);
}

#[tokio::test]
async fn what_the_client_asks_for_the_server_does() {
    let (live, client) = live_with_token().await;
    client.create_partitions().await.unwrap();
    live.fake.answers_at("127.0.0.1:20084", "node-4");
    let joined = client
        .join(&JoinRequest {
            node: JoinNode {
                id: "node-4".into(),
                ip: "127.0.0.1:18084".into(),
                ..JoinNode::default()
            },
            peer_addr: Some("127.0.0.1:20084".into()),
            ..JoinRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(joined.data.node_count, 4);
    let patch = NodePatch {
        weight: Some(2),
        ..NodePatch::default()
    };
    assert_eq!(
        client
            .update_node("node-4", &patch)
            .await
            .unwrap()
            .node
            .weight,
        2
    );
    assert!(!client.rebalance(true).await.unwrap().applied);
    assert!(client.rebalance(false).await.unwrap().applied);
    let patch = ConfigPatch {
        replication_factor: Some(2),
        ..ConfigPatch::default()
    };
    assert_eq!(
        client
            .configure(&patch)
            .await
            .unwrap()
            .config
            .replication_factor,
        2
    );
    assert_eq!(client.remove_node("node-4").await.unwrap().node_count, 3);
    assert_eq!(
        client.remove_node("node-4").await.unwrap_err().exit_code(),
        1
    );
}

#[tokio::test]
async fn values_go_there_and_back() {
    let (_live, client) = live_with_token().await;
    let value = Bytes::from_static(b"\0\xffbytes");
    let stored = client
        .set_custom("a/é b", value.clone(), Some(0))
        .await
        .unwrap();
    let read = client.custom("a/é b").await.unwrap();
    assert_eq!((read.value, read.version), (value.clone(), stored.version));
    let error = client
        .set_custom("a/é b", value, Some(0))
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 4);
    for number in 0..1100 {
        client
            .set_custom(&format!("k{number:04}"), Bytes::new(), None)
            .await
            .unwrap();
    }
    let listed = client.custom_list(Some("k")).await.unwrap();
    assert_eq!((listed.count, listed.has_more), (1100, false));
    assert_eq!(listed.entries[1099].key, "k1099");
    client
        .delete_custom("a/é b", Some(stored.version))
        .await
        .unwrap();
    let error = client.custom("a/é b").await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "custom-unknown");
}

#[tokio::test]
async fn a_wrong_token_is_a_refusal() {
    let (live, _) = live_with_token().await;
    let config = ClientConfig::new([live.address.to_string()]);
    let client = Client::new(config.with_token("other".parse().unwrap())).unwrap();
    let error = client.create_partitions().await.unwrap_err();
    assert_eq!(
        (error.problem().unwrap().status, error.exit_code()),
        (401, 4)
    );
}
