//! The order in which frames are written, and when writing ends.

use bytes::Bytes;
use ck_core::NodeId;
use tokio::io::DuplexStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::ClusterId;
use crate::tcp::wire::FrameReader;

fn peer(cluster: Option<u128>) -> PeerId {
    PeerId {
        node: NodeId::new("node").unwrap(),
        member: None,
        store: 0,
        cluster: cluster.map(ClusterId),
        cluster_name: String::new(),
    }
}

struct Written {
    link: Arc<Link>,
    me: watch::Sender<PeerId>,
    reader: FrameReader<DuplexStream>,
    writing: JoinHandle<TransportError>,
}

/// Writes what `queue` puts there first, to a socket that takes a few bytes at a time.
async fn written(queue: impl AsyncFnOnce(&Arc<Link>)) -> Written {
    let (link, outbox) = Link::new("test".into(), peer(Some(1)), None);
    queue(&link).await;
    let (near, far) = tokio::io::duplex(1024);
    let (me, watched) = watch::channel(peer(None));
    let second = Duration::from_secs(1);
    let writing = tokio::spawn(outbox.write(near, watched, second / 4, second));
    let reader = FrameReader::new(far, "test".into());
    Written {
        link,
        me,
        reader,
        writing,
    }
}

async fn next(reader: &mut FrameReader<DuplexStream>) -> Frame {
    reader.next(Duration::from_secs(10)).await.unwrap()
}

fn chunk(id: u64) -> Frame {
    Frame::Chunk {
        id,
        data: Bytes::from_static(&[0; 1000]),
    }
}

#[test]
fn small_messages_without_a_body_are_urgent() {
    assert_eq!(Class::of(0, false), Class::Urgent);
    assert_eq!(Class::of(1000, false), Class::Urgent);
    assert_eq!(Class::of(0, true), Class::Bulk);
    assert_eq!(Class::of(CHUNK_BYTES_MAX, false), Class::Bulk);
}

#[tokio::test(start_paused = true)]
async fn small_frames_overtake_large_ones_without_starving_them() {
    let mut test = written(async |link| {
        for id in 1..=BULK_FRAMES_MAX as u64 {
            link.send(Class::Bulk, chunk(id), None).await.unwrap();
        }
        for id in 1..=URGENT_FRAMES_MAX as u64 {
            link.send(Class::Urgent, Frame::Stop { id }, None)
                .await
                .unwrap();
        }
    })
    .await;
    let mut order = Vec::new();
    for _ in 0..BULK_FRAMES_MAX + URGENT_FRAMES_MAX {
        order.push(matches!(next(&mut test.reader).await, Frame::Chunk { .. }));
    }
    // The frame that woke the writer up is not counted in its row.
    let row = URGENT_IN_A_ROW_MAX as usize;
    let first = order.iter().position(|large| *large).unwrap();
    assert!(
        (row..=row + 1).contains(&first),
        "the first large frame at {first}"
    );
    let last = order.iter().rposition(|large| *large).unwrap();
    assert!(
        last <= (row + 1) * BULK_FRAMES_MAX,
        "the last large frame at {last}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_identity_goes_before_what_was_queued() {
    let mut test = written(async |_| {}).await;
    assert_eq!(
        next(&mut test.reader).await,
        Frame::Ping,
        "nothing to say but that it lives"
    );
    test.me.send_replace(peer(Some(1)));
    test.link
        .send(Class::Urgent, Frame::Stop { id: 1 }, None)
        .await
        .unwrap();
    assert_eq!(next(&mut test.reader).await, Frame::Identify(peer(Some(1))));
    assert_eq!(next(&mut test.reader).await, Frame::Stop { id: 1 });
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_parts_is_told_and_ends_the_connection() {
    let mut test = written(async |_| {}).await;
    test.me.send_replace(peer(Some(2)));
    assert_eq!(next(&mut test.reader).await, Frame::Identify(peer(Some(2))));
    let reason = test.writing.await.unwrap();
    assert!(
        matches!(reason, TransportError::OtherCluster { .. }),
        "{reason:?}"
    );
    assert!(test.link.closing.reason().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_before_it_began_is_never_written() {
    let slots = Arc::new(Semaphore::new(2));
    let (begun, waiting) = (Arc::new(Progress::default()), Arc::new(Progress::default()));
    let mut test = written(async |link| {
        link.send(Class::Bulk, chunk(1), Some(&begun))
            .await
            .unwrap();
    })
    .await;
    assert_eq!(next(&mut test.reader).await, chunk(1));
    test.link
        .send(Class::Bulk, chunk(2), Some(&waiting))
        .await
        .unwrap();
    for (id, progress) in [(1, &begun), (2, &waiting)] {
        let slot = Arc::clone(&slots).try_acquire_owned().unwrap();
        test.link.cancel(id, Arc::clone(progress), slot);
    }
    test.link
        .send(Class::Bulk, Frame::Stop { id: 3 }, None)
        .await
        .unwrap();
    assert_eq!(next(&mut test.reader).await, Frame::Cancel { id: 1 });
    assert_eq!(next(&mut test.reader).await, Frame::Stop { id: 3 });
    assert!(begun.has_begun() && !waiting.has_begun());
    assert_eq!(slots.available_permits(), 2, "the slots are free");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_ends_the_connection() {
    let test = written(async |link| {
        link.send(Class::Bulk, chunk(1), None).await.unwrap();
        link.send(Class::Bulk, chunk(2), None).await.unwrap();
    })
    .await;
    let reason = test.writing.await.unwrap();
    assert!(
        matches!(reason, TransportError::Timeout { .. }),
        "{reason:?}"
    );
    drop(test.reader);
}

#[tokio::test]
async fn a_peer_that_lets_refusals_pile_up_is_not_waited_for() {
    let (link, _outbox) = Link::new("test".into(), peer(None), None);
    for id in 0..URGENT_FRAMES_MAX as u64 {
        link.send_now(Frame::Stop { id }).unwrap();
    }
    let full = link.send_now(Frame::Stop { id: 0 });
    assert!(matches!(full, Err(TransportError::Busy { .. })), "{full:?}");
}
