//! Certificates, keys and authorities in PEM.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// Largest file that is read: a long chain has some tens of kilobytes.
const BYTES_MAX: u64 = 1 << 20;

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Read {
            file: file.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(TlsError::TooLarge {
            file: file.to_owned(),
            limit: BYTES_MAX,
        });
    }
    Ok(bytes)
}

/// A certificate with those between it and its authority.
pub(crate) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let bytes = read(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| TlsError::Damaged {
        file: file.to_owned(),
        what,
        reason: error.to_string(),
    })?;
    if chain.is_empty() {
        return Err(TlsError::Nothing {
            file: file.to_owned(),
            what,
        });
    }
    Ok(chain)
}

/// A private key.
pub(crate) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(file)?;
    // What the reader says of a file without a key is of no more use than this, and quotes nothing.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsError::Nothing {
        file: file.to_owned(),
        what: "private key",
    })
}

/// The authorities of a file.
pub(crate) fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Authority {
                file: file.to_owned(),
                reason: error.to_string(),
            })?;
    }
    Ok(roots)
}
