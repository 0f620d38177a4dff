//! How much one node takes on.

use std::time::Duration;

use crate::file::Limits;

/// Bounds of one node. [`SqlConfig::default`] is right for most.
#[derive(Debug, Clone)]
pub struct SqlConfig {
    /// Files that stay open; the one that was used longest ago is closed. Files in use come on top,
    /// at most one for each of `blocking_max`. Default 64.
    pub files_open_max: usize,
    /// Calls of SQLite that run at a time. Default 8.
    pub blocking_max: usize,
    /// Requests that wait for one partition before more are refused. Default 256.
    pub waiting_max: usize,
    /// Statements of one transaction. Default 1,000.
    pub statements_max: usize,
    /// Bytes of a request's body. Default 4 MiB.
    pub body_bytes_max: usize,
    /// What one request may take of SQLite.
    pub limits: Limits,
    /// Time a request is tried for, as long as each try certainly changed nothing. Default 5 s.
    pub patience: Duration,
    /// Time a copy that is being made has for taking a transaction, before it is taken out and
    /// writing goes on without it. Default 1 s.
    pub ship_timeout: Duration,
    /// Bytes of transactions kept for a copy that is being made. One that needs more begins anew.
    /// Default 64 MiB.
    pub log_bytes_max: usize,
    /// Partitions asked at a time for one scattered query. Default 16.
    pub scatter_max: usize,
    /// Rows, and bytes about, of a scattered query's answer before it is merged. Default four times
    /// those of `limits`.
    pub scatter: Limits,
}

impl Default for SqlConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            files_open_max: 64,
            blocking_max: 8,
            waiting_max: 256,
            statements_max: 1_000,
            body_bytes_max: 4 << 20,
            limits,
            patience: Duration::from_secs(5),
            ship_timeout: Duration::from_secs(1),
            log_bytes_max: 64 << 20,
            scatter_max: 16,
            scatter: Limits {
                rows: 4 * limits.rows,
                bytes: 4 * limits.bytes,
                ..limits
            },
        }
    }
}
