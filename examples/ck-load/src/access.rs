//! How servers are spoken to: whom to trust, and what to show.

use ck_api::Token;
use ck_client::ClientTls;
use hyper::header::HeaderValue;

/// What connections to servers are made with. Default neither: nothing is encrypted, and no token shown.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Whom to trust, where servers speak TLS.
    pub tls: Option<ClientTls>,
    /// What is shown with every request.
    pub token: Option<Token>,
}

impl Access {
    /// The header that shows the token.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let token = self.token.as_ref()?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}
