//! Counts visits. Each name is counted at one node at a time, wherever that is.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ck_http::{BoxFuture, Incoming, Problem, Reply, Request, Routes};
use ck_http::{admit, fence, not_owner, partition_of, problem};
use ck_node::{FencingToken, Handle};
use ck_serve::{Announce, Application, ApplicationError, ServeArgs};
use clap::Parser;

#[derive(Default)]
struct Visits {
    node: OnceLock<Handle>,
    /// By the grant they were counted under, and by name.
    counts: Mutex<HashMap<FencingToken, HashMap<String, u64>>>,
}

impl Visits {
    fn count(&self, request: &Request<Incoming>) -> Result<u64, Box<Problem>> {
        let node = self.node.get().expect("requests come after the start");
        let name = &request.uri().path()["/visits/".len()..];
        let partition = partition_of(node, name)?;
        // Whoever asks the wrong node is told the right one.
        let own = admit(node, partition, fence(request.headers())?)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Still ours, now that the lock is held; nobody else counts until the proof is dropped.
        let refused = |refused| not_owner(node, &refused, None);
        let proof = own.check().map_err(refused)?;
        // Under an earlier grant: others may have counted since.
        counts.retain(|token, _| token.partition != partition || *token == proof.token());
        let visits = counts.entry(proof.token()).or_default();
        let count = visits.entry(name.to_owned()).or_default();
        *count += 1;
        Ok(*count)
    }
}

impl Routes for Visits {
    fn serves(&self, path: &str) -> bool {
        path.starts_with("/visits/")
    }
    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            match self.count(&request) {
                Ok(count) => Reply::new(format!("{count}\n").into_bytes().into()),
                Err(refused) => problem(&refused),
            }
        })
    }
}

impl Application for Visits {
    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        Box::pin(async { self.node.set(node).map_err(|_| "started twice".into()) })
    }
}

/// Counts visits, each name at one node at a time.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    serve: ServeArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = ck_serve::run(&args.serve, Announce::Text, Arc::new(Visits::default()));
    ck_serve::report(done, Announce::Text)
}
