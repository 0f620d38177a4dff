//! The service's routes, beside those of its node.

mod ask;
mod forward;
pub(crate) mod problems;

use std::sync::Arc;

use ck_http::{
    Bytes, HeaderMap, Incoming, Method, Problem, Reply, Request, Routes, StatusCode, calling_node,
    fence, header, json_reply, problem,
};
use ck_node::{BoxFuture, FencingToken, Handle, PartitionId};

use crate::error::KvError;
use crate::kv::{Core, Kv};
use crate::ops::{Condition, Consistency};
use crate::peer::{FRAME_BYTES_MAX, PEER_PATH};
use crate::record::{Effect, VALUE_BYTES_MAX};
use crate::stamp::Stamp;
use crate::wire::{Chunk, Message as _, Recent};

/// Below it, one path a key.
const KEY_PATH: &str = "/kv/";

/// Below it, one path a partition.
const DIGEST_PATH: &str = "/digest/";

/// Memory for an answer that hands records out: a value of the largest, and some.
const ANSWER_BYTES: usize = 10 << 20;

/// What a request came to: an answer, or the problem to answer with.
type Answer = Result<Reply, Box<Problem>>;

/// A request of a key, read.
struct Ask {
    core: Arc<Core>,
    node: Handle,
    partition: PartitionId,
    key: Bytes,
    headers: HeaderMap,
    /// The path with its query, as it came.
    target: String,
    fence: Option<FencingToken>,
    hops: u32,
    what: What,
}

/// What is asked of a key.
#[derive(Debug, Clone)]
enum What {
    Read(Consistency),
    Write(Effect, Condition),
}

impl Routes for Kv {
    fn is_between_nodes(&self, path: &str) -> bool {
        path.starts_with(PEER_PATH)
    }

    fn serves(&self, path: &str) -> bool {
        [KEY_PATH, DIGEST_PATH, PEER_PATH]
            .iter()
            .any(|start| path.starts_with(start))
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let path = request.uri().path();
            let answer = if path.starts_with(KEY_PATH) {
                self.key(request).await
            } else if path.starts_with(DIGEST_PATH) {
                self.digest(&request).await
            } else {
                self.peer(request).await
            };
            answer.unwrap_or_else(|refused| problem(&refused))
        })
    }
}

impl Kv {
    /// A request of one key.
    async fn key(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let node = self.core.node().ok_or_else(problems::not_started)?;
        let path = &head.uri.path()[KEY_PATH.len()..];
        let key = ask::key(path)?;
        let partition = ask::partition(node, &key)?;
        let fence = fence(&head.headers)?;
        // Given back with the answer: values in flight are bounded by memory, not by connections.
        let mut taken = None;
        let what = match head.method {
            Method::GET => What::Read(ask::consistency(head.uri.query())?),
            Method::PUT => {
                let all = &self.core.bodies;
                let body = all.read(&head.headers, body, VALUE_BYTES_MAX, 0).await?;
                let value = taken.insert(body).bytes.clone();
                What::Write(Effect::Put(value), ask::condition(&head.headers)?)
            }
            Method::DELETE => What::Write(Effect::Delete, ask::condition(&head.headers)?),
            _ => return Ok(problems::other_methods(&head.method, "GET, PUT, DELETE")),
        };
        let ask = Ask {
            core: Arc::clone(&self.core),
            node: node.clone(),
            partition,
            key,
            hops: ck_serve::hops(&head.headers)?,
            target: head
                .uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            headers: head.headers,
            fence,
            what,
        };
        let answer = ask.answer().await;
        drop(taken);
        answer
    }

    async fn digest(&self, request: &Request<Incoming>) -> Answer {
        if request.method() != Method::GET {
            return Ok(problems::other_methods(request.method(), "GET"));
        }
        let node = self.core.node().ok_or_else(problems::not_started)?;
        let text = &request.uri().path()[DIGEST_PATH.len()..];
        let partition = ask::partition_id(node, text)?;
        let figures = self.core.figures(partition).await;
        let figures = figures.map_err(|error| problems::of(node, &error, None))?;
        Ok(json_reply(
            StatusCode::OK,
            &ask::Digest {
                partition: partition.to_string(),
                epoch: figures.position.grant.epoch,
                seq: figures.position.seq,
                keys: figures.keys,
                bytes: figures.bytes,
                digest: format!("{:032x}", figures.digest),
            },
        ))
    }

    /// A question of another node.
    async fn peer(&self, request: Request<Incoming>) -> Answer {
        if request.method() != Method::POST {
            return Ok(problems::other_methods(request.method(), "POST"));
        }
        let path = request.uri().path()[PEER_PATH.len()..].to_owned();
        let (head, body) = request.into_parts();
        // Answers that hand records out are larger than their questions.
        let least = match &*path {
            Chunk::PATH | Recent::PATH => ANSWER_BYTES,
            _ => 1,
        };
        let all = &self.core.peer_bodies;
        let taken = all
            .read(&head.headers, body, FRAME_BYTES_MAX, least)
            .await?;
        let caller = calling_node(&head.extensions);
        let frame = taken.bytes.clone();
        match self.core.answer(&path, caller, frame).await {
            Ok(frame) => Ok(Reply::new(frame.into())),
            Err(error) => Err(problems::of_peer(&error)),
        }
    }
}

impl Ask {
    /// Answers here where this node is the primary, else there.
    async fn answer(self) -> Answer {
        if self.fence.is_some() {
            // A caller with a token knows whom it asks: it is told where it is wrong.
            ck_http::admit(&self.node, self.partition, self.fence)?;
            return self
                .here()
                .await
                .map_err(|error| problems::of(&self.node, &error, self.fence));
        }
        self.anywhere().await
    }

    /// Does what is asked, as the primary.
    async fn here(&self) -> Result<Reply, KvError> {
        match &self.what {
            What::Read(consistency) => {
                let (key, fence) = (&self.key, self.fence);
                let found = self.core.read(self.partition, key, *consistency, fence);
                Ok(match found.await? {
                    Some((stamp, value)) => tagged(Reply::new(value.into()), stamp),
                    None => problem(&problems::absent(self.partition)),
                })
            }
            What::Write(effect, condition) => {
                let (effect, condition) = (effect.clone(), condition.clone());
                let removes = effect == Effect::Delete;
                let key = self.key.clone();
                let write = self
                    .core
                    .write(self.partition, key, effect, condition, self.fence);
                let stamp = write.await?;
                let mut reply = Reply::default();
                *reply.status_mut() = StatusCode::NO_CONTENT;
                Ok(if removes { reply } else { tagged(reply, stamp) })
            }
        }
    }
}

fn tagged(mut reply: Reply, stamp: Stamp) -> Reply {
    let tag = header::HeaderValue::from_str(&stamp.etag());
    reply.headers_mut().insert(
        header::ETAG,
        tag.expect("digits, a dot and quotes are a tag"),
    );
    if reply.status() == StatusCode::OK {
        let octets = header::HeaderValue::from_static("application/octet-stream");
        reply.headers_mut().insert(header::CONTENT_TYPE, octets);
    }
    reply
}
