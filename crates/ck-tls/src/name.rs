//! Which node a certificate is of.

use ck_core::NodeId;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::TlsError;

/// The DNS name that every certificate for peers has beside its node's URI: who dials does not know
/// yet which node will answer, and asks for this.
pub const PEER_NAME: &str = "peer.clusterkit.internal";

const NODE: &str = "urn:clusterkit:node:";

/// The URI by which a certificate names a node: `urn:clusterkit:node:` and its id, where bytes other
/// than letters, digits, `-`, `.`, `_` and `~` are percent-encoded.
///
/// ```
/// let id = ck_core::NodeId::new("rack 7/node-1")?;
/// assert_eq!(ck_tls::node_uri(&id), "urn:clusterkit:node:rack%207%2Fnode-1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn node_uri(node: &NodeId) -> String {
    let mut uri = NODE.to_owned();
    for byte in node.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// The node that a URI names, if it is one of those. One that [`node_uri`] would write otherwise names
/// none: there is one name for each node.
fn node_of_uri(uri: &str) -> Option<NodeId> {
    let encoded = uri.strip_prefix(NODE)?;
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    let node = NodeId::new(std::str::from_utf8(&bytes).ok()?).ok()?;
    (node_uri(&node) == uri).then_some(node)
}

/// The node that a certificate is of. Whether it can be trusted is another question.
pub(crate) fn node_of(certificate: &CertificateDer<'_>) -> Result<NodeId, TlsError> {
    let unnamed = |found| TlsError::NodeName {
        found,
        example: format!("{NODE}node-1"),
    };
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| unnamed(0))?;
    let mut named: Vec<_> = certificate
        .valid_uri_names()
        .filter_map(node_of_uri)
        .collect();
    match (named.pop(), named.len()) {
        (Some(node), 0) => Ok(node),
        (last, others) => Err(unnamed(others + usize::from(last.is_some()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_one_name() {
        for id in [
            "node-1",
            "a b",
            "%41",
            "é/ü",
            "A.b_c~d",
            "urn:clusterkit:node:x",
        ] {
            let node = NodeId::new(id).unwrap();
            assert_eq!(node_of_uri(&node_uri(&node)), Some(node), "{id}");
        }
        for other in [
            "urn:clusterkit:node:",
            "urn:clusterkit:node:%",
            "urn:clusterkit:node:%4",
            "urn:clusterkit:node:%zz",
            "urn:clusterkit:node:%+1",
            "urn:clusterkit:node:%C3",
            "urn:clusterkit:node:%6eode-1",
            "urn:clusterkit:node:a b",
            "urn:clusterkit:peer:node-1",
            "https://node-1",
        ] {
            assert_eq!(node_of_uri(other), None, "{other}");
        }
    }
}
