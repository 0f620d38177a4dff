//! Dialled connections, one for each address.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::{Address, PeerId, TransportError};

use super::client::Connection;
use super::link::Link;
use super::socket::{End, Socket};
use super::wire::{self, FrameReader};
use super::{Core, Met, idle};

/// Addresses tried of those that a name resolves to.
const RESOLVED_MAX: usize = 8;

type Dialled = Result<Arc<Connection>, TransportError>;

enum Slot {
    /// One dial is under way for all who ask; it outlives them, so that short deadlines add up to
    /// a connection.
    Dialling(watch::Receiver<Option<Dialled>>),
    Open(Arc<Connection>),
    Failed {
        until: Instant,
        error: TransportError,
    },
}

/// What is known of each address. Bounded by `connections_max`.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<String, Slot>>);

impl Pool {
    /// Hands out `connection` no more; it closes when its calls are done.
    pub(super) fn retire(&self, address: &str, connection: &Arc<Connection>) {
        connection.retire();
        self.forget(address, connection);
    }

    /// Forgets failures, since this side is somebody else now.
    pub(super) fn forget_failures(&self) {
        self.0
            .lock()
            .retain(|_, slot| !matches!(slot, Slot::Failed { .. }));
    }

    fn forget(&self, address: &str, connection: &Arc<Connection>) {
        let mut slots = self.0.lock();
        if matches!(slots.get(address), Some(Slot::Open(open)) if Arc::ptr_eq(open, connection)) {
            slots.remove(address);
        }
    }
}

impl Core {
    /// The connection to `address`, dialled when there is none; and whether it was dialled for
    /// this call.
    pub(super) async fn connection(
        self: &Arc<Self>,
        to: &Address,
    ) -> Result<(Arc<Connection>, bool), TransportError> {
        let address = to.peer.as_str();
        let mut dial = {
            let mut slots = self.pool.0.lock();
            match slots.get(address) {
                Some(Slot::Open(open)) if open.link.closing.reason().is_none() => {
                    return Ok((Arc::clone(open), false));
                }
                Some(Slot::Failed { until, error }) if Instant::now() < *until => {
                    return Err(error.clone());
                }
                Some(Slot::Dialling(dial)) => dial.clone(),
                _ => self.begin(&mut slots, address, to.expected)?,
            }
        };
        let dialled = match dial.wait_for(Option::is_some).await {
            Ok(dialled) => dialled.clone(),
            Err(_) => None,
        };
        dialled
            .unwrap_or(Err(TransportError::Closed))
            .map(|connection| (connection, true))
    }

    fn begin(
        self: &Arc<Self>,
        slots: &mut HashMap<String, Slot>,
        address: &str,
        expects: Option<u64>,
    ) -> Result<watch::Receiver<Option<Dialled>>, TransportError> {
        let max = self.config.connections_max;
        if slots.len() >= max && !slots.contains_key(address) {
            let now = Instant::now();
            slots.retain(|_, slot| match slot {
                Slot::Dialling(_) => true,
                Slot::Open(open) => open.link.closing.reason().is_none(),
                Slot::Failed { until, .. } => now < *until,
            });
            if slots.len() >= max {
                return Err(TransportError::Busy { limit: max as u64 });
            }
        }
        let (done, dial) = watch::channel(None);
        slots.insert(address.to_owned(), Slot::Dialling(dial.clone()));
        let (core, address) = (Arc::clone(self), address.to_owned());
        self.spawn(async move {
            let dialled = tokio::select! {
                biased;
                reason = core.closing.closed() => Err(reason),
                dialled = core.dial(&address, expects) => dialled,
            };
            let slot = match &dialled {
                Ok(connection) => Slot::Open(Arc::clone(connection)),
                Err(error) => {
                    let until = Instant::now() + core.config.redial_after;
                    Slot::Failed {
                        until,
                        error: error.clone(),
                    }
                }
            };
            core.pool.0.lock().insert(address, slot);
            done.send_replace(Some(dialled));
        });
        Ok(dial)
    }

    async fn dial(self: &Arc<Self>, address: &str, expects: Option<u64>) -> Dialled {
        let unreachable = |error: io::Error| TransportError::Unreachable {
            address: address.to_owned(),
            source: Arc::new(error),
        };
        let limit = self.config.connect_timeout;
        let resolved = match timeout(limit, lookup_host(address)).await {
            Ok(resolved) => resolved.map_err(unreachable)?,
            Err(_) => return Err(unreachable(io::ErrorKind::TimedOut.into())),
        };
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for target in resolved.take(RESOLVED_MAX) {
            match timeout(limit, TcpStream::connect(target)).await {
                Ok(Ok(socket)) => return self.open(address, expects, socket).await,
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(unreachable(failed))
    }

    /// Says hello, and sets the connection going.
    async fn open(
        self: &Arc<Self>,
        address: &str,
        expects: Option<u64>,
        socket: TcpStream,
    ) -> Dialled {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(address, %error, "small frames may be delayed");
        }
        let mut me = self.me.subscribe();
        let hello = me.borrow_and_update().clone();
        let hello_timeout = self.config.hello_timeout;
        let greeting = self.greet(address, expects, socket, hello.clone());
        let Met {
            reader,
            peer,
            certified,
        } = match timeout(hello_timeout, greeting).await {
            Ok(greeted) => greeted.map_err(|failure| failure.at(address))?,
            Err(_) => {
                let address = address.to_owned();
                return Err(TransportError::Timeout {
                    address,
                    after: hello_timeout,
                });
            }
        };
        hello.check_cluster(address, &peer)?;
        let (link, outbox) = Link::new(address.to_owned(), peer, certified);
        let (limits, buffered) = (self.config.limits.clone(), Arc::clone(&self.buffered));
        let connection = Connection::new(link, limits, buffered);
        let (core, opened) = (Arc::clone(self), Arc::clone(&connection));
        self.spawn(async move {
            let (reader, writer) = wire::split(reader);
            let (beat, silence_max) = (core.config.beat(), core.config.silence_max);
            let idle_max = core.config.idle_max;
            let reason = tokio::select! {
                reason = opened.read(reader, me.clone(), silence_max) => reason,
                reason = outbox.write(writer, me.clone(), beat, silence_max) => reason,
                reason = core.closing.closed() => reason,
                () = idle(beat, || opened.is_idle(idle_max)) => TransportError::Closed,
            };
            tracing::debug!(address = opened.link.address, %reason, "a dialled connection ended");
            opened.link.closing.close(reason);
            core.pool.forget(&opened.link.address, &opened);
            opened.end();
        });
        Ok(connection)
    }

    /// Shakes hands, where that is asked for, and says hello.
    async fn greet(
        &self,
        address: &str,
        expects: Option<u64>,
        socket: TcpStream,
        hello: PeerId,
    ) -> Result<Met, wire::Failure> {
        let tls = self.config.tls.as_ref();
        let (socket, certified) = Socket::secure(socket, tls, End::Dialling).await?;
        let mut reader = FrameReader::new(socket, address.to_owned());
        let peer = wire::greet(&mut reader, hello, expects, certified.as_ref()).await?;
        Ok(Met {
            reader,
            peer,
            certified,
        })
    }
}
