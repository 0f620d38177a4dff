//! One connection to one server, one request at a time.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::access::Access;
use crate::route::Server;

/// Most bytes of an answer: the largest value, and room for what a gateway makes of it.
const ANSWER_BYTES_MAX: usize = 12 << 20;

/// A connection that is made when it is needed and dropped when it fails.
#[derive(Debug)]
pub(crate) struct Connection {
    server: Server,
    access: Access,
    host: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
    sender: Option<Sender>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// No byte of the request left.
    NotSent,
    /// Something may have.
    Unknown,
}

impl Connection {
    /// To that server, not made yet.
    pub(crate) fn new(server: Server, access: Access) -> Self {
        let host = format!("{}:{}", server.host, server.address.port());
        Self {
            host: HeaderValue::try_from(host).ok(),
            authorization: access.authorization(),
            server,
            access,
            sender: None,
        }
    }

    /// Sends a request and waits for the whole answer, at most so long.
    pub(crate) async fn exchange(
        &mut self,
        request: hyper::Request<Bytes>,
        within: Duration,
    ) -> Result<Reply, Broken> {
        let mut request = request.map(Full::new);
        if let Some(host) = self.host.clone() {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(shown) = self.authorization.clone() {
            request.headers_mut().insert(AUTHORIZATION, shown);
        }
        let mut sent = false;
        let all = async {
            let sender = self.connected().await?;
            sent = true;
            let answered = sender.try_send_request(request).await;
            let response = answered.map_err(|mut error| {
                // Given back, it was never written.
                let whole = error.take_message().is_some();
                if whole {
                    Broken::NotSent
                } else {
                    Broken::Unknown
                }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body: body.map_err(|_| Broken::Unknown)?.to_bytes(),
            })
        };
        let timed = tokio::time::timeout(within, all).await;
        let reply = timed.unwrap_or(Err(Broken::Unknown));
        if reply.is_err() {
            self.sender = None;
        }
        match reply {
            Err(_) if !sent => Err(Broken::NotSent),
            reply => reply,
        }
    }

    /// The sender of a connection that is ready for a request.
    async fn connected(&mut self) -> Result<&mut Sender, Broken> {
        let is_ready = match &mut self.sender {
            // Closed by the server since, where it errs.
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_ready {
            let connected = connect(&self.server, &self.access).await;
            self.sender = Some(connected.map_err(|_| Broken::NotSent)?);
        }
        self.sender.as_mut().ok_or(Broken::NotSent)
    }
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(server: &Server, access: &Access) -> Result<Sender, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    Ok(match &access.tls {
        Some(tls) => ready(tls.connect(&server.host, stream).await?).await?,
        None => ready(stream).await?,
    })
}

async fn ready(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Sender, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors reach whoever sends.
    tokio::spawn(connection);
    sender.ready().await?;
    Ok(sender)
}
