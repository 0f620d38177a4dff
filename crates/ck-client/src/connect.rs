//! How connections are made: plain or encrypted, within a time.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ck_tls::ClientTls;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service;

/// Makes connections to servers.
pub(crate) type Connector = Timed<HttpsConnector<HttpConnector>>;

type BoxError = Box<dyn Error + Send + Sync>;

/// A connector of which each connection attempt has `within`, its handshake included.
pub(crate) fn connector(within: Duration, tls: Option<&ClientTls>) -> Connector {
    let mut plain = HttpConnector::new();
    plain.set_nodelay(true);
    plain.set_connect_timeout(Some(within));
    plain.enforce_http(false);
    let config = tls.cloned().unwrap_or_default().config();
    let inner = HttpsConnectorBuilder::new()
        .with_tls_config((*config).clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain);
    Timed { inner, within }
}

/// Gives up what takes too long. A server that takes a connection and then shakes no hands would
/// otherwise hold it for ever.
#[derive(Debug, Clone)]
pub(crate) struct Timed<C> {
    inner: C,
    within: Duration,
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.inner.call(target);
        let within = self.within;
        Box::pin(async move {
            match tokio::time::timeout(within, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
