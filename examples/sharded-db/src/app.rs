//! The service, as its node runs it.

use std::sync::{Arc, OnceLock};

use ck_http::{BoxFuture, Incoming, Method, Reply, Request, Role, Routes};
use ck_node::Handle;
use ck_serve::{Application, ApplicationError, Opened, Opening};

use crate::config::SqlConfig;
use crate::handler::Roles;
use crate::routes;
use crate::store::Store;

/// A sharded SQL database on one node.
pub struct Sql {
    config: SqlConfig,
    store: OnceLock<Arc<Store>>,
}

impl Sql {
    /// A database that takes on as much as `config` says.
    #[must_use]
    pub const fn new(config: SqlConfig) -> Self {
        Self {
            config,
            store: OnceLock::new(),
        }
    }

    /// Files that are open at present.
    #[must_use]
    pub fn files_open(&self) -> usize {
        self.store.get().map_or(0, |store| store.files_open())
    }
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Routes for Sql {
    /// Open to whoever reaches the port: nodes forward and copy on these paths, and show no token.
    fn role(&self, _: &Method, _: &str) -> Option<Role> {
        None
    }

    fn serves(&self, path: &str) -> bool {
        routes::serves(path)
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            match self.store.get() {
                Some(store) => routes::answer(Arc::clone(store), request).await,
                None => ck_http::problem(&ck_http::Problem::new(
                    ck_http::Code::NotFormed,
                    "the node is starting",
                )),
            }
        })
    }
}

impl Application for Sql {
    fn open<'a>(&'a self, opening: Opening<'a>) -> BoxFuture<'a, Result<Opened, ApplicationError>> {
        Box::pin(async move {
            let store = Store::open(opening.data, self.config.clone())?;
            let roles = Arc::new(Roles(Arc::clone(&store)));
            let _ = self.store.set(store);
            Ok(Opened::new(roles))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        Box::pin(async move {
            if let Some(store) = self.store.get() {
                store.starts(node);
            }
            Ok(())
        })
    }
}
