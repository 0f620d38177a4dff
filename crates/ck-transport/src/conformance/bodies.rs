//! Bodies: streams both ways, back-pressure, and their early ends.

use bytes::Bytes;

use crate::{Address, BODY_WINDOW, Body, CHUNK_BYTES_MAX, Reply, Request, TransportError};

use super::probe::{
    CUT, DOWNLOAD, ECHO, HOLD, STALL, UPLOAD, chunk, counter, number, reaches, stays, stream,
    to_number,
};
use super::{Fixture, PATIENCE, Side, WATCH, limits, pair, soon};

/// Chunks a writer may be ahead of a reader that takes none: the window, and what the channels and
/// tasks on the way hold.
const AHEAD: u64 = 3 * BODY_WINDOW as u64;

/// A body larger than any payload, in chunks that do not match the frames.
pub async fn an_upload_arrives_whole_and_in_order(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let (count, length) = (40, 100_001);
    let body = stream(count, length, (*counter()).clone(), (*counter()).clone());
    let reply = upload(&one, &two, UPLOAD, body).await.expect("an answer");
    assert_eq!(to_number(&reply.payload), count * length as u64);
    let whole: Bytes = vec![3; 5 * CHUNK_BYTES_MAX + 1].into();
    let reply = upload(&one, &two, UPLOAD, Body::from_bytes(whole.clone()))
        .await
        .expect("one");
    assert_eq!(to_number(&reply.payload), whole.len() as u64);
    let reply = upload(&one, &two, UPLOAD, Body::from_bytes(""))
        .await
        .expect("an answer");
    assert_eq!(to_number(&reply.payload), 0);
}

/// The same in the other direction, chunk by chunk.
pub async fn a_download_arrives_whole_and_in_order(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let count = 40;
    let mut body = download(&one, &two, DOWNLOAD, count).await;
    for n in 0..count {
        let got = soon("a chunk", body.next_chunk())
            .await
            .expect("not the end")
            .expect("a chunk");
        assert!(got == chunk(n, CHUNK_BYTES_MAX), "chunk {n} differs");
    }
    assert!(soon("the end", body.next_chunk()).await.is_none());
    assert!(soon("the end again", body.next_chunk()).await.is_none());
}

/// Back-pressure reaches the writer; other calls on the same connection go on.
pub async fn a_slow_reader_of_a_download_holds_its_writer_and_nobody_else(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let mut body = download(&one, &two, DOWNLOAD, 1000).await;
    let first = soon("a chunk", body.next_chunk()).await;
    assert!(matches!(first, Some(Ok(_))), "{first:?}");
    stays(
        "chunks ahead of the reader",
        &two.probe.produced,
        1 + AHEAD,
        WATCH,
    )
    .await;
    two.ask(&one, ECHO, "beside it")
        .await
        .expect("other calls go on");
    let large = vec![1; limits().payload_bytes_max];
    two.ask(&one, ECHO, large).await.expect("large ones too");
    for _ in 0..2 * AHEAD {
        let next = soon("a chunk", body.next_chunk()).await;
        assert!(matches!(next, Some(Ok(_))), "{next:?}");
    }
}

/// The same for the body of a request.
pub async fn a_slow_reader_of_an_upload_holds_its_writer_and_nobody_else(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let produced = counter();
    let count = 100;
    let body = stream(
        count,
        CHUNK_BYTES_MAX,
        (*produced).clone(),
        (*counter()).clone(),
    );
    let beside = async {
        reaches("the handler", &two.probe.started, 1).await;
        stays("chunks ahead of the reader", &produced, 1 + AHEAD, WATCH).await;
        two.ask(&one, ECHO, "beside it")
            .await
            .expect("other calls go on");
        two.probe.gate.send_replace(true);
    };
    let (reply, ()) = tokio::join!(upload(&one, &two, HOLD, body), beside);
    let left = (count - 1) * CHUNK_BYTES_MAX as u64;
    assert_eq!(to_number(&reply.expect("an answer").payload), left);
}

