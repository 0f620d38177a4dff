//! The suite over real sockets; hostile peers; connections that come and go.

mod connections;
mod hostile;
mod requests;
mod tls;

use std::sync::Arc;

use ck_core::NodeId;
use tokio::net::TcpListener;

use super::*;
use crate::conformance::{Fixture, PATIENCE, limits};
use crate::{ClusterId, ServiceError};

struct Loopback(String);

impl Loopback {
    /// Nobody listens at port 1, and no listener is ever given it, unlike a port that was free a
    /// moment ago.
    fn new() -> Self {
        Self("127.0.0.1:1".into())
    }
}

impl Fixture for Loopback {
    fn start(
        &self,
        address: Option<String>,
        me: PeerId,
        service: Arc<dyn Service>,
    ) -> BoxFuture<'_, Result<Arc<dyn Transport>, TransportError>> {
        let listen = address.unwrap_or_else(|| "127.0.0.1:0".into());
        Box::pin(async move {
            let config = TcpConfig {
                limits: limits(),
                ..TcpConfig::listening_at(listen)
            };
            TcpTransport::bind(config, me, service)
                .await
                .map(|transport| transport as _)
        })
    }

    fn nowhere(&self) -> String {
        self.0.clone()
    }
}

crate::conformance_tests!(
    tokio::test(flavor = "multi_thread", worker_threads = 2),
    Loopback::new()
);

/// Answers with the payload; kind 2 never does.
struct Echo;

impl Service for Echo {
    fn handle(
        &self,
        _: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        Box::pin(async move {
            if request.kind == 2 {
                std::future::pending::<()>().await;
            }
            Ok(Reply::new(request.payload))
        })
    }
}

fn id(name: &str, member: u64) -> PeerId {
    PeerId {
        node: NodeId::new(name).unwrap(),
        member: Some(member),
        store: 1,
        cluster: Some(ClusterId(7)),
        cluster_name: "tests".into(),
    }
}

async fn bind(config: TcpConfig, member: u64) -> Arc<TcpTransport> {
    TcpTransport::bind(
        config,
        id(&format!("node-{member}"), member),
        Arc::new(Echo),
    )
    .await
    .unwrap()
}

async fn ask(from: &TcpTransport, to: &str) -> Result<PeerId, TransportError> {
    let to = Address::anyone(to);
    from.call(&to, Request::new(1, "hello"), PATIENCE)
        .await
        .map(|(who, reply)| {
            assert_eq!(reply.payload, "hello");
            who
        })
}

/// A listener that is no transport.
async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}
