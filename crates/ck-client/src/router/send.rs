//! One request, to whoever is the primary of its key by the time it is done.

use std::time::Duration;

use bytes::Bytes;
use ck_api::{CK_VERSION, Code, PROBLEM_JSON, Problem};
use ck_core::PartitionId;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response};
use tokio::time::Instant;

use super::exchange::{Broke, Parcel};
use super::table::RouteTable;
use super::{Inner, Router, SendError};
use crate::ClientError;

/// Answers that are followed without a pause in a row. More are a sign that nodes contradict each
/// other, which takes a while to pass.
const FOLLOWED_MAX: u32 = 4;

/// Whether a request may be repeated though it may have taken effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repeat {
    /// GET and HEAD may, others may not.
    #[default]
    ByMethod,
    /// It may: twice is the same as once, whatever others do meanwhile.
    Always,
    /// It may not.
    Never,
}

/// What comes after an attempt.
enum Then {
    Done(Result<Response<Bytes>, SendError>),
    /// Another attempt.
    Again {
        /// What it ends with if there is none.
        otherwise: SendError,
        /// Whether it may follow at once, if there is somewhere else to go by now.
        follow: bool,
        /// The pause that was asked for.
        pause: Option<Duration>,
        /// Who is to be asked next, whatever the table says.
        next: Option<Authority>,
    },
}

impl Router {
    /// Sends a request to the primary of `key`, and gives its answer, whatever its status.
    ///
    /// Path and query of the URI are sent, whatever else it names; `CK-Fence` is added. Answers that
    /// say that nothing was done ([`Code::is_not_done`]) are followed, and repeated after a pause, within
    /// the time and the attempts of a request. A GET or HEAD is repeated after anything that may pass;
    /// any other request only when it certainly was not carried out.
    ///
    /// # Errors
    /// [`SendError`], which knows whether the outcome is unknown.
    pub async fn send(
        &self,
        key: &[u8],
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, SendError> {
        self.send_with(key, request, Repeat::ByMethod).await
    }

    /// As [`Router::send`], for a request that may be repeated, or may not, other than its method says.
    ///
    /// # Errors
    /// As [`Router::send`].
    pub async fn send_with(
        &self,
        key: &[u8],
        request: Request<Bytes>,
        repeat: Repeat,
    ) -> Result<Response<Bytes>, SendError> {
        if key.is_empty() {
            let reason = "the key is empty; a key has at least one byte".to_owned();
            return Err(SendError::Request { reason });
        }
        let parcel = self.inner.pack(request, repeat)?;
        let partition = self
            .inner
            .with_table(parcel.deadline, |table| table.partition(key))
            .await?;
        self.inner.deliver(partition, &parcel).await
    }

    /// As [`Router::send_with`], to the primary of a partition.
    ///
    /// # Errors
    /// As [`Router::send`].
    pub async fn send_to(
        &self,
        partition: PartitionId,
        request: Request<Bytes>,
        repeat: Repeat,
    ) -> Result<Response<Bytes>, SendError> {
        let parcel = self.inner.pack(request, repeat)?;
        let partitions = self
            .inner
            .with_table(parcel.deadline, RouteTable::partitions)
            .await?;
        if partition.0 >= partitions {
            let reason = format!("{partition} does not exist; there are {partitions} partitions");
            return Err(SendError::Request { reason });
        }
        self.inner.deliver(partition, &parcel).await
    }
}

impl Inner {
    fn pack(&self, request: Request<Bytes>, repeat: Repeat) -> Result<Parcel, SendError> {
        self.counters.requests.add();
        let (head, body) = request.into_parts();
        let refused = |reason: String| SendError::Request { reason };
        let target = head.uri.path_and_query().cloned().ok_or_else(|| {
            refused(format!(
                "{} has no path; give it one, such as /kv/a",
                head.uri
            ))
        })?;
        let (length, most) = (body.len(), self.config.body_bytes_max);
        if length > most {
            let reason = format!("a body of {length} bytes is too large; at most {most} are sent");
            return Err(refused(reason));
        }
        let safe = match repeat {
            Repeat::ByMethod => head.method == Method::GET || head.method == Method::HEAD,
            Repeat::Always => true,
            Repeat::Never => false,
        };
        let deadline = Instant::now() + self.config.timeout;
        Ok(Parcel {
            head,
            target,
            body,
            safe,
            deadline,
        })
    }

    /// Looks something up in the table, once there is one.
    async fn with_table<T>(
        &self,
        deadline: Instant,
        look: impl Fn(&RouteTable) -> T,
    ) -> Result<T, SendError> {
        let mut tries = 0;
        loop {
            if let Some(table) = &*self.current.load() {
                return Ok(look(table));
            }
            let asked = tokio::time::timeout_at(deadline, self.refresh()).await;
            let error = match asked {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(_) => ClientError::TimedOut {
                    server: self.client.servers()[0].clone(),
                    after: self.config.timeout,
                    change: false,
                },
            };
            let at = self.pace.next(tries, None);
            tries += 1;
            if at >= deadline || !error.is_retryable() {
                return Err(SendError::NoTable(error));
            }
            tokio::time::sleep_until(at).await;
        }
    }