/// A reader that goes away stops the writer at the other end, and frees the call.
pub async fn a_dropped_download_stops_its_writer_and_frees_its_slot(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    for n in 1..=2 * limits().calls_per_connection_max as u64 {
        let mut body = download(&one, &two, DOWNLOAD, 1000).await;
        let first = soon("a chunk", body.next_chunk()).await;
        assert!(matches!(first, Some(Ok(_))), "{first:?}");
        drop(body);
        reaches("the writer's end", &two.probe.stopped, n).await;
    }
    two.ask(&one, ECHO, "still here")
        .await
        .expect("the next call is answered");
}

/// That nobody reads is told even while there is nothing to read.
pub async fn a_download_dropped_in_silence_stops_its_writer_at_once(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let mut body = download(&one, &two, STALL, 0).await;
    let first = soon("a chunk", body.next_chunk()).await;
    assert!(matches!(first, Some(Ok(_))), "{first:?}");
    drop(body);
    let stopped = reaches("the writer's end", &two.probe.stopped, 1);
    let before = limits().body_stall_max / 2;
    tokio::time::timeout(before, stopped)
        .await
        .expect("before the body counts as stalled");
}

/// A caller that goes away ends both the handler and its own writer.
pub async fn a_dropped_upload_call_cuts_the_body_off(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let stopped = counter();
    let body = stream(
        1000,
        CHUNK_BYTES_MAX,
        (*counter()).clone(),
        (*stopped).clone(),
    );
    let call = upload(&one, &two, HOLD, body);
    tokio::select! {
        biased;
        ended = call => panic!("ended by itself: {ended:?}"),
        () = reaches("the handler", &two.probe.started, 1) => {}
    }
    reaches("the handler's end", &two.probe.ended, 1).await;
    reaches("the writer's end", &stopped, 1).await;
    two.ask(&one, ECHO, "still here")
        .await
        .expect("the next call is answered");
}

/// A writer that goes away early is an error to the reader, in both directions.
pub async fn a_body_cut_off_is_never_taken_for_complete(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let mut body = download(&one, &two, CUT, 0).await;
    let first = soon("a chunk", body.next_chunk()).await;
    assert!(matches!(first, Some(Ok(_))), "{first:?}");
    let last = soon("the cut", body.next_chunk()).await;
    assert!(
        matches!(last, Some(Err(TransportError::Closed))),
        "{last:?}"
    );
    assert!(body.next_chunk().await.is_none());

    let (mut writer, body) = Body::channel(1);
    let cut = async {
        writer
            .send("a beginning".into())
            .await
            .expect("there is room");
        drop(writer);
    };
    let (reply, ()) = tokio::join!(upload(&one, &two, UPLOAD, body), cut);
    assert_eq!(reply.expect("an answer").payload, "cut off");
}

/// A writer that neither goes on nor ends does not hold its reader for ever.
pub async fn a_stalled_body_is_given_up(fixture: &dyn Fixture) {
    let (one, two) = pair(fixture).await;
    let mut body = download(&one, &two, STALL, 0).await;
    let first = soon("a chunk", body.next_chunk()).await;
    assert!(matches!(first, Some(Ok(_))), "{first:?}");
    let last = soon("giving up", body.next_chunk()).await;
    assert!(
        matches!(
            last,
            Some(Err(TransportError::Timeout { .. } | TransportError::Closed))
        ),
        "{last:?}"
    );
    reaches("the writer's end", &two.probe.stopped, 1).await;
    two.ask(&one, ECHO, "still here")
        .await
        .expect("the next call is answered");
}

async fn upload(one: &Side, two: &Side, kind: u16, body: Body) -> Result<Reply, TransportError> {
    let to = Address::anyone(&two.address);
    let request = Request::new(kind, "").with_body(body);
    soon("an upload", one.transport.call(&to, request, PATIENCE))
        .await
        .map(|(_, reply)| reply)
}

async fn download(one: &Side, two: &Side, kind: u16, count: u64) -> Body {
    let to = Address::anyone(&two.address);
    let request = Request::new(kind, number(count));
    let called = soon("a download", one.transport.call(&to, request, PATIENCE)).await;
    called.expect("an answer").1.body.expect("a body")
}
