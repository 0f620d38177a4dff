//! A cluster with certificates and tokens, and callers that have some of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ck_client::http::Request;
use ck_client::{ClientTls, Courier, CourierError};
use ck_tls::PeerFiles;
use ck_tls::issue::Authority;
use tokio::runtime::Runtime;

/// Tokens of the three roles.
pub(crate) const ADMIN: &str = "4dm1n";
pub(crate) const OPERATE: &str = "0perate";
pub(crate) const READ: &str = "r3ad";

/// Time for one request: a failover fits into it.
const REQUEST: Duration = Duration::from_secs(15);

/// What protects a cluster.
pub(crate) struct Secured {
    folder: PathBuf,
    authority: Authority,
}

impl Secured {
    /// An authority and tokens, in a folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let authority = Authority::new(2).expect("an authority can be made");
        let secured = Self {
            folder: folder.to_owned(),
            authority,
        };
        secured.put("ca.pem", secured.authority.certificate());
        secured.put(
            "tokens",
            &format!("admin {ADMIN}\noperate {OPERATE}\nread {READ}\n"),
        );
        secured
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.join(name);
        std::fs::write(&file, text).expect("the folder can be written");
        file
    }

    /// The authority's file.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The file of the tokens.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    /// A certificate of a node, member or not, in files of that name.
    fn issue(&self, id: &str, name: &str) -> PeerFiles {
        let node = id.parse().expect("a node id");
        let hosts = ["127.0.0.1".to_owned()];
        let issued = self.authority.issue(&node, &hosts, 1);
        let issued = issued.expect("a certificate can be made");
        PeerFiles {
            certificate: self.put(&format!("{name}.pem"), &issued.certificate),
            key: self.put(&format!("{name}-key.pem"), &issued.key),
            authority: self.authority(),
        }
    }

    /// The flags of a node with all of it.
    pub(crate) fn flags(&self, id: &str) -> Vec<String> {
        let issued = self.issue(id, id);
        let tokens = self.tokens();
        let flags = [
            ("--token-file", &tokens),
            ("--tls-cert", &issued.certificate),
            ("--tls-key", &issued.key),
            ("--peer-cert", &issued.certificate),
            ("--peer-key", &issued.key),
            ("--peer-ca", &issued.authority),
        ];
        let flags = flags.map(|(flag, file)| [flag.to_owned(), file.display().to_string()]);
        flags.into_iter().flatten().collect()
    }

    /// Who trusts the authority, shows that token if any, and no certificate.
    pub(crate) fn caller(&self, token: Option<&str>) -> Caller {
        let tls = ClientTls::trusting(&self.authority()).expect("the authority can be read");
        Caller::new(&tls, token)
    }

    /// Who shows a certificate of that node as well, `by` this authority or another.
    pub(crate) fn node(&self, id: &str, by: &Self) -> Caller {
        let tls = ClientTls::of_node(&self.authority(), &by.issue(id, &format!("as-{id}")));
        Caller::new(&tls.expect("the files can be read"), None)
    }
}

/// Asks over TLS.
pub(crate) struct Caller {
    runtime: Runtime,
    courier: Courier,
}

impl Caller {
    fn new(tls: &ClientTls, token: Option<&str>) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime starts");
        let courier = Courier::default();
        courier.encrypt(tls);
        if let Some(token) = token {
            courier.show(&token.parse().expect("a token"));
        }
        Self { runtime, courier }
    }

    /// Status and body of an answer.
    pub(crate) fn ask(
        &self,
        http: SocketAddr,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<(u16, String), CourierError> {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(body.to_vec().into()).expect("a request");
        let address = http.to_string();
        let asked = self.courier.send(&address, request, REQUEST);
        let answer = self.runtime.block_on(asked)?;
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        Ok((answer.status().as_u16(), body))
    }

    /// Status of an answer, 0 where there is none.
    pub(crate) fn status(&self, http: SocketAddr, method: &str, path: &str, body: &[u8]) -> u16 {
        let answer = self.ask(http, method, path, body);
        answer.map_or(0, |(status, _)| status)
    }
}
