//! The service, as its node runs it.

use std::sync::Arc;

use ck_http::{BoxFuture, Incoming, Method, Reply, Request, Role, Routes};
use ck_node::Handle;
use ck_serve::{ApplicationError, Opened, Opening, Service};

use crate::config::SqlConfig;
use crate::handler::Roles;
use crate::routes;
use crate::store::Store;

/// A sharded SQL database on one node: [`Mounted`](ck_serve::Mounted) with a [`SqlConfig`].
pub struct Sql {
    store: Arc<Store>,
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}

impl Routes for Sql {
    fn role(&self, method: &Method, path: &str) -> Option<Role> {
        Some(routes::role(method, path))
    }

    fn is_between_nodes(&self, path: &str) -> bool {
        routes::is_between_nodes(path)
    }

    fn serves(&self, path: &str) -> bool {
        routes::serves(path)
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        Box::pin(routes::answer(Arc::clone(&self.store), request))
    }
}

impl Service for Sql {
    type Config = SqlConfig;

    fn open<'a>(
        config: &'a SqlConfig,
        opening: Opening<'a>,
    ) -> BoxFuture<'a, Result<(Self, Opened), ApplicationError>> {
        Box::pin(async move {
            let store = Store::open(opening.data, config.clone(), opening.courier.clone())?;
            let roles = Arc::new(Roles(Arc::clone(&store)));
            Ok((Self { store }, Opened::new(roles)))
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        self.store.starts(node);
        Box::pin(async { Ok(()) })
    }
}
