//! The side of a move that gets the file.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ck_http::{HeaderMap, Method, Problem, Request, Response, StatusCode};
use ck_node::{Copying, FencingToken, HandlerContext, HandlerError, PartitionId};
use ck_serve::{address_of_node, problem_of};
use xxhash_rust::xxh3::xxh3_64;

use crate::file::{FileError, Follower, Mark, Record, Taken};
use crate::line::{Line, Role};
use crate::problems;
use crate::shipping::{FENCED, MARK};
use crate::store::{Store, uncut};

/// Time one piece has.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two questions whether a snapshot is ready.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Times a copy is begun anew within one call, before the call fails and is made again.
const ANEW_MAX: u32 = 4;

/// Headers of a piece.
pub(crate) const SNAPSHOT: &str = "sql-snapshot";
pub(crate) const LENGTH: &str = "sql-length";
pub(crate) const SUM: &str = "sql-sum";
pub(crate) const PIECE_SUM: &str = "sql-piece-sum";
/// Number of the last transaction before a copy was attached.
pub(crate) const UPTO: &str = "sql-upto";
/// That a copy has to begin anew.
pub(crate) const ANEW: &str = "sql-anew";

/// Why a copy did not get on. The call is made again.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("{node} has no HTTP address to copy from")]
    NoAddress { node: String },
    #[error("{address} answers {status}: {detail}")]
    Answer {
        address: String,
        status: StatusCode,
        detail: String,
    },
    #[error("{address} sent a piece that does not match its checksum")]
    Damaged { address: String },
    #[error("the copy was begun anew {ANEW_MAX} times")]
    Anew,
    #[error("{detail}")]
    Here { detail: String },
}

impl Store {
    /// Copies the file in and follows it from its snapshot on.
    pub(crate) async fn copy_in(
        self: &Arc<Self>,
        context: &dyn HandlerContext,
        copying: &Copying,
    ) -> Result<(), HandlerError> {
        let taken = self.download(context, copying).await?;
        let (store, id) = (Arc::clone(self), copying.partition);
        let installed = uncut(async move {
            let part = store.part(id);
            let mut line = Arc::clone(&part.line).lock_owned().await;
            line.role = Role::Idle;
            let follower = store
                .blocking(move |store| {
                    store.let_go(id);
                    Follower::install(&store.incoming(id), &store.path(id), id, &taken)
                })
                .await?;
            line.mark = follower.mark();
            line.targets.clear();
            line.drop_snapshot();
            line.trim();
            line.role = Role::Following(Box::new(follower));
            Ok::<_, FileError>(())
        });
        installed.await.map_err(|problem| here(&problem))??;
        Ok(())
    }

    /// Receives the snapshot piece by piece. What an earlier call received is not asked for again,
    /// as long as it is the same snapshot.
    async fn download(
        self: &Arc<Self>,
        context: &dyn HandlerContext,
        copying: &Copying,
    ) -> Result<Taken, HandlerError> {
        let path = self.incoming(copying.partition);
        let mut held = held(&path).unwrap_or_default();
        loop {
            let offset = held.bytes;
            let target = format!(
                "/sql-peer/{}/snapshot?transfer={}&offset={offset}",
                copying.partition.0, copying.transfer.0
            );
            let received = self.ask(copying, Method::GET, target, None).await?;
            let (head, body) = received.clone().into_parts();
            if head.status == StatusCode::ACCEPTED {
                context.sleep(ASK_AGAIN).await;
                continue;
            }
            let id = told(&head.headers, SNAPSHOT).unwrap_or_default().to_owned();
            let Some(taken) = taken(&head.headers) else {
                return Err(self.answered(copying, &received));
            };
            if told(&head.headers, PIECE_SUM) != Some(&format!("{:016x}", xxh3_64(&body))) {
                let address = self.source(copying)?;
                return Err(CopyError::Damaged { address }.into());
            }
            let fresh = id != held.snapshot;
            if fresh && offset > 0 {
                // Another snapshot than the one that was begun.
                held = Held::default();
                continue;
            }
            let last = body.is_empty();
            let to = path.clone();
            let begun = fresh.then(|| id.clone());
            let written = self
                .blocking(move |_| put(&to, begun.as_deref(), offset, &body).map(|()| body.len()))
                .await;
            held.bytes += written.map_err(FileError::io(&path))? as u64;
            held.snapshot = id;
            context.progress(held.bytes, taken.bytes.max(1));
            if last || held.bytes >= taken.bytes {
                let note = note(&path);
                let removed = self.blocking(move |_| std::fs::remove_file(note)).await;
                removed.map_err(FileError::io(&path))?;
                return Ok(taken);
            }
        }
    }

