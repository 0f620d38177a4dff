//! Calls: answers, bounds, deadlines, refusals.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::{Address, Request, ServiceError, TransportError};

use super::probe::{ECHO, INFLATE, PANIC, REFUSE, WAIT, WHO, number, reaches};
use super::{Fixture, PATIENCE, Side, id, limits, pair, soon};

/// Payload, kind and both identities arrive as they were sent.
pub async fn a_call_reaches_the_service_and_its_answer_the_caller(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let (who, reply) = two.ask(&one, ECHO, "hello").await.expect("an answer");
    assert_eq!(who, id("node-2", 2));
    assert_eq!(reply, "hello");
    let (_, reply) = two.ask(&one, ECHO, "").await.expect("an answer to nothing");
    assert_eq!(reply, "");
    let (_, reply) = two.ask(&one, WHO, "").await.expect("an answer");
    assert_eq!(reply, id("node-1", 1).to_string());
}

/// As many calls as the limit allows are all in their handlers before the first one ends.
pub async fn calls_run_at_the_same_time(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let many = limits().calls_per_connection_max;
    let calls = join_all((0..many).map(|_| two.ask(&one, WAIT, "")));
    let opened = async {
        reaches("all handlers", &two.probe.started, many as u64).await;
        two.probe.gate.send_replace(true);
    };
    let (answers, ()) = soon("the answers", async { tokio::join!(calls, opened) }).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// The largest payload allowed is no special case.
pub async fn a_payload_of_the_limit_passes_both_ways(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let payload: Bytes = (0..limits().payload_bytes_max)
        .map(|n| (n % 251) as u8)
        .collect();
    let (_, reply) = two
        .ask(&one, ECHO, payload.clone())
        .await
        .expect("an answer");
    assert!(
        reply == payload,
        "{} bytes came back of {}",
        reply.len(),
        payload.len()
    );
}

/// One byte more is refused before it is sent, and the service never sees it.
pub async fn a_payload_over_the_limit_is_refused_unrun(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let limit = limits().payload_bytes_max;
    let refused = two.ask(&one, ECHO, vec![0; limit + 1]).await;
    let (got, limit) = (limit as u64 + 1, limit as u64);
    assert!(
        matches!(&refused, Err(TransportError::FrameTooLarge { got: g, limit: l }) if (*g, *l) == (got, limit)),
        "{refused:?}"
    );
    assert_eq!(*two.probe.started.borrow(), 0);
}

/// So is an answer, and the connection goes on.
pub async fn a_reply_over_the_limit_is_refused(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let got = limits().payload_bytes_max as u64 + 1;
    let refused = two.ask(&one, INFLATE, number(got)).await;
    assert!(
        matches!(&refused, Err(TransportError::FrameTooLarge { got: g, .. }) if *g == got),
        "{refused:?}"
    );
    two.ask(&one, ECHO, "still here")
        .await
        .expect("the next call is answered");
}

/// The caller hears in time, and the handler does not run on.
pub async fn a_deadline_ends_the_call_and_drops_the_handler(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let after = Duration::from_millis(150);
    let to = Address::anyone(&two.address);
    let call = one.transport.call(&to, Request::new(WAIT, ""), after);
    let ended = soon("the deadline", call).await.map(|_| ());
    assert!(
        matches!(&ended, Err(TransportError::Timeout { address, after: a }) if *address == two.address && *a == after),
        "{ended:?}"
    );
    reaches("the handler's end", &two.probe.ended, 1).await;
    two.ask(&one, ECHO, "still here")
        .await
        .expect("the next call is answered");
}

/// Dropped calls leave no trace, over many times the limit.
pub async fn a_dropped_call_drops_the_handler_and_frees_its_slot(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let to = Address::anyone(&two.address);
    for n in 1..=3 * limits().calls_per_connection_max as u64 {
        let mut call = one.transport.call(&to, Request::new(WAIT, ""), PATIENCE);
        let ended = tokio::select! {
            biased;
            ended = &mut call => Some(ended),
            () = reaches("the handler", &two.probe.started, n) => None,
        };
        assert!(ended.is_none(), "{ended:?}");
        drop(call);
        reaches("the handler's end", &two.probe.ended, n).await;
    }
    two.ask(&one, ECHO, "still here")
        .await
        .expect("the next call is answered");
}

/// The limit is an answer, not a queue; what was under way is not disturbed.
pub async fn calls_over_the_limit_are_refused_at_once(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let many = limits().calls_per_connection_max;
    let calls = join_all((0..many).map(|_| two.ask(&one, WAIT, "")));
    let beyond = async {
        reaches("all handlers", &two.probe.started, many as u64).await;
        let refused = two.ask(&one, ECHO, "one more").await;
        two.probe.gate.send_replace(true);
        refused
    };
    let (answers, refused) = soon("the answers", async { tokio::join!(calls, beyond) }).await;
    assert!(
        matches!(&refused, Err(TransportError::Busy { limit }) if *limit == many as u64),
        "{refused:?}"
    );
    assert!(refused.is_err_and(|error| error.is_retryable()));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    two.ask(&one, ECHO, "room again")
        .await
        .expect("the next call is answered");
}

/// What the service says reaches the caller as it was said.
pub async fn a_refusal_carries_code_and_message(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let refused = two.ask(&one, REFUSE, "table 7 is older than 9").await;
    assert!(
        matches!(&refused, Err(TransportError::Refused { code: 409, message }) if message == "table 7 is older than 9"),
        "{refused:?}"
    );
    assert!(refused.is_err_and(|error| !error.is_retryable() && !error.is_fatal()));
}

/// A panic costs its own request and no other.
pub async fn a_panic_is_contained_and_reported(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let other = two.ask(&one, WAIT, "");
    let panicked = async {
        reaches("the other handler", &two.probe.started, 1).await;
        let refused = two.ask(&one, PANIC, "").await;
        two.probe.gate.send_replace(true);
        refused
    };
    let (other, refused) = soon("both answers", async { tokio::join!(other, panicked) }).await;
    assert!(
        matches!(
            &refused,
            Err(TransportError::Refused {
                code: ServiceError::PANICKED,
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(other.is_ok(), "{other:?}");
}

impl Side {
    /// One call from `caller` to this side.
    pub(super) async fn ask(
        &self,
        caller: &Self,
        kind: u16,
        payload: impl Into<Bytes>,
    ) -> Result<(crate::PeerId, Bytes), TransportError> {
        let to = Address::anyone(&self.address);
        let request = Request::new(kind, payload);
        let transport = Arc::clone(&caller.transport);
        let (who, reply) = soon("a call", transport.call(&to, request, PATIENCE)).await?;
        Ok((who, reply.payload))
    }
}
