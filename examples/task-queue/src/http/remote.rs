//! Asking another node about the tasks it has itself.

use std::fmt::Write as _;
use std::time::Duration;

use ck_http::{Bytes, Method, Request, StatusCode};
use ck_serve::{CourierError, set_hops};
use serde::de::DeserializeOwned;

use crate::service::{Core, Other};

/// Why another node told nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("its address cannot be put into a request: {source}")]
    Address { source: ck_http::HttpError },
    #[error(transparent)]
    Courier(#[from] CourierError),
    #[error("it answered {status}")]
    Status { status: StatusCode },
    #[error("its answer cannot be read: {source}")]
    Answer { source: serde_json::Error },
}

/// One question, of what that node has itself.
pub(crate) async fn ask<T: DeserializeOwned>(
    core: &Core,
    other: &Other,
    method: Method,
    target: &str,
    within: Duration,
) -> Result<T, RemoteError> {
    let request = Request::builder().method(method).uri(target);
    let request = request.body(Bytes::new());
    let mut request = request.map_err(|source| RemoteError::Address { source })?;
    // Whoever is asked with it asks nobody else.
    set_hops(request.headers_mut(), 1);
    let answer = core.courier.send(&other.address, request, within).await?;
    if answer.status() != StatusCode::OK {
        let status = answer.status();
        return Err(RemoteError::Status { status });
    }
    serde_json::from_slice(answer.body()).map_err(|source| RemoteError::Answer { source })
}

/// Bytes as they stand in a path or a query.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_letter_is_encoded() {
        assert_eq!(encoded(b"mail.out-1"), "mail.out-1");
        assert_eq!(encoded(b"a/b?c%"), "a%2Fb%3Fc%25");
    }
}
