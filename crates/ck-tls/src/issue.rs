//! An authority of one's own, and certificates of it: for tests and for small clusters.
//!
//! Keys are made and kept where this runs, and nothing is revoked: whoever reads the authority's key is
//! every node there is. A cluster that others depend on has an authority of its operators'.

use std::fmt;
use std::net::IpAddr;

use ck_core::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};

use crate::name::{PEER_NAME, node_uri};

/// Longest time a certificate may be good for, in days: ten years.
pub const DAYS_MAX: u32 = 3653;

/// Most names that a certificate is given.
pub const HOSTS_MAX: usize = 64;

/// The same for every authority made here, so that one that is read again issues under its own name.
const NAME: &str = "ClusterKit test authority";

/// Clocks of nodes may be behind by so much.
const SKEW: Duration = Duration::hours(1);

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A time that no certificate is given.
    #[error("{days} days are out of range; use 1 to {DAYS_MAX}")]
    Days {
        /// The days asked for.
        days: u32,
    },
    /// A certificate without a host, or with too many.
    #[error("{got} hosts are out of range; name 1 to {HOSTS_MAX} at which the node is reached")]
    Hosts {
        /// How many were named.
        got: usize,
    },
    /// Not a host.
    #[error("{host:?} is no host; write a name or an IP address, without a port")]
    Host {
        /// The text as given.
        host: String,
    },
    /// The key is none of an authority, or does not fit the certificate.
    #[error("the authority cannot be used; it has to be one of `ck cert ca`")]
    Authority,
    /// Making a key or a signature failed.
    #[error("cannot make a certificate: {0}")]
    Making(#[from] rcgen::Error),
}

/// An authority: whoever has it can be every node.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    key: String,
}

/// A certificate with its key, in PEM. The key is not shown by `Debug`.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new one, good for so many days from now.
    ///
    /// # Errors
    /// [`IssueError::Days`], or [`IssueError::Making`].
    pub fn new(days: u32) -> Result<Self, IssueError> {
        let key = KeyPair::generate()?;
        let mut params = of_authority();
        limit(&mut params, days)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            key: key.serialize_pem(),
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// One that was made before.
    ///
    /// # Errors
    /// [`IssueError::Authority`] when it was not made here, or key and certificate do not belong
    /// together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IssueError> {
        let pair = KeyPair::from_pem(key).map_err(|_| IssueError::Authority)?;
        let authority = Self {
            issuer: Issuer::new(of_authority(), pair),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        // Another's certificate does not stand for what this key signs.
        let probe = NodeId::new("probe").map_err(|_| IssueError::Authority)?;
        let issued = authority.issue(&probe, &["localhost".to_owned()], 1)?;
        if authority.stands_for(&issued) {
            Ok(authority)
        } else {
            Err(IssueError::Authority)
        }
    }

    /// Its certificate, in PEM: what servers, clients and peers are told to trust.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key, in PEM.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A certificate of a node: for its server under those hosts, and for its peers.
    ///
    /// # Errors
    /// [`IssueError`] names what is wrong.
    pub fn issue(&self, node: &NodeId, hosts: &[String], days: u32) -> Result<Issued, IssueError> {
        if hosts.is_empty() || hosts.len() > HOSTS_MAX {
            return Err(IssueError::Hosts { got: hosts.len() });
        }
        let names: Result<Vec<_>, _> = hosts.iter().map(|host| host_name(host)).collect();
        let mut params = CertificateParams::default();
        params.distinguished_name = named(node.as_str());
        params.subject_alt_names = names?;
        params.subject_alt_names.push(host_name(PEER_NAME)?);
        let uri = node_uri(node).try_into()?;
        params.subject_alt_names.push(SanType::URI(uri));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        limit(&mut params, days)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Whether its certificate is the authority of one that was issued.
    fn stands_for(&self, issued: &Issued) -> bool {
        let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        let (Some(ours), Some(theirs)) = (read(&self.certificate), read(&issued.certificate))
        else {
            return false;
        };
        crate::peer::is_accepted(ours, &theirs)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(..)")
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued(..)")
    }
}

fn of_authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn limit(params: &mut CertificateParams, days: u32) -> Result<(), IssueError> {
    if days == 0 || days > DAYS_MAX {
        return Err(IssueError::Days { days });
    }
    let now = OffsetDateTime::now_utc();
    params.not_before = now - SKEW;
    params.not_after = now + Duration::days(days.into());
    Ok(())
}

fn host_name(host: &str) -> Result<SanType, IssueError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || IssueError::Host {
        host: host.to_owned(),
    };
    rustls::pki_types::DnsName::try_from(host).map_err(|_| refused())?;
    Ok(SanType::DnsName(host.try_into().map_err(|_| refused())?))
}
