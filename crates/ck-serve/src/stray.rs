//! A data directory of one cluster, started towards the members of another.

use std::time::Duration;

use ck_api::Peer;
use ck_client::Client;
use ck_node::Handle;

use crate::asking::Asking;

/// Time an address of `--join` has to say which cluster it is in.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);

/// Between rounds of asking, and between looks at whether this node is in a cluster.
const ROUND_EVERY: Duration = Duration::from_millis(500);

/// Ends, with the reason, when an address of `--join` is in another cluster of the same name than
/// the data of this node. Each address is asked until it has answered once, and only until this
/// node serves: what listens there later is no reason to end a healthy node.
pub(crate) async fn meets_another_cluster(
    node: Handle,
    data: String,
    join: Vec<String>,
    asking: Asking,
) -> String {
    let ours = loop {
        if let Some(genesis) = node.state().formed() {
            break (genesis.name.clone(), genesis.cluster.to_string());
        }
        tokio::time::sleep(ROUND_EVERY).await;
    };
    let mut silent = join;
    loop {
        let mut still = Vec::new();
        for target in silent {
            match ask(&asking, &target).await {
                Some(Peer {
                    uuid: Some(theirs),
                    cluster,
                    ..
                }) if cluster == ours.0 => {
                    if theirs != ours.1 {
                        return format!(
                            "{target} is in cluster {cluster:?} {theirs}, but the data in {data} \
                             belongs to {:?} {}; correct --join, or start with an empty --data",
                            ours.0, ours.1
                        );
                    }
                }
                _ => still.push(target),
            }
        }
        silent = still;
        if silent.is_empty() || node.unready().is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(ROUND_EVERY).await;
    }
}

async fn ask(asking: &Asking, target: &str) -> Option<Peer> {
    let config = asking.now().with_timeout(ANSWER_TIMEOUT);
    let client = Client::new(config.with_servers([target])).ok()?;
    client.peer().await.ok()
}
