//! The file and the disk below it.

use super::*;

#[tokio::test]
async fn a_node_that_lost_its_store_does_not_start_with_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    std::fs::write(directory.path().join(NODE_FILE), b"").unwrap();
    drop(open(directory.path()));
    std::fs::remove_file(directory.path().join(FILE)).unwrap();
    let refused = Store::open(directory.path(), 0, None, Arc::new(|_: &str| {})).unwrap_err();
    assert!(matches!(refused, StoreError::Missing { .. }), "{refused}");
    // Nor with one that was cut to nothing.
    std::fs::write(directory.path().join(FILE), b"").unwrap();
    let refused = Store::open(directory.path(), 0, None, Arc::new(|_: &str| {})).unwrap_err();
    assert!(matches!(refused, StoreError::Missing { .. }), "{refused}");
}

#[test]
fn a_thread_that_panics_ends_the_process_like_a_failed_write() {
    let told = Arc::new(Mutex::new(String::new()));
    let on_fatal: OnFatal = {
        let told = Arc::clone(&told);
        Arc::new(move |what: &str| what.clone_into(&mut told.lock()))
    };
    writer::guarded(Path::new("kv"), &on_fatal, || {});
    assert_eq!(*told.lock(), "");
    writer::guarded(Path::new("kv"), &on_fatal, || {
        panic!("a row that cannot be")
    });
    assert_eq!(*told.lock(), "kv: the thread that writes panicked");
}

#[tokio::test]
async fn room_that_was_made_is_noticed_without_a_write() {
    let directory = tempfile::tempdir().unwrap();
    let free = nix::sys::statvfs::statvfs(directory.path()).unwrap();
    let free = free.blocks_available() * free.fragment_size();
    let space = Space::new(directory.path().to_owned(), u64::MAX);
    assert!(space.is_low());
    let roomy = space.with_reserve(free / 2);
    assert!(!roomy.is_low(), "nothing was written since");
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_no_records_and_still_fences() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), u64::MAX, None, Arc::new(|_: &str| {})).unwrap();
    let refused = receive(&store, 1, Stamp::ZERO, vec![put(1, 1, "a", "1")]).await;
    assert_eq!(refused, Err(Refused::Full));
    assert_eq!(fence(&store, 2).await, Ok(Stamp::ZERO));
    assert!(store.space().is_low());
}

/// A room that is not there yet is waited for.
async fn has_room(store: &Store, bytes: usize) -> bool {
    let within = std::time::Duration::from_millis(50);
    tokio::time::timeout(within, store.room(bytes))
        .await
        .is_ok()
}

#[tokio::test]
async fn jobs_that_wait_are_bounded_by_their_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let all = QUEUE_UNITS * UNIT;
    let most = store.room(all - UNIT).await.unwrap();
    assert!(has_room(&store, 1).await);
    assert!(!has_room(&store, UNIT + 1).await, "more than is left");
    drop(most);
    // One that is larger than all of it has it alone.
    let alone = store.room(2 * all).await.unwrap();
    assert!(!has_room(&store, 1).await);
    drop(alone);
    // What a job took is given back once it was answered, not when it was handed over.
    let large = "v".repeat(8 << 20);
    for seq in 1..=12 {
        let after = if seq == 1 {
            Stamp::ZERO
        } else {
            stamp(1, seq - 1)
        };
        let taken = receive(&store, 1, after, vec![put(1, seq, "a", &large)]).await;
        assert_eq!(taken, Ok(stamp(1, seq)));
    }
    assert!(has_room(&store, all).await);
}
