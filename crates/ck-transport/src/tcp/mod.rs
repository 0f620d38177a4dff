//! Peers over TCP.

mod client;
mod config;
mod link;
mod pool;
mod server;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ck_core::NodeId;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::closing::Closing;
use crate::limits::{Budget, DEADLINE_MAX};
use crate::{Address, BoxFuture, PeerId, Reply, Request, Service, Transport, TransportError};

use self::client::Failure;
use self::link::Link;
use self::pool::Pool;
use self::server::Server;
use self::socket::{End, Socket};
use self::wire::FrameReader;

pub use self::config::TcpConfig;

/// Connections turned away at the same time with a word; beyond that, without one.
const TURNED_AWAY_MAX: usize = 64;
/// Pause after the operating system could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a shutdown waits for its connections.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// A transport over TCP: one connection for each address dialled, on which calls are multiplexed.
///
/// Small calls overtake large ones: what does not fit in 64 KiB travels in pieces of that size.
/// Without [`TcpConfig::tls`] there is no encryption and no authentication: a peer is who it says it is.
/// Dropping the transport closes it, as [`Transport::shutdown`] does, without waiting.
pub struct TcpTransport {
    core: Arc<Core>,
    local: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// What the connections share.
struct Core {
    config: TcpConfig,
    me: watch::Sender<PeerId>,
    service: Arc<dyn Service>,
    closing: Closing,
    accepted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    buffered: Arc<Budget>,
    pool: Pool,
    tasks: watch::Sender<usize>,
}

impl TcpTransport {
    /// Listens, and hands the requests of peers to `service`.
    ///
    /// # Errors
    /// [`TransportError::Bind`], naming the address, when it cannot be taken;
    /// [`TransportError::Config`] when a bound is too small to work;
    /// [`TransportError::OwnCertificate`] when the certificate is another node's.
    pub async fn bind(
        config: TcpConfig,
        me: PeerId,
        service: Arc<dyn Service>,
    ) -> Result<Arc<Self>, TransportError> {
        config.check()?;
        config.check_certificate(&me.node)?;
        let refused = |error| TransportError::Bind {
            address: config.listen.clone(),
            source: Arc::new(error),
        };
        let listener = TcpListener::bind(&config.listen).await.map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        let core = Arc::new(Core {
            me: watch::Sender::new(me),
            service,
            closing: Closing::new(),
            accepted: Arc::new(Semaphore::new(config.connections_max)),
            running: Arc::new(Semaphore::new(config.limits.requests_max)),
            buffered: Budget::new(config.limits.buffered_bytes_max),
            pool: Pool::default(),
            tasks: watch::Sender::new(0),
            config,
        });
        let accepting = Mutex::new(Some(tokio::spawn(Arc::clone(&core).accept(listener))));
        Ok(Arc::new(Self {
            core,
            local,
            accepting,
        }))
    }
}

impl Transport for TcpTransport {
    fn call<'a>(
        &'a self,
        to: &'a Address,
        request: Request,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(PeerId, Reply), TransportError>> {
        let deadline = deadline.min(DEADLINE_MAX);
        Box::pin(async move {
            self.core
                .config
                .limits
                .check_payload(request.payload.len() as u64)?;
            let expires = Instant::now() + deadline;
            tokio::select! {
                biased;
                reason = self.core.closing.closed() => Err(reason),
                done = timeout_at(expires, self.core.call(to, request, expires)) => {
                    done.unwrap_or_else(|_| {
                        let address = to.peer.clone();
                        Err(TransportError::Timeout { address, after: deadline })
                    })
                }
            }
        })
    }

    fn identify(&self, me: PeerId) {
        self.core.me.send_replace(me);
        self.core.pool.forget_failures();
    }

