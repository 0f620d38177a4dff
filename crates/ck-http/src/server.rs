//! A surface on an address of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ck_tls::{Caller, ServerStream, ServerTls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection;
use crate::routes::Routes;
use crate::surface::Surface;

/// Refused connections that are told so at a time; more are closed without a word.
const REFUSALS_MAX: usize = 64;

/// Time a refused connection gets to take its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause after a failed accept, as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection over the limit is answered. Written before any request is read.
const REFUSAL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\n",
    "content-type: application/problem+json\r\n",
    "connection: close\r\nretry-after: 1\r\ncontent-length: 196\r\n\r\n",
    r#"{"type":"urn:clusterkit:problem:overloaded","title":"The server is at one of its limits","#,
    r#""status":503,"detail":"too many connections are open; try again","#,
    r#""code":"overloaded","retry_after_ms":1000}"#,
);

/// A bound address, ready to serve.
///
/// Binding comes first, so that a node can be told its own address before it starts; callers that
/// connect meanwhile wait until [`Server::run`].
///
/// ```no_run
/// # async fn example(backend: std::sync::Arc<dyn ck_http::Backend>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use ck_http::{Server, Surface, SurfaceConfig};
/// let server = Server::bind("127.0.0.1:8080").await?;
/// let surface = Surface::new(SurfaceConfig::default(), backend)?;
/// server.run(surface, std::future::pending()).await;
/// # Ok(()) }
/// ```
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ServerTls>,
    routes: Option<Arc<dyn Routes>>,
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process, or another part of this one, listens there.
    #[error("{address} is in use by another process; choose another port or stop that process")]
    InUse {
        /// The address as given.
        address: String,
    },
    /// Anything else, such as a name that does not resolve or a port that needs privileges.
    #[error("{address} cannot be listened on: {source}; check the name and the port")]
    Refused {
        /// The address as given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Server {
    /// Listens on `address`, `host:port`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`] names the address.
    pub async fn bind(address: &str) -> Result<Self, BindError> {
        let bound = match TcpListener::bind(address).await {
            Ok(listener) => listener.local_addr().map(|address| (listener, address)),
            Err(error) => Err(error),
        };
        match bound {
            Ok((listener, address)) => Ok(Self {
                listener,
                address,
                tls: None,
                routes: None,
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::InUse {
                address: address.to_owned(),
            }),
            Err(source) => Err(BindError::Refused {
                address: address.to_owned(),
                source,
            }),
        }
    }

    /// The address listened on, with the real port.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the application's routes as well, where the surface has none.
    #[must_use]
    pub fn with_routes(mut self, routes: Arc<dyn Routes>) -> Self {
        self.routes = Some(routes);
        self
    }

    /// Speaks TLS, and nothing else. Without it nothing is encrypted.
    #[must_use]
    pub fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves until `shutdown` is done, then lets requests under way end, at most `stop_timeout`.
    /// Dropping the future ends everything at once.
    pub async fn run(self, surface: Surface, shutdown: impl Future<Output = ()>) {
        let limits = &surface.core.config.limits;
        let places = Arc::new(Semaphore::new(limits.connections_max));
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        // From the start, so that a watcher that was elsewhere before finds what changed since.
        surface.core.feed();
        loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection ended by a defect; report this");
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => {
                            let serving = Serving {
                                surface: surface.clone(),
                                routes: self.routes.clone(),
                                tls: self.tls.clone(),
                                stop: stopped.clone(),
                                _place: place,
                            };
                            tasks.spawn(serving.serve(stream));
                        }
                        Err(_) => {
                            surface.core.counters.connection_refused();
                            // Without a permit the stream is dropped, which closes it. So is one that would
                            // have to be encrypted first, which costs more than it was refused for.
                            if self.tls.is_none()
                                && let Ok(permit) = Arc::clone(&refusals).try_acquire_owned()
                            {
                                tasks.spawn(refuse(stream, permit));
                            }
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        // Nobody new from here on: the port is free for the next process.
        drop(self.listener);
        surface.close_streams();
        stop.send_replace(true);
        let ending = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.stop_timeout, ending)
            .await
            .is_err()
        {
            tracing::warn!(
                open = tasks.len(),
                "connections were cut off at the end of the stop"
            );
        }
        tasks.shutdown().await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What one connection is served with.
struct Serving {
    surface: Surface,
    routes: Option<Arc<dyn Routes>>,
    tls: Option<ServerTls>,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Serving {
    async fn serve(mut self, stream: TcpStream) {
        let _open = Open::new(&self.surface);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            return;
        }
        match self.tls.take() {
            None => {
                let caller = Caller::NotAsked;
                connection::serve(stream, caller, self.surface, self.routes, self.stop).await;
            }
            // On the heap, or every connection would be as large as an encrypted one.
            Some(tls) => Box::pin(self.serve_encrypted(tls, stream)).await,
        }
    }

    async fn serve_encrypted(mut self, tls: ServerTls, stream: TcpStream) {
        if let Some((stream, caller)) = self.shake_hands(&tls, stream).await {
            connection::serve(stream, caller, self.surface, self.routes, self.stop).await;
        }
    }

    /// An encrypted stream, unless the caller speaks something else, is too slow, or the server stops.
    async fn shake_hands(
        &mut self,
        tls: &ServerTls,
        stream: TcpStream,
    ) -> Option<(ServerStream, Caller)> {
        let within = self.surface.core.config.limits.handshake_timeout;
        tokio::select! {
            shaken = tokio::time::timeout(within, tls.accept(stream)) => match shaken {
                Ok(Ok(shaken)) => Some(shaken),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no handshake");
                    None
                }
                Err(_) => {
                    tracing::debug!("no handshake in time");
                    None
                }
            },
            _ = self.stop.changed() => None,
        }
    }
}

/// Counts a connection for as long as it is open, however it ends.
struct Open(Surface);

impl Open {
    fn new(surface: &Surface) -> Self {
        surface.core.counters.connection_opened();
        Self(surface.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.core.counters.connection_closed();
    }
}

async fn refuse(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let telling = async {
        stream.write_all(REFUSAL.as_bytes()).await?;
        stream.shutdown().await?;
        // What has been sent is read, or the close would be a reset that overtakes the answer.
        let mut rest = [0; 1024];
        for _ in 0..64 {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whether it could be told makes no difference to us.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, telling).await;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::Request;

    use super::*;
    use crate::SurfaceConfig;
    use crate::fake::Fake;

    #[test]
    fn the_refusal_is_a_whole_problem() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let problem: ck_api::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.known_code(), Some(ck_api::Code::Overloaded));
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = Server::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_address().to_string();
        let error = Server::bind(&address).await.unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }));
        assert!(error.to_string().contains(&address));
        let error = Server::bind("no port").await.unwrap_err();
        assert!(error.to_string().contains("no port"), "{error}");
    }

    /// Connections at rest are many: what each of them holds of our own is watched here. What hyper
    /// and the system keep comes on top.
    #[tokio::test]
    async fn a_connection_at_rest_is_small() {
        let fake = Arc::new(Fake::with_partitions(Default::default(), 3));
        let surface = Surface::new(SurfaceConfig::default(), fake).unwrap();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(server.local_address()).await.unwrap();
        let places = Arc::new(Semaphore::new(1));
        let request = Request::new(Empty::<Bytes>::new());
        let size = size_of_val(&surface.handle(request));
        assert!(size <= 3072, "{size} bytes for its request");
        let serving = Serving {
            surface,
            routes: None,
            tls: None,
            stop: watch::channel(false).1,
            _place: places.try_acquire_owned().unwrap(),
        };
        let size = size_of_val(&serving.serve(stream));
        assert!(size <= 2048, "{size} bytes a connection");
    }
}
