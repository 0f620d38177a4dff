use std::path::PathBuf;
use std::time::Duration;

use ck_node::{
    Config, ConfigChoices, Epoch, FencingToken, Handle, Node, OnFatal, Ownership, PartitionId,
    Profile,
};
use serde_json::json;
use tempfile::TempDir;

use super::policy::STATEMENT_BYTES_MAX;
use super::*;

const P: PartitionId = PartitionId(0);

/// A node that owns one partition, since nothing else gives proofs.
struct Owner {
    runtime: tokio::runtime::Runtime,
    node: Handle,
    own: Ownership,
    folder: TempDir,
}

impl Owner {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new("node-1".parse().unwrap(), folder.path().join("node"));
        config.choices = ConfigChoices {
            partitions: Some(1),
            replication_factor: Some(1),
            profile: Some(Profile::Fast),
            ..ConfigChoices::default()
        };
        config.on_fatal = OnFatal::Report;
        let (node, own) = runtime.block_on(async {
            let node = Node::start(config).await.unwrap();
            let own = async {
                loop {
                    match node.acquire(P) {
                        Ok(own) => return own,
                        Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            };
            let own = tokio::time::timeout(Duration::from_secs(20), own).await;
            (node.clone(), own.expect("the node owns its partition"))
        });
        Self {
            runtime,
            node,
            own,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with a table `t`, at this grant.
    fn file(&self) -> PartitionFile {
        let file = PartitionFile::create(&self.path("a.db"), P).unwrap();
        file.raise(self.own.token(), Capture::Nothing).unwrap();
        file.apply_schema(&self.own, &schema(), Capture::Nothing)
            .unwrap();
        file
    }

    fn write(&self, file: &PartitionFile, sql: &str) -> Result<Done, Refused> {
        self.write_all(file, &[sql])
    }

    fn write_all(&self, file: &PartitionFile, list: &[&str]) -> Result<Done, Refused> {
        let list: Vec<_> = list.iter().map(|sql| statement(sql)).collect();
        file.transact(&self.own, &list, &Limits::default(), Capture::Pages)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.runtime.block_on(self.node.stop());
    }
}

fn schema() -> Vec<String> {
    vec!["CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)".to_owned()]
}

fn statement(sql: &str) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params: Vec::new(),
    }
}

#[track_caller]
fn rows(file: &PartitionFile, sql: &str) -> Vec<Vec<serde_json::Value>> {
    file.read(&statement(sql), &Limits::default())
        .unwrap()
        .0
        .rows
}

fn later(token: FencingToken) -> FencingToken {
    let epoch = Epoch(token.epoch.0 + 1);
    FencingToken { epoch, ..token }
}

#[test]
fn a_transaction_is_whole_or_nothing_and_counted() {
    let owner = Owner::new();
    let file = owner.file();
    let before = file.mark();
    let done = owner
        .write_all(
            &file,
            &[
                "INSERT INTO t (a) VALUES ('x'), ('y')",
                "UPDATE t SET a = 'z' WHERE a = 'y' RETURNING id",
            ],
        )
        .unwrap();
    assert_eq!((done.answers[0].changes, done.answers[1].changes), (2, 1));
    assert_eq!(done.answers[1].rows, [[json!(2)]]);
    assert_eq!(done.mark.seq, before.seq + 1);
    let refused = owner.write_all(
        &file,
        &[
            "INSERT INTO t (a) VALUES ('w')",
            "INSERT INTO t (a) VALUES ('x')",
        ],
    );
    let Err(Refused::Sql {
        statement: 2,
        constraint: true,
        message,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert!(message.contains("t.a"), "{message}");
    assert_eq!(rows(&file, "SELECT a FROM t ORDER BY id"), [["x"], ["z"]]);
    assert_eq!(file.mark(), done.mark);
}

#[test]
fn bad_statements_are_refused_and_leave_the_file_as_it_was() {
    let owner = Owner::new();
    let file = owner.file();
    let before = file.mark();
    let long = format!("SELECT '{}'", "x".repeat(STATEMENT_BYTES_MAX));
    for sql in [
        "",
        "  -- nothing",
        "SELEKT 1",
        "INSERT INTO nowhere VALUES (1)",
        "INSERT INTO t (a) VALUES (?)",
        "INSERT INTO t (a) VALUES ('x'); DELETE FROM t",
        "INSERT INTO ck_meta SELECT * FROM ck_meta",
        "COMMIT",
        "INSERT INTO t (a) SELECT zeroblob(5000000)",
        "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT a FROM n",
        &long,
    ] {
        let refused = owner.write_all(&file, &["INSERT INTO t (a) VALUES ('kept?')", sql]);
        assert!(refused.is_err(), "{sql}: {refused:?}");
        assert_eq!(file.mark(), before, "{sql}");
        assert_eq!(rows(&file, "SELECT count(*) FROM t"), [[0]], "{sql}");
    }
    let read = file.read(&statement("DELETE FROM t"), &Limits::default());
    assert!(read.is_err());
}

#[test]
fn a_file_that_has_seen_a_later_grant_refuses_this_one() {
    let owner = Owner::new();
    let file = owner.file();
    owner
        .write(&file, "INSERT INTO t (a) VALUES ('before')")
        .unwrap();
    file.raise(later(owner.own.token()), Capture::Nothing)
        .unwrap();
    let refused = owner.write(&file, "INSERT INTO t (a) VALUES ('after')");
    assert!(matches!(refused, Err(Refused::Fenced(_))), "{refused:?}");
    let refused = file.raise(owner.own.token(), Capture::Nothing);
    assert!(matches!(refused, Err(Refused::Fenced(_))), "{refused:?}");
    // It is in the file, not in the process.
    let path = file.path().to_owned();
    file.close().unwrap();
    let file = PartitionFile::open(&path, P).unwrap();
    let refused = owner.write(&file, "INSERT INTO t (a) VALUES ('after')");
    assert!(matches!(refused, Err(Refused::Fenced(_))), "{refused:?}");
    assert_eq!(rows(&file, "SELECT a FROM t"), [["before"]]);
}

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

#[test]
fn a_schema_that_rows_do_not_fit_is_not_applied() {
    let owner = Owner::new();
    let file = owner.file();
    owner
        .write(&file, "INSERT INTO t VALUES (1, 'x'), (2, NULL), (3, NULL)")
        .unwrap();
    let mut more = schema();
    more.push("ALTER TABLE t ADD b".to_owned());
    more.push("CREATE UNIQUE INDEX i ON t (coalesce(a, 'none'))".to_owned());
    let tried = file.try_schema(&more);
    assert!(
        matches!(tried, Err(Refused::Sql { statement: 3, .. })),
        "{tried:?}"
    );
    let applied = file.apply_schema(&owner.own, &more, Capture::Nothing);
    assert!(applied.is_err());
    assert_eq!(file.schema_version().unwrap(), 1);
    assert_eq!(rows(&file, "SELECT * FROM t")[0].len(), 2);
    owner.write(&file, "DELETE FROM t WHERE id = 3").unwrap();
    assert!(file.try_schema(&more).is_ok());
    assert_eq!(file.schema_version().unwrap(), 1);
    file.apply_schema(&owner.own, &more, Capture::Nothing)
        .unwrap();
    assert_eq!(file.schema_version().unwrap(), 3);
}

#[test]
fn a_full_disk_refuses_and_applies_nothing() {
    let owner = Owner::new();
    let file = owner.file();
    owner
        .write(&file, "INSERT INTO t (a) VALUES ('kept')")
        .unwrap();
    let before = file.mark();
    let pages = "PRAGMA max_page_count = 8";
    let limit = |pages: &str| {
        let writer = file.writer.lock();
        writer.connection.query_row(pages, [], |_| Ok(())).unwrap();
    };
    limit(pages);
    let refused = owner.write_all(
        &file,
        &[
            "UPDATE t SET a = 'lost'",
            "INSERT INTO t (a) SELECT hex(randomblob(60000))",
        ],
    );
    assert!(matches!(refused, Err(Refused::Full { .. })), "{refused:?}");
    assert_eq!(file.mark(), before);
    assert_eq!(rows(&file, "SELECT a FROM t"), [["kept"]]);
    limit("PRAGMA max_page_count = 100000");
    let done = owner
        .write(&file, "INSERT INTO t (a) SELECT hex(randomblob(60000))")
        .unwrap();
    assert_eq!(done.mark.seq, before.seq + 1);
}

#[test]
fn a_constraint_that_fails_at_the_commit_rolls_all_back() {
    let owner = Owner::new();
    let file = owner.file();
    let mut more = schema();
    more.push(
        "CREATE TABLE c (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)".to_owned(),
    );
    file.apply_schema(&owner.own, &more, Capture::Nothing)
        .unwrap();
    let before = file.mark();
    let refused = owner.write_all(
        &file,
        &["INSERT INTO t (a) VALUES ('x')", "INSERT INTO c VALUES (9)"],
    );
    let Err(Refused::Sql {
        constraint: true, ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(file.mark(), before);
    assert_eq!(rows(&file, "SELECT count(*) FROM t"), [[0]]);
    owner
        .write_all(
            &file,
            &["INSERT INTO c VALUES (9)", "INSERT INTO t VALUES (9, 'x')"],
        )
        .unwrap();
}

#[test]
fn what_is_no_schema_is_refused_and_said() {
    for (sql, part) in [
        ("INSERT INTO t VALUES (1)", "no change of the schema"),
        ("CREATE TABLE ck_x (a)", "not authorized"),
        ("CREATE TABLE t (a", "incomplete"),
        ("CREATE TEMP TABLE u (a)", "not authorized"),
    ] {
        let refused = try_out(&[sql.to_owned()]).unwrap_err().to_string();
        assert!(refused.contains(part), "{sql}: {refused}");
    }
    let renamed = [
        "CREATE TABLE t (a)".to_owned(),
        "ALTER TABLE t RENAME TO ck_x".to_owned(),
    ];
    let refused = try_out(&renamed).unwrap_err();
    assert_eq!(
        refused,
        SchemaRefused::Reserved {
            name: "ck_x".to_owned()
        }
    );
    try_out(&schema()).unwrap();
}
