//! From a request to an answer.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use ck_api::{Code, Role};
use hyper::body::{Body, Incoming};
use hyper::header::Entry;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use tokio::sync::{Semaphore, watch};
use tracing::Instrument as _;

use crate::answered::Way;
use crate::backend::Backend;
use crate::body;
use crate::callers;
use crate::config::{LimitsError, SurfaceConfig};
use crate::counters::{Counters, Slot};
use crate::failovers::Failovers;
use crate::guard;
use crate::orders::Orders;
use crate::plans::Plans;
use crate::redirect;
use crate::reply::{CK_VERSION_NAME, Refused, Reply};
use crate::route::{Act, Ask, Found, Handler, Later, Order, Router, nothing, other_methods};
use crate::routes::Routes;
use crate::spans;
use crate::table::{Feed, Lag, Recorder};
use crate::ui;
use crate::view::View;

/// Looks into the past at a time: each makes a whole table, from as many changes as are kept.
pub(crate) const PAST_MAX: usize = 2;

/// All routes over one backend. Cheap to clone; clones share counters and caches.
///
/// A [`Server`](crate::Server) serves it by itself. A service that has an HTTP server of its own
/// mounts it there with [`Surface::handle`], or beside its own routes with [`Surface::serves`]; time
/// on its connections, and a request that says in two ways where it ends, are then its own to watch.
///
/// ```
/// use ck_http::{Reply, Surface};
/// use hyper::{Request, body::Incoming};
/// async fn answer(surface: &Surface, request: Request<Incoming>) -> Reply {
///     if surface.serves(request.uri().path()) {
///         return surface.handle(request).await;
///     }
///     Reply::new("the service's own routes".into())
/// }
/// ```
#[derive(Clone)]
pub struct Surface {
    pub(crate) core: Arc<Core>,
}

/// What handlers work with.
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: SurfaceConfig,
    pub(crate) counters: Counters,
    /// What the application is asked to do, when it is outside the process.
    pub(crate) orders: Option<Orders>,
    /// Plans that were previewed here.
    pub(crate) plans: Plans,
    /// Looks into the past that are under way.
    pub(crate) past: Arc<Semaphore>,
    /// Set once answers that never end by themselves are to end.
    pub(crate) closing: watch::Sender<bool>,
    router: Router,
    view: ArcSwapOption<View>,
    /// What changes of the table, from the first time somebody wanted to know.
    recorder: OnceLock<Recorder>,
    /// Counted from the first time somebody asked for figures.
    failovers: OnceLock<Failovers>,
}

impl Surface {
    /// All routes over `backend`.
    ///
    /// # Errors
    /// [`LimitsError`] when the limits do not fit together.
    pub fn new(config: SurfaceConfig, backend: Arc<dyn Backend>) -> Result<Self, LimitsError> {
        let SurfaceConfig {
            tokens,
            hosts,
            encrypted,
            limits,
            orders,
            trace_parent,
        } = config;
        if let Some(orders) = &orders {
            orders.attach(&backend);
        }
        let config = SurfaceConfig {
            tokens,
            hosts,
            encrypted,
            limits: limits.build()?,
            orders: None,
            trace_parent,
        };
        Ok(Self {
            core: Arc::new(Core {
                backend,
                config,
                counters: Counters::default(),
                orders,
                plans: Plans::default(),
                past: Arc::new(Semaphore::new(PAST_MAX)),
                closing: watch::channel(false).0,
                router: Router::new(),
                view: ArcSwapOption::empty(),
                recorder: OnceLock::new(),
                failovers: OnceLock::new(),
            }),
        })
    }

