//! Copies that follow: snapshots, pages, fences.

use super::*;

#[test]
fn a_copy_follows_by_snapshot_and_pages_and_is_the_same_file() {
    let owner = Owner::new();
    let file = owner.file();
    owner
        .write(&file, "INSERT INTO t (a) VALUES ('snapshot')")
        .unwrap();
    let snapshot = owner.path("snapshot");
    let taken = file.snapshot(&snapshot, || true).unwrap().unwrap();
    assert_eq!(taken.mark, file.mark());
    let target = owner.path("b.db");
    let mut follower = Follower::install(&snapshot, &target, P, &taken).unwrap();
    let token = owner.own.token();
    let mut sent = Vec::new();
    for number in 0..300 {
        let sql = format!(
            "INSERT INTO t (a) VALUES ('{number}' || hex(randomblob({})))",
            number * 20
        );
        let done = owner.write(&file, &sql).unwrap();
        sent.push(done.record.unwrap());
    }
    let more = vec![
        schema()[0].clone(),
        "CREATE VIRTUAL TABLE words USING fts5(word)".to_owned(),
        "CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, b)".to_owned(),
        "CREATE TRIGGER r AFTER INSERT ON c BEGIN INSERT INTO words VALUES (new.b); END".to_owned(),
    ];
    let done = file
        .apply_schema(&owner.own, &more, Capture::Pages)
        .unwrap();
    sent.push(done.unwrap().record.unwrap());
    let done = owner.write_all(
        &file,
        &[
            "INSERT INTO c (b) VALUES ('one two')",
            "DELETE FROM t WHERE id % 3 = 0",
        ],
    );
    sent.push(done.unwrap().record.unwrap());
    // Sent in parts that overlap, as after a lost answer.
    follower.append(token, &sent[..100]).unwrap();
    follower.append(token, &sent[50..200]).unwrap();
    let gap = follower.append(token, &sent[201..]);
    assert!(matches!(gap, Err(FileError::Gap { .. })), "{gap:?}");
    let mark = follower.append(token, &sent[150..]).unwrap();
    assert_eq!(mark, file.mark());
    // Taken up after a crash of the process that followed.
    drop(follower);
    assert_eq!(Follower::open(&target, P).unwrap().mark(), mark);
    let copy = PartitionFile::open(&target, P).unwrap();
    for sql in [
        "SELECT * FROM t ORDER BY id",
        "SELECT * FROM words",
        "SELECT * FROM sqlite_sequence",
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'ck_%'",
    ] {
        assert_eq!(rows(&copy, sql), rows(&file, sql), "{sql}");
    }
    assert_eq!(rows(&copy, "SELECT count(*) FROM words('two')"), [[1]]);
    let sound: String = copy
        .writer
        .lock()
        .connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    assert_eq!(copy.schema_version().unwrap(), more.len());
}

#[test]
fn a_copy_refuses_a_primary_that_was_deposed() {
    let owner = Owner::new();
    let file = owner.file();
    let snapshot = owner.path("snapshot");
    let taken = file.snapshot(&snapshot, || true).unwrap().unwrap();
    let target = owner.path("b.db");
    let mut follower = Follower::install(&snapshot, &target, P, &taken).unwrap();
    follower.append(later(owner.own.token()), &[]).unwrap();
    let done = owner
        .write(&file, "INSERT INTO t (a) VALUES ('late')")
        .unwrap();
    let record = done.record.unwrap();
    let refused = follower.append(owner.own.token(), std::slice::from_ref(&record));
    assert!(matches!(refused, Err(FileError::Fenced(_))), "{refused:?}");
    drop(follower);
    let copy = PartitionFile::open(&target, P).unwrap();
    assert_eq!(rows(&copy, "SELECT count(*) FROM t"), [[0]]);
}

#[test]
fn pages_are_seen_across_write_backs_of_the_log() {
    let owner = Owner::new();
    let file = owner.file();
    let snapshot = owner.path("snapshot");
    let taken = file.snapshot(&snapshot, || true).unwrap().unwrap();
    let mut follower = Follower::install(&snapshot, &owner.path("b.db"), P, &taken).unwrap();
    let token = owner.own.token();
    // A reader that stays keeps the log from being emptied for a while.
    let reader = file.open_reader().unwrap();
    reader.connection.execute_batch("BEGIN").unwrap();
    let _: i64 = reader
        .connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    let blob = "INSERT INTO t (a) SELECT hex(randomblob(900000)) || value FROM json_each('[1,2]')";
    for round in 0..6 {
        if round == 2 {
            reader.connection.execute_batch("COMMIT").unwrap();
        }
        let record = owner.write(&file, blob).unwrap().record.unwrap();
        follower.append(token, &[record]).unwrap();
    }
    drop(follower);
    let copy = PartitionFile::open(&owner.path("b.db"), P).unwrap();
    let sql = "SELECT id, length(a), substr(a, 1, 64) FROM t ORDER BY id";
    assert_eq!(rows(&copy, sql), rows(&file, sql));
    assert_eq!(rows(&copy, "SELECT count(*) FROM t"), [[12]]);
}

#[test]
fn a_damaged_snapshot_and_the_file_of_another_partition_are_refused() {
    let owner = Owner::new();
    let file = owner.file();
    let snapshot = owner.path("snapshot");
    let mut taken = file.snapshot(&snapshot, || true).unwrap().unwrap();
    let target = owner.path("b.db");
    std::fs::write(&target, b"kept").unwrap();
    taken.sum ^= 1;
    let refused = Follower::install(&snapshot, &target, P, &taken);
    assert!(matches!(refused, Err(FileError::Checksum { .. })));
    assert_eq!(std::fs::read(&target).unwrap(), b"kept");
    let other = PartitionFile::open(&snapshot, PartitionId(3));
    assert!(matches!(other, Err(FileError::Other { found: 0, .. })));
    assert!(PartitionFile::open(&owner.path("absent.db"), P).is_err());
    assert_eq!(file.snapshot(&snapshot, || false).unwrap(), None);
}
