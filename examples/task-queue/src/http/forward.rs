//! Doing what is asked of one partition: here where this node is the primary, else there.

use std::sync::Arc;

use ck_http::{Bytes, Code, HeaderMap, Method, Problem, Reply, Request, Response, header};
use ck_node::{FencingToken, Handle, PartitionId};
use ck_serve::{Errand, Errands, Missed, passed_on};

use super::{Answer, problems, query};
use crate::error::QueueError;
use crate::http::act::Act;
use crate::service::Core;

/// The partition a node in between has chosen for a task without a key.
pub(super) const CHOSEN: header::HeaderName = header::HeaderName::from_static("ck-queue-partition");

/// Header of an enqueue that may be repeated.
pub(super) const IDEMPOTENCY: header::HeaderName =
    header::HeaderName::from_static("idempotency-key");

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In one partition.
    At(PartitionId),
    /// In any: whichever is served.
    Anywhere,
}

/// A request of one partition.
pub(super) struct Job {
    pub(super) core: Arc<Core>,
    pub(super) node: Handle,
    pub(super) place: Place,
    pub(super) act: Act,
    pub(super) method: Method,
    /// The path with its query, as it came.
    pub(super) target: String,
    pub(super) fence: Option<FencingToken>,
    pub(super) hops: u32,
}

/// The partition that a node in between has chosen.
pub(super) fn chosen(headers: &HeaderMap) -> Result<Option<u32>, Box<Problem>> {
    let Some(value) = headers.get(&CHOSEN) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let detail = "the header is for nodes among themselves; leave it out";
        query::refused(CHOSEN.as_str(), &text, detail)
    })
}

impl Job {
    /// Answers here or at the primary, wherever that is by now.
    pub(super) async fn answer(self) -> Answer {
        if self.fence.is_some() {
            // A caller with a token knows whom it asks: it is told where it is wrong.
            let partition = self.partition()?;
            ck_http::admit(&self.node, partition, self.fence)?;
            let done = self.act.perform(&self.core, partition).await;
            return done.map_err(|error| problems::of(&self.node, &error, self.fence));
        }
        let errands = Errands::new(&self.node, &self.core.courier, self.hops);
        errands.run(&self).await
    }
}

impl Errand for Job {
    type Done = Reply;

    /// Another one at each try where any will do.
    fn partition(&self) -> Result<PartitionId, Box<Problem>> {
        match (self.place, self.fence) {
            (Place::At(partition), _) => Ok(partition),
            (Place::Anywhere, Some(fence)) => Ok(fence.partition),
            (Place::Anywhere, None) => {
                let partitions = self.core.partitions();
                let turn = self.core.turns.enqueue.next()
                    % usize::try_from(partitions).unwrap_or(1).max(1);
                let chosen = u32::try_from(turn).ok().filter(|_| partitions > 0);
                chosen
                    .map(PartitionId)
                    .ok_or_else(|| problems::no_partitions(&self.node))
            }
        }
    }

    async fn here(&self, partition: PartitionId) -> Result<Reply, Missed> {
        let done = self.act.perform(&self.core, partition).await;
        done.map_err(|error| match &error {
            QueueError::NotOwner(refused) => Missed::not_owner(&self.node, refused),
            _ => Missed::at_last(problems::of(&self.node, &error, None)),
        })
    }

    fn request(&self, partition: PartitionId) -> Result<Request<Bytes>, Box<Problem>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.target);
        let mut body = Bytes::new();
        if let Act::Enqueue(new) = &self.act {
            body = new.payload.clone();
            request = request.header(CHOSEN, partition.0);
            if let Some(key) = &new.idempotency {
                request = request.header(IDEMPOTENCY, &key[..]);
            }
        }
        request.body(body).map_err(|_| {
            let detail = "the target cannot be passed on; percent-encode it";
            Box::new(Problem::new(Code::BadRequest, detail))
        })
    }

    fn answered(&self, answer: Response<Bytes>) -> Result<Reply, Missed> {
        Missed::of_answer(&answer).map_or_else(|| Ok(passed_on(answer)), Err)
    }

    /// An enqueue with an idempotency key could be repeated here as well; who gave it decides.
    fn is_safe(&self) -> bool {
        matches!(self.act, Act::Look(_))
    }
}