    /// Takes what was written since the snapshot, until nothing is acknowledged any more that is not
    /// here.
    pub(crate) async fn keep_up_with(
        self: &Arc<Self>,
        context: &dyn HandlerContext,
        copying: &Copying,
    ) -> Result<(), HandlerError> {
        let node = self.node().map_err(|problem| here(&problem))?.clone();
        let member = node.member().ok_or_else(|| CopyError::Here {
            detail: "this node is no member yet".to_owned(),
        })?;
        let mut anew = 0;
        loop {
            let part = self.part(copying.partition);
            let mark = {
                let line = part.line.lock().await;
                matches!(line.role, Role::Following(_)).then_some(line.mark)
            };
            let received = match mark {
                Some(mark) => {
                    let target = format!(
                        "/sql-peer/{}/attach?transfer={}&member={}",
                        copying.partition.0, copying.transfer.0, member.0
                    );
                    let mark = Some(mark);
                    Some(self.ask(copying, Method::POST, target, mark).await?)
                }
                None => None,
            };
            let received = received.filter(|received| !received.headers().contains_key(ANEW));
            let Some(received) = received else {
                anew += 1;
                if anew > ANEW_MAX {
                    return Err(CopyError::Anew.into());
                }
                self.copy_in(context, copying).await?;
                continue;
            };
            let token = told(received.headers(), "ck-fence");
            let Some(token) = token.and_then(|text| text.parse().ok()) else {
                return Err(self.answered(copying, &received));
            };
            let upto = told(received.headers(), UPTO);
            let upto = upto.and_then(|text| text.parse::<u64>().ok());
            let applied = self.apply(copying.partition, token, received.into_body());
            let applied = applied.await;
            let mark = applied.map_err(|problem| here(&problem))?;
            if upto.is_some_and(|upto| mark.seq >= upto) {
                return Ok(());
            }
        }
    }

    /// Appends transactions that a primary sends to the copy that follows it here.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        partition: PartitionId,
        token: FencingToken,
        body: Bytes,
    ) -> Result<Mark, Box<Problem>> {
        let store = Arc::clone(self);
        uncut(async move {
            let part = store.part(partition);
            let mut line = Arc::clone(&part.line).lock_owned().await;
            if let Role::Primary(mine) = line.role
                && token < mine
            {
                let detail =
                    format!("{partition} was granted to this node as {mine}, after {token}");
                return Err(problems::copy(FENCED, detail));
            }
            let Role::Following(follower) = std::mem::take(&mut line.role) else {
                let detail = format!("this node does not follow {partition}");
                return Err(problems::copy("copy-unknown", detail));
            };
            let (follower, appended) = store
                .blocking(move |_| append(*follower, token, &body))
                .await;
            store.appended(&mut line, follower, appended)
        })
        .await?
    }

    fn appended(
        &self,
        line: &mut Line,
        follower: Follower,
        appended: Result<Mark, FileError>,
    ) -> Result<Mark, Box<Problem>> {
        line.mark = follower.mark();
        match appended {
            Ok(mark) => {
                line.role = Role::Following(Box::new(follower));
                Ok(mark)
            }
            Err(error) => {
                // After a failure of the disk it is begun anew; otherwise nothing has changed.
                if !matches!(error, FileError::Io { .. } | FileError::Sqlite { .. }) {
                    line.role = Role::Following(Box::new(follower));
                }
                match error {
                    FileError::Fenced(_) => Err(problems::copy(FENCED, error.to_string())),
                    FileError::Gap { .. } => Err(problems::copy("copy-gap", error.to_string())),
                    error => Err(problems::file(&error)),
                }
            }
        }
    }

    fn source(&self, copying: &Copying) -> Result<String, HandlerError> {
        let node = self.node().map_err(|problem| here(&problem))?;
        address_of_node(node, &copying.source).ok_or_else(|| {
            let node = copying.source.to_string();
            CopyError::NoAddress { node }.into()
        })
    }

    async fn ask(
        &self,
        copying: &Copying,
        method: Method,
        target: String,
        mark: Option<Mark>,
    ) -> Result<Response<Bytes>, HandlerError> {
        let mut request = Request::builder().method(method).uri(target);
        if let Some(mark) = mark {
            request = request.header(MARK, mark.to_string());
        }
        let request = request.body(Bytes::new())?;
        let address = self.source(copying)?;
        let received = self.courier.send(&address, request, PIECE_TIMEOUT).await?;
        if received.status().is_success() {
            return Ok(received);
        }
        Err(self.answered(copying, &received))
    }

    /// The other side answered something else than was asked for.
    fn answered(&self, copying: &Copying, received: &Response<Bytes>) -> HandlerError {
        let address = self.source(copying).unwrap_or_default();
        let detail = problem_of(received).map_or_else(
            || "it is not an answer to this".to_owned(),
            |problem| problem.detail,
        );
        let status = received.status();
        CopyError::Answer {
            address,
            status,
            detail,
        }
        .into()
    }
}

