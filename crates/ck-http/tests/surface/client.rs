//! The client against the server: every method, typed.

use bytes::Bytes;
use ck_api::{ConfigPatch, JoinNode, JoinRequest, NodePatch, PromoteRequest, Tokens};
use ck_client::{Client, ClientConfig, NodeOrder, PartitionQuery, PlanOrder, Readiness};
use ck_http::fake::Fake;
use ck_http::{AcceptedTokens, SurfaceConfig};

use crate::support::{Live, captured};

async fn live_with_token() -> (Live, Client) {
    let token: ck_api::Token = "s3cret".parse().unwrap();
    let config = SurfaceConfig {
        tokens: AcceptedTokens::new(Tokens::admin(token.clone())),
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
    live.fake.carry_plan_out().unwrap();
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

#[tokio::test]
async fn ownership_is_operated_and_asked_about() {
    let (live, client) = live_with_token().await;
    client.create_partitions().await.unwrap();
    let owned = client.owned().await.unwrap();
    assert_eq!((owned.node.as_str(), owned.incarnation), ("node-1", 1));
    for (order, status) in [
        (NodeOrder::Drain, "draining"),
        (NodeOrder::Cordon, "cordoned"),
        (NodeOrder::Uncordon, "active"),
    ] {
        let answer = client.order_node("node-2", order).await.unwrap();
        assert_eq!(answer.node.status, status);
    }
    assert!(client.may_stop("node-2").await.unwrap().allowed);
    assert_eq!(client.explain("3").await.unwrap().id, "partition-3");
    let why = client.why_not("3", &owned.node).await.unwrap();
    assert!(why.is_primary || why.has_copy);
    let history = client.history(Some("1.2"), None, Some(2)).await.unwrap();
    assert_eq!((history.count, history.has_more), (2, true));
    assert_eq!(client.config().await.unwrap().config.lease_ms, 2000);
    let request = PromoteRequest {
        node: "node-2".to_owned(),
        accept_data_loss: false,
    };
    let error = client.promote("3", &request).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(
        (problem.code.as_str(), error.exit_code()),
        ("partition-held", 4)
    );
    assert_eq!(problem.newest.as_ref().unwrap().epoch, Some(1));

    live.fake.answers_at("127.0.0.1:20084", "node-4");
    client.join(&join("node-4")).await.unwrap();
    let mut plan = client.preview_plan().await.unwrap();
    assert_eq!(client.plan(&plan.id).await.unwrap(), plan);
    plan.base += 1;
    let error = client.apply_plan(&plan).await.unwrap_err();
    assert_eq!(
        (error.problem().unwrap().status, error.exit_code()),
        (412, 4)
    );
    plan.base -= 1;
    assert_eq!(client.apply_plan(&plan).await.unwrap().status, "under-way");
    assert_eq!(client.transfers().await.unwrap().count, 0);
    for (order, status) in [
        (PlanOrder::Pause, "paused"),
        (PlanOrder::Resume, "under-way"),
        (PlanOrder::Abort, "ended"),
    ] {
        let plan = client.order_plan("current", order).await.unwrap();
        assert_eq!(plan.status, status);
    }
    client.release_brake().await.unwrap();
}

fn join(node: &str) -> JoinRequest {
    JoinRequest {
        node: JoinNode {
            id: node.to_owned(),
            ip: "127.0.0.1:18084".to_owned(),
            ..JoinNode::default()
        },
        peer_addr: Some("127.0.0.1:20084".to_owned()),
        ..JoinRequest::default()
    }
}
