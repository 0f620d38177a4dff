//! One request and its answer, from peer to peer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::pieces;
use crate::limits::{BODY_WINDOW, Held, Limits};
use crate::serve::{self, AbortOnDrop};
use crate::{Address, Body, BodyWriter, PeerId, Reply, Request, ServiceError, TransportError};

use super::{Endpoint, MemoryNetwork};

/// Asks; never returns when something was lost or cut, so the caller brings the deadline.
pub(super) async fn run(
    network: &Arc<MemoryNetwork>,
    caller: &Arc<Endpoint>,
    to: &Address,
    request: Request,
    deadline: Duration,
) -> Result<(PeerId, Reply), TransportError> {
    let expires = Instant::now() + deadline;
    let slot = network
        .with_link(&caller.address, &to.peer, |link, _| Arc::clone(&link.calls))
        .try_acquire_owned()
        .map_err(|_| busy(network.limits.calls_per_connection_max))?;
    let fate = network.carry(&caller.address, &to.peer).await;
    let Some(answerer) = network.peer(&to.peer) else {
        let source = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        return Err(TransportError::Unreachable {
            address: to.peer.clone(),
            source,
        });
    };
    let (from, there) = (caller.me.read().clone(), answerer.me.read().clone());
    if let Err(refused) = from.check_cluster(&to.peer, &there) {
        answerer.service.stranger(&from, to.expected);
        return Err(refused);
    }
    to.check(&there)?;

    if fate.duplicated && request.body.is_none() {
        let again = Request::new(request.kind, request.payload.clone());
        let work = Work::new(&answerer, from.clone(), again, expires, &network.limits)?;
        // Nobody waits for the second one; it ends with its deadline at the latest.
        tokio::spawn(work.run());
    }
    let Request {
        kind,
        payload,
        body,
    } = request;
    let (body, _sending) = match body {
        Some(body) => {
            let (body, pump) = relay(network, caller, &answerer, body, None);
            (Some(body), Some(AbortOnDrop(pump)))
        }
        None => (None, None),
    };
    let request = Request {
        kind,
        payload,
        body,
    };
    let work = Work::new(&answerer, from, request, expires, &network.limits)?;
    let mut running = AbortOnDrop(tokio::spawn(work.run()));
    let reply = match (&mut running.0).await {
        Ok(outcome) => outcome?,
        // The runtime is going down, or the handler was dropped with it.
        Err(_) => return Err(TransportError::Closed),
    };
    network.limits.check_payload(reply.payload.len() as u64)?;

    network.carry(&answerer.address, &caller.address).await;
    if let Some(reason) = answerer.closing.reason() {
        return Err(reason);
    }
    let who = answerer.me.read().clone();
    caller.me.read().check_cluster(&to.peer, &who)?;
    to.check(&who)?;
    let body = reply
        .body
        .map(|body| relay(network, &answerer, caller, body, Some(slot)).0);
    Ok((
        who,
        Reply {
            payload: reply.payload,
            body,
        },
    ))
}

/// A request that was admitted at the peer that answers.
struct Work {
    answerer: Arc<Endpoint>,
    from: PeerId,
    request: Request,
    expires: Instant,
    _permit: OwnedSemaphorePermit,
    _held: Held,
}

impl Work {
    fn new(
        answerer: &Arc<Endpoint>,
        from: PeerId,
        request: Request,
        expires: Instant,
        limits: &Limits,
    ) -> Result<Self, TransportError> {
        let permit = Arc::clone(&answerer.running)
            .try_acquire_owned()
            .map_err(|_| busy(limits.requests_max))?;
        let mut held = answerer.buffered.open();
        held.take(request.payload.len())?;
        let answerer = Arc::clone(answerer);
        Ok(Self {
            answerer,
            from,
            request,
            expires,
            _permit: permit,
            _held: held,
        })
    }

    async fn run(self) -> Result<Reply, TransportError> {
        let Self {
            answerer,
            from,
            request,
            expires,
            _permit,
            _held,
        } = self;
        let begun = Instant::now();
        let handled = serve::handle(&*answerer.service, from, request);
        tokio::select! {
            biased;
            reason = answerer.closing.closed() => Err(reason),
            outcome = timeout_at(expires, handled) => match outcome {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(ServiceError { code, message })) => {
                    Err(TransportError::Refused { code, message })
                }
                Err(_) => {
                    let (address, after) = (answerer.address.clone(), begun.elapsed());
                    Err(TransportError::Timeout { address, after })
                }
            },
        }
    }
}

/// Passes a body on, chunk by chunk; `slot` is held until it has ended or its reader has gone.
fn relay(
    network: &Arc<MemoryNetwork>,
    from: &Arc<Endpoint>,
    to: &Arc<Endpoint>,
    body: Body,
    slot: Option<OwnedSemaphorePermit>,
) -> (Body, tokio::task::JoinHandle<()>) {
    let (writer, copy) = Body::channel(BODY_WINDOW);
    let (network, from, to) = (Arc::clone(network), Arc::clone(from), Arc::clone(to));
    let pump = tokio::spawn(async move {
        let _slot = slot;
        tokio::select! {
            _ = from.closing.closed() => {}
            _ = to.closing.closed() => {}
            () = pass(&network, &from, &to, body, writer) => {}
        }
    });
    (copy, pump)
}

async fn pass(
    network: &MemoryNetwork,
    from: &Endpoint,
    to: &Endpoint,
    mut body: Body,
    mut writer: BodyWriter,
) {
    let stall = network.limits.body_stall_max;
    let stalled = || TransportError::Timeout {
        address: from.address.clone(),
        after: stall,
    };
    loop {
        let chunk = tokio::select! {
            chunk = timeout(stall, body.next_chunk()) => chunk,
            () = writer.closed() => return,
        };
        let passable = timeout(stall, network.passable(&from.address, &to.address))
            .await
            .is_ok();
        let chunk = match chunk {
            Ok(Some(Ok(chunk))) if passable => chunk,
            Ok(None) if passable => {
                // A reader that has gone needs no end.
                let _ = timeout(stall, writer.finish()).await;
                return;
            }
            Ok(Some(Err(_))) if passable => {
                let _ = timeout(stall, writer.fail(TransportError::Closed)).await;
                return;
            }
            _ => {
                let _ = timeout(stall, writer.fail(stalled())).await;
                return;
            }
        };
        let delay = network.fate(&from.address, &to.address).delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        for piece in pieces(chunk) {
            // A reader that takes nothing for so long loses the rest.
            if !matches!(timeout(stall, writer.send(piece)).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

fn busy(limit: usize) -> TransportError {
    TransportError::Busy {
        limit: limit as u64,
    }
}
