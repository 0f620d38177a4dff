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

mod copies;

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
