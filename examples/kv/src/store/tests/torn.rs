//! Files whose last pages reached the disk in part.

use super::*;

const PAGE: usize = 4_096;

/// Records written one by one, the last of which is torn.
const RECORDS: u64 = 6;

fn key(seq: u64) -> String {
    format!("key-{}", seq % 3)
}

/// Some pages long, and another one for each record.
fn long(seq: u64) -> String {
    format!("value {seq};").repeat(900)
}

/// The file before and after the last record, as a process that is killed leaves it.
async fn written() -> [Vec<u8>; 2] {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let file = directory.path().join(FILE);
    let (mut after, mut before) = (Stamp::ZERO, Vec::new());
    for seq in 1..=RECORDS {
        before = std::fs::read(&file).unwrap();
        let records = vec![put(1, seq, &key(seq), &long(seq))];
        after = receive(&store, 1, after, records).await.unwrap();
    }
    [before, std::fs::read(&file).unwrap()]
}

/// Pages that are not what they were; not that of the header, which says what counts.
fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    let pages = after.chunks(PAGE).enumerate().skip(1);
    let differs =
        |(at, page): &(usize, &[u8])| before.get(at * PAGE..at * PAGE + page.len()) != Some(*page);
    pages.filter(differs).map(|(at, _)| at).collect()
}

/// How a page may be found that was being written.
#[derive(Debug, Clone, Copy)]
enum Torn {
    FirstHalf,
    SecondHalf,
    Zeroed,
    AsBefore,
}

fn tear(before: &[u8], file: &mut [u8], page: usize, how: Torn) {
    let (start, end) = (page * PAGE, ((page + 1) * PAGE).min(file.len()));
    let middle = (start + end) / 2;
    match how {
        Torn::FirstHalf => file[middle..end].fill(0),
        Torn::SecondHalf => file[start..middle].fill(0),
        Torn::Zeroed => file[start..end].fill(0),
        Torn::AsBefore => match before.get(start..end) {
            Some(old) => file[start..end].copy_from_slice(old),
            None => file[start..end].fill(0),
        },
    }
}

/// Opens a file; the newest record that is there, with everything as it was then. `None` when it is
/// refused.
fn opened(file: &[u8]) -> Option<u64> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, file).unwrap();
    // With data beside it: nothing is laid out anew.
    std::fs::write(directory.path().join(NODE_FILE), b"").unwrap();
    let opening = || Store::open(directory.path(), 0, None, Arc::new(|_: &str| {})).ok();
    // One that panics ends the process as well.
    let opening = std::panic::catch_unwind(std::panic::AssertUnwindSafe(opening));
    let store = opening.ok().flatten()?;
    let newest = store.meta(P).unwrap().unwrap().position.seq;
    for seq in newest.saturating_sub(2)..=newest {
        assert_eq!(value(&store, &key(seq)), Some(long(seq)), "{newest}");
    }
    Some(newest)
}

#[tokio::test]
async fn a_torn_file_opens_as_it_was_at_one_record_or_not_at_all() {
    let [before, after] = written().await;
    assert_eq!(opened(&after), Some(RECORDS), "whole");
    let pages = changed(&before, &after);
    assert!(pages.len() > 2, "{pages:?}");
    let mut refused = 0;
    for how in [
        Torn::FirstHalf,
        Torn::SecondHalf,
        Torn::Zeroed,
        Torn::AsBefore,
    ] {
        let mut all = after.clone();
        for page in &pages {
            tear(&before, &mut all, *page, how);
            let mut one = after.clone();
            tear(&before, &mut one, *page, how);
            for (file, what) in [(&one, "this page"), (&all, "all up to this page")] {
                let found = opened(file);
                refused += usize::from(found.is_none());
                let fits = found.is_none_or(|newest| newest + 1 >= RECORDS);
                assert!(fits, "{how:?} of {page}, {what}: opened at {found:?}");
            }
        }
        // The header of before goes with every state of the pages behind it.
        all[..PAGE].copy_from_slice(&before[..PAGE]);
        let found = opened(&all);
        assert!(
            found.is_none_or(|newest| newest == RECORDS - 1),
            "{how:?}: {found:?}"
        );
    }
    eprintln!("{refused} of the torn files were refused");
    for cut in [PAGE, after.len() / 2, after.len() - 1] {
        let found = opened(&after[..cut]);
        let fits = found.is_none_or(|newest| newest + 1 >= RECORDS);
        assert!(fits, "cut to {cut} bytes: {found:?}");
    }
}