    /// Whether a path is one of these routes, or the dashboard's, whatever the method.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        let found = self.core.router.find(&Method::GET, path);
        !matches!(found, Found::Nothing) || ui::serves(path)
    }

    /// Ends the answers that never end by themselves, such as the stream of orders, now and from
    /// here on. A [`Server`](crate::Server) does so when it stops; a service with a server of its own
    /// calls it before it waits for its connections.
    pub fn close_streams(&self) {
        self.core.closing.send_replace(true);
    }

    /// Answers a request. Never fails: what goes wrong is a problem body.
    pub async fn handle<B>(&self, request: Request<B>) -> Reply
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let (core, began) = (&self.core, Instant::now());
        let span = spans::begin(&request, core.config.trace_parent);
        let mut way = Way::None;
        let mut reply = self
            .answer(request, &mut way)
            .await
            .unwrap_or_else(|refused| refused.reply());
        guard::shield(reply.headers_mut());
        core.counters.answered(way, reply.status(), began.elapsed());
        spans::name(&span, way);
        spans::end(&span, reply.status());
        reply
    }

    /// As [`Surface::handle`], with the application's routes beside these.
    pub(crate) async fn handle_with(
        &self,
        routes: Option<&dyn Routes>,
        request: Request<Incoming>,
    ) -> Reply {
        let path = request.uri().path();
        let theirs = routes.filter(|routes| !self.serves(path) && routes.serves(path));
        let Some(routes) = theirs else {
            return self.handle(request).await;
        };
        let (core, began) = (&self.core, Instant::now());
        let span = spans::begin(&request, core.config.trace_parent);
        spans::name(&span, Way::Application);
        let mut reply = self
            .offer(routes, request)
            .instrument(span.clone())
            .await
            .unwrap_or_else(|refused| refused.reply());
        if let Entry::Vacant(version) = reply.headers_mut().entry(CK_VERSION_NAME) {
            version.insert(core.view().version());
        }
        let took = began.elapsed();
        core.counters
            .answered(Way::Application, reply.status(), took);
        spans::end(&span, reply.status());
        reply
    }

    async fn offer(
        &self,
        routes: &dyn Routes,
        request: Request<Incoming>,
    ) -> Result<Reply, Refused> {
        let core = &self.core;
        let limits = &core.config.limits;
        let _slot = Slot::take(&core.counters.in_flight, limits.requests_max)?;
        let (head, body) = request.into_parts();
        if let Some(reply) = guard::framing(&head) {
            return Ok(reply);
        }
        guard::size(&head, limits)?;
        guard::host(&head, core.config.hosts.as_deref())?;
        // What such a method asks for changes nothing, or is the application's own fault.
        let is_look = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let acts = if is_look { Role::Read } else { Role::Operate };
        guard::origin(&head, acts)?;
        if let Err(denied) = self.admit(routes, &head) {
            return Ok(*denied);
        }
        let within = limits.body_timeout + limits.request_timeout;
        let answering = routes.answer(Request::from_parts(head, body));
        tokio::time::timeout(within, answering).await.map_err(|_| {
            let detail = format!(
                "no answer within {within:?}; what was asked for may have been carried out, look \
                 before repeating it"
            );
            Refused::new(Code::OutcomeUnknown, detail)
        })
    }

    /// Refuses a caller that may not ask for what is the application's.
    fn admit(&self, routes: &dyn Routes, head: &Parts) -> Result<(), Box<Reply>> {
        let (core, path) = (&self.core, head.uri.path());
        let tokens = &core.config.tokens;
        if routes.is_between_nodes(path) {
            return callers::admit_node(head, &core.backend.state(), tokens);
        }
        let Some(role) = routes.role(&head.method, path) else {
            return Ok(());
        };
        match tokens.admit(&head.headers, role) {
            Err(denied) if !callers::is_member(head, &core.backend.state()) => {
                Err(Box::new(denied.reply()))
            }
            _ => Ok(()),
        }
    }

    async fn answer<B>(&self, request: Request<B>, way: &mut Way) -> Result<Reply, Refused>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: std::fmt::Display,
    {
        let core = &self.core;
        let limits = &core.config.limits;
        let slot = Slot::take(&core.counters.in_flight, limits.requests_max)?;
        let (head, body) = request.into_parts();
        if let Some(reply) = guard::framing(&head) {
            return Ok(reply);
        }
        guard::size(&head, limits)?;
        guard::host(&head, core.config.hosts.as_deref())?;
        if let Some(reply) = ui::answer(&head) {
            *way = Way::Ui;
            return Ok(reply);
        }
        let path = head.uri.path();
        let (route, segments) = match core.router.find(&head.method, path) {
            Found::Route(route, segments) => (route, segments),
            Found::OtherMethods(routes) => return Ok(other_methods(&head.method, path, routes)),
            Found::Nothing => return Err(nothing(&core.router, &head.method, path)),
        };
        *way = Way::Route(route);
        guard::origin(&head, route.role)?;
        if !route.is_open()
            && let Err(denied) = core.config.tokens.admit(&head.headers, route.role)
        {
            return Ok(denied.reply());
        }
        let ask = Ask {
            head: &head,
            segments,
        };
        match route.handler {
            Handler::Look(look) => look(core, &ask),
            Handler::Wait(wait) => match wait(core, &ask)? {
                Later::Now(reply) => Ok(reply),
                Later::Later(answer) => {
                    // Whoever waits keeps nobody else from being answered.
                    drop(slot);
                    answer.await
                }
            },
            Handler::Act(act) | Handler::ActRaw(act) => {
                if let Some(reply) = redirect::to_leader(core, route, &head) {
                    return Ok(reply);
                }
                let segments = ask.segments.map(|segment| segment.map(str::to_owned));
                let is_raw = matches!(route.handler, Handler::ActRaw(_));
                self.act((act, is_raw), head, segments, body).await
            }
        }
    }

    async fn act<B>(
        &self,
        (act, is_raw): (Act, bool),
        head: Parts,
        segments: [Option<String>; 2],
        body: B,
    ) -> Result<Reply, Refused>
    where
        B: Body + Send,
        B::Error: std::fmt::Display,
    {
        let limits = &self.core.config.limits;
        let bytes_max = if is_raw {
            limits.body_bytes_max
        } else {
            limits.json_bytes_max
        };
        if is_raw {
            body::plain_bytes(&head.headers)?;
        } else if !body.is_end_stream() {
            body::is_json(&head.headers)?;
        }
        let body = body::read(body, bytes_max, limits.body_timeout).await?;
        let order = Order {
            head,
            segments,
            body,
        };
        let acting = act(Arc::clone(&self.core), order);
        match tokio::time::timeout(limits.request_timeout, acting).await {
            Ok(answer) => answer,
            Err(_) => Err(Refused::new(
                Code::OutcomeUnknown,
                format!(
                    "no answer within {:?}; the operation may have been carried out, look before \
                     repeating it",
                    limits.request_timeout
                ),
            )),
        }
    }
}

impl Core {
    /// What changes of the table, from the first call on. Needs a runtime.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        let limits = &self.config.limits;
        let start = || {
            let (events, bytes) = (limits.changes_max, limits.changes_bytes_max);
            Recorder::start(&self.backend, events, bytes)
        };
        &self.recorder.get_or_init(start).feed
    }

    /// How far watchers are behind.
    pub(crate) fn watch_lag(&self) -> Lag {
        let recorder = self.recorder.get();
        recorder.map(|one| one.feed.lag()).unwrap_or_default()
    }

    /// Failovers since the first call. Needs a runtime.
    pub(crate) fn failovers(&self) -> u64 {
        let start = || Failovers::start(&self.backend);
        self.failovers.get_or_init(start).count()
    }

    /// The present state with what was made from it so far.
    pub(crate) fn view(&self) -> Arc<View> {
        let state = self.backend.state();
        if let Some(view) = &*self.view.load()
            && view.is_of(&state)
        {
            return Arc::clone(view);
        }
        let view = Arc::new(View::new(state));
        self.view.store(Some(Arc::clone(&view)));
        view
    }
}

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface")
            .field("config", &self.core.config)
            .finish_non_exhaustive()
    }
}