/// A header's text.
pub(crate) fn told<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn here(problem: &Problem) -> HandlerError {
    let detail = problem.detail.clone();
    CopyError::Here { detail }.into()
}

fn append(
    mut follower: Follower,
    token: FencingToken,
    body: &[u8],
) -> (Follower, Result<Mark, FileError>) {
    let mut records = Vec::new();
    let mut left = body;
    while !left.is_empty() {
        match Record::decode(&mut left) {
            Some(record) => records.push(record),
            None => {
                let path = follower.path().to_owned();
                let what = "a transaction";
                return (follower, Err(FileError::Checksum { path, what }));
            }
        }
    }
    let appended = follower.append(token, &records);
    (follower, appended)
}

/// What of a snapshot was received by an earlier call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    snapshot: String,
    bytes: u64,
}

/// Where the id of the snapshot is noted that `path` is a part of.
fn note(path: &std::path::Path) -> std::path::PathBuf {
    path.with_extension("snapshot")
}

fn held(path: &std::path::Path) -> Option<Held> {
    let snapshot = std::fs::read_to_string(note(path)).ok()?;
    let bytes = std::fs::metadata(path).ok()?.len();
    Some(Held { snapshot, bytes })
}

/// Writes a piece at its place; the first one begins the file, and notes what it is of.
fn put(
    path: &std::path::Path,
    begun: Option<&str>,
    offset: u64,
    bytes: &[u8],
) -> std::io::Result<()> {
    if let Some(snapshot) = begun {
        File::create(path)?;
        std::fs::write(note(path), snapshot)?;
    }
    let mut file = File::options().append(true).open(path)?;
    if file.metadata()?.len() != offset {
        let why = format!("{offset} bytes were to be there already");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    }
    file.write_all(bytes)
}

fn taken(headers: &HeaderMap) -> Option<Taken> {
    Some(Taken {
        mark: told(headers, MARK)?.parse().ok()?,
        bytes: told(headers, LENGTH)?.parse().ok()?,
        sum: u64::from_str_radix(told(headers, SUM)?, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_on_where_an_earlier_call_stopped_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("partition-0.db");
        assert_eq!(held(&path), None);
        put(&path, Some("one"), 0, b"abc").unwrap();
        let had = Held {
            snapshot: "one".to_owned(),
            bytes: 3,
        };
        assert_eq!(held(&path), Some(had.clone()));
        assert!(put(&path, None, 2, b"x").is_err());
        assert_eq!(held(&path), Some(had));
        put(&path, None, 3, b"d").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
        put(&path, Some("two"), 0, b"z").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"z");
    }
}
