//! The replicated state, whole, to be kept.

use std::sync::Arc;

use ck_api::Code;
use ck_node::{Backup, BackupError};
use hyper::StatusCode;
use hyper::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};

use crate::handlers::formed;
use crate::handlers::operate::no_fields;
use crate::reply::{CK_VERSION_NAME, Refused, plain};
use crate::route::{Answer, Order};
use crate::surface::Core;
use crate::time;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(super) async fn take(core: Arc<Core>, order: Order) -> Answer {
    no_fields(&order)?;
    let view = formed(&core)?;
    let version = view.version();
    let node = core.backend.status().node;
    // A large one takes a while, which the other requests shall not wait for.
    let taken =
        tokio::task::spawn_blocking(move || Backup::encode(view.state(), node, time::now_ms()));
    let broken = |reason: String| {
        let detail = format!("the backup could not be made: {reason}; report this");
        Refused::new(Code::Internal, detail)
    };
    let taken = taken.await.map_err(|error| broken(error.to_string()))?;
    let bytes = taken.map_err(|error: BackupError| broken(error.to_string()))?;
    let mut reply = plain(StatusCode::OK, OCTETS, bytes.into());
    let headers = reply.headers_mut();
    headers.insert(CK_VERSION_NAME, version);
    // Bytes of applications share an origin with our pages: never let them be taken for one.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(reply)
}
