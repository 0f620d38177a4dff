//! Where the collector is.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use serde::Deserialize;

/// The address of a collector, to which `/v1/traces` is added.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Endpoint(String);

/// Why a text is not the address of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of a collector over HTTP; write it as http://127.0.0.1:4318, which a \
     collector beside the node encrypts where that is needed"
)]
pub(crate) struct EndpointError {
    text: String,
}

impl Endpoint {
    /// Where spans are sent.
    pub(crate) fn traces(&self) -> String {
        format!("{}/v1/traces", self.0)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bare = text.trim().trim_end_matches('/');
        let is_one = bare.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("http")
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.query().is_none()
        });
        if is_one {
            Ok(Self(bare.to_owned()))
        } else {
            let text = text.to_owned();
            Err(EndpointError { text })
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_reached_over_http() {
        for (text, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            (" http://h/otlp/ ", "http://h/otlp/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().traces(), traces);
        }
        for text in [
            "",
            "127.0.0.1:4318",
            "https://h",
            "grpc://h:4317",
            "http://",
            "http://h?a=b",
        ] {
            let refused = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(refused.contains("http://127.0.0.1:4318"), "{refused}");
        }
    }
}
