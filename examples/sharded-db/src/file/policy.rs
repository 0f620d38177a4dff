//! What a statement from outside may do, and for how long.
//!
//! SQLite asks the authorizer about every table, column and function while it prepares a statement,
//! those inside triggers and views included, so nothing is decided by reading SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

/// Whose statement is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Ours: everything.
    Trusted = 0,
    /// A client's that changes rows.
    Write = 1,
    /// A client's that only looks.
    Read = 2,
    /// A change of the schema.
    Schema = 3,
}

/// Names that begin so are ours.
pub(crate) const RESERVED: &str = "ck_";

/// Longest statement, in bytes.
pub(crate) const STATEMENT_BYTES_MAX: usize = 64 << 10;

/// Longest text, blob or row, in bytes.
const VALUE_BYTES_MAX: i32 = 4 << 20;

/// Instructions of SQLite's machine between two looks at the clock.
const INSTRUCTIONS: i32 = 4_000;

/// What looks without changing anything.
const PRAGMAS: [&str; 8] = [
    "data_version",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// The switch of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    mode: AtomicU8,
    began: Instant,
    /// Nanoseconds since `began` at which a statement is interrupted; 0 for never.
    until: AtomicU64,
}

impl Guard {
    /// Puts a guard before `connection`. It begins trusted.
    pub(crate) fn install(connection: &mut Connection) -> rusqlite::Result<Arc<Self>> {
        let guard = Arc::new(Self {
            mode: AtomicU8::new(Mode::Trusted as u8),
            began: Instant::now(),
            until: AtomicU64::new(0),
        });
        let asked = Arc::clone(&guard);
        connection.authorizer(Some(move |context: AuthContext<'_>| asked.allows(&context)))?;
        let watched = Arc::clone(&guard);
        connection.progress_handler(INSTRUCTIONS, Some(move || watched.is_over()))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        // What is closed last must not remove a write-ahead log that may be another file's by now.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX as i32),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 32),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, value)?;
        }
        Ok(guard)
    }

    /// From now on a statement of that mode is prepared, and interrupted after `time`.
    pub(crate) fn enter(self: &Arc<Self>, mode: Mode, time: Duration) -> Entered {
        let until = self.began.elapsed().saturating_add(time);
        let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.until.store(until, Ordering::Relaxed);
        self.mode.store(mode as u8, Ordering::Relaxed);
        Entered(Arc::clone(self))
    }

    fn is_over(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && self.began.elapsed() >= Duration::from_nanos(until)
    }

    fn allows(&self, context: &AuthContext<'_>) -> Authorization {
        let mode = self.mode.load(Ordering::Relaxed);
        let allowed = mode == Mode::Trusted as u8
            || match context.action {
                AuthAction::Select | AuthAction::Recursive => true,
                AuthAction::Read { table_name, .. } => !is_ours(table_name),
                AuthAction::Function { function_name } => {
                    !function_name.eq_ignore_ascii_case("load_extension")
                }
                AuthAction::Pragma { pragma_name, .. } => PRAGMAS
                    .iter()
                    .any(|one| one.eq_ignore_ascii_case(pragma_name)),
                AuthAction::Insert { table_name }
                | AuthAction::Update { table_name, .. }
                | AuthAction::Delete { table_name } => {
                    changes_rows(mode, table_name) || changes_schema(mode, table_name)
                }
                ref action => mode == Mode::Schema as u8 && is_schema(action),
            };
        if allowed {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }
}

/// Whether a client may write rows of a table. Tables of SQLite itself are no client's, nor are
/// those through which some builds show raw pages.
fn changes_rows(mode: u8, table: &str) -> bool {
    mode == Mode::Write as u8 && !is_ours(table) && !begins(table, "sqlite_")
}

/// What a change of the schema does underneath: to the catalogue, and to rows of tables it drops or
/// rewrites.
fn changes_schema(mode: u8, table: &str) -> bool {
    mode == Mode::Schema as u8 && !is_ours(table)
}

fn is_schema(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::CreateTable { table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::CreateVtable { table_name, .. }
        | AuthAction::DropVtable { table_name, .. } => !is_ours(table_name),
        AuthAction::CreateIndex {
            index_name: name,
            table_name,
        }
        | AuthAction::DropIndex {
            index_name: name,
            table_name,
        }
        | AuthAction::CreateTrigger {
            trigger_name: name,
            table_name,
        }
        | AuthAction::DropTrigger {
            trigger_name: name,
            table_name,
        } => !is_ours(name) && !is_ours(table_name),
        AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => {
            !is_ours(view_name)
        }
        AuthAction::Reindex { .. } => true,
        // Also what later versions of SQLite may ask about.
        _ => false,
    }
}

/// Whether a table, view, index or trigger is one of ours.
pub(crate) fn is_ours(name: &str) -> bool {
    begins(name, RESERVED)
}

fn begins(name: &str, start: &str) -> bool {
    let head = name.as_bytes().get(..start.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

/// Ends with the statement: the connection is trusted again, and has all the time there is.
pub(crate) struct Entered(Arc<Guard>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.mode.store(Mode::Trusted as u8, Ordering::Relaxed);
        self.0.until.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded() -> (Connection, Arc<Guard>) {
        let mut connection = Connection::open_in_memory().unwrap();
        let guard = Guard::install(&mut connection).unwrap();
        connection
            .execute_batch("CREATE TABLE ck_meta (id); CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
            .unwrap();
        (connection, guard)
    }

    #[track_caller]
    fn check(mode: Mode, sql: &str, allowed: bool) {
        let (connection, guard) = guarded();
        let entered = guard.enter(mode, Duration::from_secs(5));
        let done = connection.prepare(sql).and_then(|mut statement| {
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        });
        drop(entered);
        assert_eq!(done.is_ok(), allowed, "{sql}: {done:?}");
        if !allowed {
            let rows: i64 = connection
                .query_row("SELECT count(*) FROM ck_meta", [], |row| row.get(0))
                .unwrap();
            assert_eq!(rows, 0, "{sql}");
        }
    }

    #[test]
    fn a_write_changes_rows_of_the_clients_own_tables_alone() {
        check(Mode::Write, "INSERT INTO t VALUES (1, 2) RETURNING a", true);
        check(
            Mode::Write,
            "UPDATE t SET a = (SELECT max(id) FROM t)",
            true,
        );
        check(Mode::Write, "SELECT name FROM sqlite_schema", true);
        check(Mode::Write, "SELECT * FROM pragma_table_info('t')", true);
        for sql in [
            "INSERT INTO ck_meta VALUES (1)",
            "INSERT INTO CK_META VALUES (1)",
            "INSERT INTO t SELECT id, 1 FROM ck_meta",
            "SELECT count(*) FROM ck_meta",
            "WITH x AS (SELECT * FROM ck_meta) SELECT * FROM x",
            "ATTACH 'x' AS other",
            "DETACH main",
            "VACUUM",
            "VACUUM INTO 'x'",
            "SELECT load_extension('x')",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA writable_schema = 1",
            "PRAGMA user_version = 7",
            "PRAGMA wal_checkpoint",
            "CREATE TABLE u (a)",
            "CREATE TEMP TABLE u (a)",
            "DROP TABLE t",
            "ALTER TABLE t ADD b",
            "INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)",
            "COMMIT",
            "BEGIN",
            "SAVEPOINT a",
            "ANALYZE",
        ] {
            check(Mode::Write, sql, false);
        }
    }

    #[test]
    fn a_read_changes_nothing() {
        check(Mode::Read, "SELECT a FROM t", true);
        check(Mode::Read, "EXPLAIN QUERY PLAN SELECT a FROM t", true);
        for sql in [
            "INSERT INTO t VALUES (1, 2)",
            "DELETE FROM t",
            "WITH x AS (SELECT 1) UPDATE t SET a = 1",
        ] {
            check(Mode::Read, sql, false);
        }
    }

    #[test]
    fn a_change_of_the_schema_leaves_ours_alone() {
        for sql in [
            "CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT UNIQUE)",
            "CREATE UNIQUE INDEX i ON t (a)",
            "CREATE VIEW v AS SELECT a FROM t",
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t WHERE id = 1; END",
            "ALTER TABLE t ADD COLUMN b DEFAULT 3",
            "ALTER TABLE t RENAME COLUMN a TO b",
            "DROP TABLE t",
            "CREATE VIRTUAL TABLE f USING fts5(a)",
        ] {
            check(Mode::Schema, sql, true);
        }
        for sql in [
            "DROP TABLE ck_meta",
            "CREATE TABLE ck_other (a)",
            "CREATE INDEX ck_i ON t (a)",
            "CREATE INDEX i ON ck_meta (id)",
            "ALTER TABLE ck_meta ADD b",
            "CREATE TEMP TABLE u (a)",
            "PRAGMA user_version = 7",
            "ATTACH 'x' AS y",
        ] {
            check(Mode::Schema, sql, false);
        }
    }

    #[test]
    fn a_statement_is_interrupted_when_its_time_is_over() {
        let (connection, guard) = guarded();
        let endless = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) \
                       SELECT count(*) FROM n";
        let entered = guard.enter(Mode::Read, Duration::from_millis(30));
        let error = connection
            .query_row(endless, [], |row| row.get::<_, i64>(0))
            .unwrap_err();
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::OperationInterrupted)
        );
        drop(entered);
        connection
            .query_row("SELECT count(*) FROM ck_meta", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap();
    }
}