    fn local_address(&self) -> String {
        self.local.to_string()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.core.closing.close(TransportError::Closed);
            let accepting = self.accepting.lock().take();
            if let Some(accepting) = accepting {
                // It ends because of the line above; that it panicked is of no use any more.
                let _ = accepting.await;
            }
            let mut tasks = self.core.tasks.subscribe();
            if timeout(SHUTDOWN_MAX, tasks.wait_for(|count| *count == 0))
                .await
                .is_err()
            {
                tracing::warn!("connections are still open {SHUTDOWN_MAX:?} after the shutdown");
            }
        })
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.core.closing.close(TransportError::Closed);
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport")
            .field("local", &self.local)
            .field("me", &*self.core.me.borrow())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// One call, on a pooled connection, or on a new one when that turns out to be of no use
    /// before anything was written.
    async fn call(
        self: &Arc<Self>,
        to: &Address,
        mut request: Request,
        expires: Instant,
    ) -> Result<(PeerId, Reply), TransportError> {
        let mut again = true;
        loop {
            let (connection, fresh) = self.connection(to).await?;
            let peer = connection.link.peer();
            self.me.borrow().check_cluster(&to.peer, &peer)?;
            if let Err(wrong) = to.check(&peer) {
                if fresh || !std::mem::take(&mut again) {
                    return Err(wrong);
                }
                // It may have learnt its number since, and the news be on their way.
                self.pool.retire(&to.peer, &connection);
                continue;
            }
            match connection.exchange(request, expires).await {
                Ok((who, reply)) => return to.check(&who).map(|()| (who, reply)),
                Err(Failure::Failed(error)) => return Err(error),
                Err(Failure::Unsent(unsent, error)) => {
                    if !std::mem::take(&mut again) {
                        return Err(error);
                    }
                    request = unsent;
                }
            }
        }
    }

    /// Accepts connections until the transport is shut down.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                _ = self.closing.closed() => return,
                accepted = listener.accept() => accepted,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Ok(permit) = Arc::clone(&self.accepted).try_acquire_owned() {
                let core = Arc::clone(&self);
                self.spawn(async move {
                    let _permit = permit;
                    tokio::select! {
                        biased;
                        _ = core.closing.closed() => {}
                        () = core.serve(socket, from) => {}
                    }
                });
            } else if self.config.tls.is_some() {
                // A word would need a handshake, which costs more than the connection saves.
                tracing::debug!(%from, "no room for another connection");
            } else if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
                let limit = self.config.connections_max as u64;
                tracing::debug!(%from, limit, "no room for another connection");
                self.spawn(async move {
                    let _permit = permit;
                    wire::turn_away(socket, limit).await;
                });
            }
        }
    }

    /// One accepted connection, from its hello to its end.
    async fn serve(self: &Arc<Self>, socket: TcpStream, from: SocketAddr) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%from, %error, "small frames may be delayed");
        }
        let mut me = self.me.subscribe();
        let hello = me.borrow_and_update().clone();
        let address = from.to_string();
        let welcoming = self.welcome(socket, &address, hello);
        let Met {
            reader,
            peer,
            certified,
        } = match timeout(self.config.hello_timeout, welcoming).await {
            Ok(Ok(met)) => met,
            Ok(Err(failure)) => {
                let error = failure.at(&address);
                if error.is_fatal() {
                    tracing::warn!(%error, "a peer was refused");
                } else {
                    tracing::debug!(%error, "no hello");
                }
                return;
            }
            Err(_) => {
                tracing::debug!(%from, "no hello in time");
                return;
            }
        };
        let (link, outbox) = Link::new(address, peer, certified);
        let (reader, writer) = wire::split(reader);
        let server = Server::new(Arc::clone(self), Arc::clone(&link));
        let (beat, silence_max) = (self.config.beat(), self.config.silence_max);
        let reason = tokio::select! {
            reason = server.read(reader) => reason,
            reason = outbox.write(writer, me, beat, silence_max) => reason,
        };
        tracing::debug!(%from, %reason, "an accepted connection ended");
        link.closing.close(reason);
    }

    /// Shakes hands, where that is asked for, and says hello.
    async fn welcome(
        &self,
        socket: TcpStream,
        address: &str,
        hello: PeerId,
    ) -> Result<Met, wire::Failure> {
        let tls = self.config.tls.as_ref();
        let (socket, certified) = Socket::secure(socket, tls, End::Accepting).await?;
        let mut reader = FrameReader::new(socket, address.to_owned());
        let peer = wire::welcome(&mut reader, hello, &*self.service, certified.as_ref()).await?;
        Ok(Met {
            reader,
            peer,
            certified,
        })
    }

    /// Spawns a task that a shutdown waits for. Bounded by who calls it.
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let counted = Counted::new(Arc::clone(self));
        tokio::spawn(async move {
            let _counted = counted;
            task.await;
        });
    }
}

/// A peer that has said hello.
struct Met {
    reader: FrameReader<Socket>,
    peer: PeerId,
    certified: Option<NodeId>,
}

/// A task that runs.
struct Counted(Arc<Core>);

impl Counted {
    fn new(core: Arc<Core>) -> Self {
        core.tasks.send_modify(|count| *count += 1);
        Self(core)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.send_modify(|count| *count -= 1);
    }
}

/// Resolves when `is_idle`, asked at every beat.
async fn idle(beat: Duration, is_idle: impl Fn() -> bool) {
    loop {
        tokio::time::sleep(beat).await;
        if is_idle() {
            return;
        }
    }
}
