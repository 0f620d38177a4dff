//! A service that exists once it was opened.

use std::sync::OnceLock;

use ck_http::{BoxFuture, Code, Incoming, Method, Problem, Reply, Request, Role, Routes};
use ck_node::Handle;

use crate::application::{Application, ApplicationError, Opened, Opening, STOPPING_TIMEOUT};

/// A service that is made when its node starts, from what it is configured with: with its store open.
///
/// [`Mounted`] makes an [`Application`] of it; what each method is for is said there.
pub trait Service: Routes + Sized {
    /// What it is opened with, beside what its node gives it.
    type Config: Send + Sync + 'static;

    /// As [`Application::open`].
    ///
    /// # Errors
    /// As [`Application::open`].
    fn open<'a>(
        config: &'a Self::Config,
        opening: Opening<'a>,
    ) -> BoxFuture<'a, Result<(Self, Opened), ApplicationError>>;

    /// As [`Application::started`].
    ///
    /// # Errors
    /// As [`Application::started`].
    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>>;

    /// As [`Application::failed`].
    fn failed(&self) -> BoxFuture<'_, ApplicationError> {
        Box::pin(std::future::pending())
    }

    /// As [`Application::stopping`].
    fn stopping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// As [`Application::stopping_timeout`]. Default [`STOPPING_TIMEOUT`], 10 s.
    fn stopping_timeout(&self) -> std::time::Duration {
        STOPPING_TIMEOUT
    }
}

/// A [`Service`] as the application of its node. Until it is open it serves nothing.
#[derive(Debug)]
pub struct Mounted<S: Service> {
    config: S::Config,
    service: OnceLock<S>,
}

impl<S: Service> Mounted<S> {
    /// One that is opened so when its node starts.
    #[must_use]
    pub const fn new(config: S::Config) -> Self {
        Self {
            config,
            service: OnceLock::new(),
        }
    }
}

impl<S: Service> Routes for Mounted<S> {
    fn serves(&self, path: &str) -> bool {
        self.service
            .get()
            .is_some_and(|service| service.serves(path))
    }

    fn role(&self, method: &Method, path: &str) -> Option<Role> {
        match self.service.get() {
            Some(service) => service.role(method, path),
            None => Some(Role::Admin),
        }
    }

    fn is_between_nodes(&self, path: &str) -> bool {
        self.service
            .get()
            .is_some_and(|service| service.is_between_nodes(path))
    }

    fn answer(&self, request: Request<Incoming>) -> BoxFuture<'_, Reply> {
        match self.service.get() {
            Some(service) => service.answer(request),
            None => Box::pin(async {
                let problem = Problem::new(Code::NotFormed, "the node is starting");
                ck_http::problem(&problem)
            }),
        }
    }
}

impl<S: Service> Application for Mounted<S> {
    fn open<'a>(&'a self, opening: Opening<'a>) -> BoxFuture<'a, Result<Opened, ApplicationError>> {
        Box::pin(async move {
            let (service, opened) = S::open(&self.config, opening).await?;
            let set = self.service.set(service);
            set.map(|()| opened).map_err(|_| "opened twice".into())
        })
    }

    fn started(&self, node: Handle) -> BoxFuture<'_, Result<(), ApplicationError>> {
        match self.service.get() {
            Some(service) => service.started(node),
            None => Box::pin(async { Err("started before it was opened".into()) }),
        }
    }

    fn failed(&self) -> BoxFuture<'_, ApplicationError> {
        match self.service.get() {
            Some(service) => service.failed(),
            None => Box::pin(std::future::pending()),
        }
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        match self.service.get() {
            Some(service) => service.stopping(),
            None => Box::pin(async {}),
        }
    }

    fn stopping_timeout(&self) -> std::time::Duration {
        let timeout = self.service.get().map(Service::stopping_timeout);
        timeout.unwrap_or(STOPPING_TIMEOUT)
    }
}