    async fn deliver(
        &self,
        partition: PartitionId,
        parcel: &Parcel,
    ) -> Result<Response<Bytes>, SendError> {
        let (mut attempts, mut followed, mut retries) = (0, 0, 0);
        let mut next = None;
        loop {
            attempts += 1;
            let mut changed = self.changed.subscribe();
            let (to, fence) = self.whither(partition, next.take());
            let then = match &to {
                Some(to) => self.attempt(parcel, to, fence.clone(), attempts).await,
                None => self.nobody(partition, attempts),
            };
            let (otherwise, follow, pause) = match then {
                Then::Done(done) => return done,
                Then::Again {
                    otherwise,
                    follow,
                    pause,
                    next: told,
                } => {
                    next = told;
                    (otherwise, follow, pause)
                }
            };
            if attempts >= self.config.attempts_max {
                return Err(otherwise);
            }
            let is_elsewhere = || self.whither(partition, None) != (to.clone(), fence.clone());
            if follow && followed < FOLLOWED_MAX && is_elsewhere() {
                followed += 1;
                self.counters.followed.add();
                continue;
            }
            followed = 0;
            self.wanted.notify_one();
            let at = self.pace.next(retries, pause);
            retries += 1;
            if at >= parcel.deadline {
                return Err(otherwise);
            }
            self.counters.retries.add();
            // A table that knows another place is better than any pause.
            let moved = async { while changed.changed().await.is_ok() && !is_elsewhere() {} };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = moved, if next.is_none() => {}
            }
        }
    }

    /// Where a request about the partition goes, and the grant it names.
    fn whither(
        &self,
        partition: PartitionId,
        told: Option<Authority>,
    ) -> (Option<Authority>, Option<HeaderValue>) {
        if told.is_some() {
            // It takes the role over by a grant that is not known here.
            return (told, None);
        }
        let table = self.current.load();
        let Some(route) = table.as_ref().and_then(|table| table.route(partition)) else {
            return (None, None);
        };
        let to = route.primary.as_ref().and_then(|node| node.authority());
        let fence = to.and_then(|_| HeaderValue::try_from(route.fence()).ok());
        (to.cloned(), fence)
    }

    fn nobody(&self, partition: PartitionId, attempts: u32) -> Then {
        Then::Again {
            otherwise: SendError::NoPrimary {
                partition,
                attempts,
            },
            follow: false,
            pause: None,
            next: None,
        }
    }

    async fn attempt(
        &self,
        parcel: &Parcel,
        to: &Authority,
        fence: Option<HeaderValue>,
        attempts: u32,
    ) -> Then {
        self.counters.attempts.add();
        let left = parcel.deadline.saturating_duration_since(Instant::now());
        let within = if parcel.safe {
            left.min(self.config.attempt_timeout)
        } else {
            left
        };
        let exchange = self.exchange(parcel, to, fence);
        let broke = match tokio::time::timeout(within, exchange).await {
            Ok(Ok(answer)) => return self.judge(parcel, answer, attempts),
            Ok(Err(broke)) => broke,
            Err(_) => Broke::Sent(format!("no answer within {within:?}")),
        };
        let server = to.to_string();
        let otherwise = match broke {
            Broke::NotSent(reason) => SendError::Unreachable {
                attempts,
                server,
                reason,
            },
            Broke::Sent(reason) => SendError::Broken {
                server,
                reason,
                change: !parcel.safe,
            },
        };
        if otherwise.is_outcome_unknown() {
            self.wanted.notify_one();
            return Then::Done(Err(otherwise));
        }
        Then::Again {
            otherwise,
            follow: false,
            pause: None,
            next: None,
        }
    }

    /// What an answer means: it is the one that was asked for, or a sign where to go.
    fn judge(&self, parcel: &Parcel, answer: Response<Bytes>, attempts: u32) -> Then {
        self.note_version(answer.headers());
        let status = answer.status().as_u16();
        if !matches!(status, 409 | 421 | 502..=504) {
            return Then::Done(Ok(answer));
        }
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_problem = kind.is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes());
        let problem = is_problem.then(|| serde_json::from_slice::<Problem>(answer.body()));
        let Some(Ok(problem)) = problem else {
            return Then::Done(Ok(answer));
        };
        let code = problem.known_code();
        let not_done = code.is_some_and(Code::is_not_done);
        // What may have been done is repeated only where that is the same.
        let may_pass = parcel.safe && matches!(status, 502..=504);
        if !(not_done || may_pass) {
            return Then::Done(Ok(answer));
        }
        if let Some(newest) = &problem.newest {
            self.note((newest.incarnation, newest.version));
            if matches!(code, Some(Code::NotOwner | Code::EpochOld)) {
                self.learn(newest);
            }
        }
        let next = problem.newest.as_ref().and_then(|newest| {
            let address = newest.next_address.as_ref()?;
            address.parse().ok().filter(|_| code == Some(Code::Moving))
        });
        Then::Again {
            follow: matches!(code, Some(Code::NotOwner | Code::EpochOld)),
            pause: problem.retry_after_ms.map(Duration::from_millis),
            otherwise: SendError::Refused {
                attempts,
                problem: Box::new(problem),
            },
            next,
        }
    }

    fn note_version(&self, headers: &HeaderMap) {
        let text = headers
            .get(CK_VERSION)
            .and_then(|value| value.to_str().ok());
        let named = text.and_then(|text| text.split_once('.'));
        if let Some((incarnation, version)) = named
            && let (Ok(incarnation), Ok(version)) = (incarnation.parse(), version.parse())
            && self.is_news((incarnation, version))
        {
            self.note((incarnation, version));
        }
    }
}
