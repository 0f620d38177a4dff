//! The service of the suite: does what a case asks for and lets it watch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::{Body, BoxFuture, PeerId, Reply, Request, Service, ServiceError};

use super::soon;

/// Answers with the payload.
pub(super) const ECHO: u16 = 1;
/// Waits for the gate, then answers with nothing.
pub(super) const WAIT: u16 = 2;
/// Refuses with code 409 and the payload as message.
pub(super) const REFUSE: u16 = 3;
/// Panics.
pub(super) const PANIC: u16 = 4;
/// Reads the body to its end and answers with its length, or with `cut off`.
pub(super) const UPLOAD: u16 = 5;
/// Takes one chunk of the body, waits for the gate, then goes on as [`UPLOAD`].
pub(super) const HOLD: u16 = 6;
/// Answers with a body of as many chunks as the payload says.
pub(super) const DOWNLOAD: u16 = 7;
/// Answers with a body that is cut off after one chunk.
pub(super) const CUT: u16 = 8;
/// Answers with a body of one chunk that then neither goes on nor ends.
pub(super) const STALL: u16 = 9;
/// Answers with as many bytes as the payload says.
pub(super) const INFLATE: u16 = 10;
/// Answers with who asks.
pub(super) const WHO: u16 = 11;

/// Counts what happens in the service.
#[derive(Debug)]
pub(super) struct Probe {
    /// Requests handed to it.
    pub(super) started: watch::Sender<u64>,
    /// Handlers that ended, dropped ones included.
    pub(super) ended: watch::Sender<u64>,
    /// Chunks of downloads handed over.
    pub(super) produced: watch::Sender<u64>,
    /// Downloads whose writer learnt that nobody reads.
    pub(super) stopped: watch::Sender<u64>,
    /// Uploads that were cut off.
    pub(super) cut_off: watch::Sender<u64>,
    /// Opens [`WAIT`] and [`HOLD`].
    pub(super) gate: watch::Sender<bool>,
}

impl Default for Probe {
    fn default() -> Self {
        let counter = || watch::Sender::new(0);
        Self {
            started: counter(),
            ended: counter(),
            produced: counter(),
            stopped: counter(),
            cut_off: counter(),
            gate: watch::Sender::new(false),
        }
    }
}

/// Waits until a counter has reached `at_least`.
pub(super) async fn reaches(what: &str, counter: &watch::Sender<u64>, at_least: u64) {
    let mut counter = counter.subscribe();
    let reached = soon(what, counter.wait_for(|count| *count >= at_least)).await;
    drop(reached.expect("the probe outlives the case"));
}

/// Watches for a while that a counter does not exceed `at_most`.
pub(super) async fn stays(
    what: &str,
    counter: &watch::Sender<u64>,
    at_most: u64,
    watched: Duration,
) {
    let mut counter = counter.subscribe();
    let exceeded = tokio::time::timeout(watched, counter.wait_for(|count| *count > at_most)).await;
    assert!(exceeded.is_err(), "{what}: more than {at_most}");
}

/// The `n`-th chunk of a test body: its number, then filling that differs from its neighbours.
pub(super) fn chunk(n: u64, length: usize) -> Bytes {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(length.max(8), n.to_le_bytes()[0]);
    bytes.into()
}

/// A body of `count` chunks of `length` bytes, counted in `produced`.
pub(super) fn stream(
    count: u64,
    length: usize,
    produced: watch::Sender<u64>,
    stopped: watch::Sender<u64>,
) -> Body {
    let (mut writer, body) = Body::channel(1);
    tokio::spawn(async move {
        for n in 0..count {
            if writer.send(chunk(n, length)).await.is_err() {
                stopped.send_modify(|count| *count += 1);
                return;
            }
            produced.send_modify(|count| *count += 1);
        }
        // A reader that has gone needs no end.
        let _ = writer.finish().await;
    });
    body
}

/// A payload that is a number.
pub(super) fn number(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_le_bytes())
}

/// The number that is a payload.
pub(super) fn to_number(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("eight bytes"))
}

impl Service for Probe {
    fn handle(
        &self,
        from: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ServiceError>> {
        self.started.send_modify(|count| *count += 1);
        let ended = Ended(self.ended.clone());
        let (produced, stopped) = (self.produced.clone(), self.stopped.clone());
        let cut_off = self.cut_off.clone();
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            let _ended = ended;
            let Request {
                kind,
                payload,
                body,
            } = request;
            let body = body.unwrap_or_else(|| Body::from_bytes(Bytes::new()));
            match kind {
                ECHO => Ok(Reply::new(payload)),
                WHO => Ok(Reply::new(from.to_string().into_bytes())),
                INFLATE => {
                    let length = usize::try_from(to_number(&payload)).expect("a test's length");
                    Ok(Reply::new(vec![7; length]))
                }
                WAIT => {
                    open(&mut gate).await;
                    Ok(Reply::new(Bytes::new()))
                }
                REFUSE => Err(ServiceError::new(409, String::from_utf8_lossy(&payload))),
                PANIC => panic!("asked to"),
                UPLOAD => Ok(length_of(body, &cut_off).await),
                HOLD => {
                    let mut body = body;
                    let first = body.next_chunk().await;
                    assert!(matches!(first, Some(Ok(_))), "no first chunk: {first:?}");
                    open(&mut gate).await;
                    Ok(length_of(body, &cut_off).await)
                }
                DOWNLOAD => {
                    let count = to_number(&payload);
                    let body = stream(count, crate::CHUNK_BYTES_MAX, produced, stopped);
                    Ok(Reply::new(Bytes::new()).with_body(body))
                }
                CUT | STALL => {
                    let (mut writer, body) = Body::channel(1);
                    tokio::spawn(async move {
                        writer
                            .send(chunk(0, 100))
                            .await
                            .expect("there is room for one");
                        if kind == STALL {
                            writer.closed().await;
                            stopped.send_modify(|count| *count += 1);
                        }
                    });
                    Ok(Reply::new(Bytes::new()).with_body(body))
                }
                _ => Err(ServiceError::new(
                    404,
                    format_args!("no request of kind {kind}"),
                )),
            }
        })
    }
}

async fn open(gate: &mut watch::Receiver<bool>) {
    drop(
        gate.wait_for(|open| *open)
            .await
            .expect("the probe outlives its handlers"),
    );
}

async fn length_of(mut body: Body, cut_off: &watch::Sender<u64>) -> Reply {
    let mut length = 0;
    while let Some(chunk) = body.next_chunk().await {
        let Ok(chunk) = chunk else {
            cut_off.send_modify(|count| *count += 1);
            return Reply::new("cut off");
        };
        length += chunk.len() as u64;
    }
    Reply::new(number(length))
}

struct Ended(watch::Sender<u64>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// So that a case can share a probe's counter with a body of its own.
pub(super) fn counter() -> Arc<watch::Sender<u64>> {
    Arc::new(watch::Sender::new(0))
}
