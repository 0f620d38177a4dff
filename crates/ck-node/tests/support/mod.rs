//! Several nodes in one process, on a network in memory, each with a data directory of its own.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod owners;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ck_control::ConfigChoices;
use ck_node::{Config, Handle, Node, OnFatal, OperationError, StartError};
use ck_transport::{MemoryNetwork, Transport};
use tempfile::TempDir;

/// Longest a test waits for anything. Never reached unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) network: Arc<MemoryNetwork>,
    directory: TempDir,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        // `RUST_LOG=ck_node=info` shows what the nodes of a failing test did.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init();
        Self {
            network: MemoryNetwork::new(seed),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn data(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("node-{number}"))
    }

    /// The configuration of a node that lists the first `initial` nodes.
    pub(crate) fn config(&self, number: usize, initial: usize) -> Config {
        let mut config = Config::new(format!("node-{number}").parse().unwrap(), self.data(number));
        config.join = (1..=initial).map(address).collect();
        config.on_fatal = OnFatal::Report;
        config.pace.clean_up = Duration::from_millis(100);
        config.choices = ConfigChoices {
            settle_ms: Some(100),
            ..ConfigChoices::default()
        };
        config
    }

    pub(crate) async fn start(&self, number: usize, config: Config) -> Result<Handle, StartError> {
        let network = Arc::clone(&self.network);
        let at = address(number);
        let bind: ck_node::Bind = Box::new(move |me, service| {
            Box::pin(async move {
                let transport = network.join(at.clone(), me, service);
                Ok((transport as Arc<dyn Transport>, at))
            })
        });
        Node::start_with(config, bind).await
    }

    /// Starts `count` nodes that all list each other, and waits until each is ready.
    pub(crate) async fn cluster(&self, count: usize) -> Vec<Handle> {
        let mut handles = Vec::new();
        for number in 1..=count {
            handles.push(
                self.start(number, self.config(number, count))
                    .await
                    .unwrap(),
            );
        }
        for handle in &handles {
            eventually("every node is ready", || handle.unready().is_empty()).await;
        }
        handles
    }

    /// Empties the data directory of a node that ends or has ended.
    pub(crate) async fn wipe(&self, number: usize) {
        let data = self.data(number);
        eventually("its data can be wiped", || {
            std::fs::remove_dir_all(&data).is_ok()
        })
        .await;
    }

    /// Starts a node over data that another handle may be letting go of at this moment.
    pub(crate) async fn restart(&self, number: usize, config: Config) -> Handle {
        let started = tokio::time::Instant::now();
        loop {
            match self.start(number, config.clone()).await {
                Ok(handle) => return handle,
                Err(StartError::Store(ck_node::StoreError::Locked { .. })) => {
                    assert!(started.elapsed() < PATIENCE, "the store stayed locked");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(source) => panic!("{source}"),
            }
        }
    }
}

pub(crate) fn address(number: usize) -> String {
    format!("node-{number}:1")
}

/// Waits until three members vote, and every node knows that the change is complete.
pub(crate) async fn three_voters(handles: &[Handle]) {
    for handle in handles {
        eventually("three voters", || {
            let status = handle.status();
            status.voters.len() == 3 && !status.joint
        })
        .await;
    }
}

/// Waits until `holds`, looking again and again.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Removes a node, again while it is being drained.
pub(crate) async fn remove_when_empty(handle: &Handle, node: &str) {
    loop {
        match handle.remove(node.parse().unwrap()).await {
            Ok(()) => return,
            Err(OperationError::Draining { copies, .. }) => assert!(copies > 0),
            Err(source) => panic!("{source}"),
        }
    }
}
