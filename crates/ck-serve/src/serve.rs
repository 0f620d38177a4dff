//! The life of one node, from its flags to its end.

use std::sync::Arc;

use ck_http::{Orders, Server, Surface, SurfaceConfig, loopback_hosts};
use ck_node::{Config, Handle, Node, OnFatal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::announce::{self, Announce};
use crate::application::{Application, Opened, Opening};
use crate::ending;
use crate::error::{ServeError, SettingsError};
use crate::flags::{Durability, ServeArgs};
use crate::log;
#[cfg(feature = "otlp")]
use crate::otlp::{self, Collecting};
use crate::resolver::AskOverHttp;
use crate::security::Security;
use crate::settings::Settings;
use crate::signals::Stops;
use crate::stray;

/// Runs a node with the application inside until it is told to stop, or cannot go on.
///
/// Sets up logging to standard error (`CK_LOG` filters it) unless the process has its own, and a
/// runtime of its own; call it from a thread that has none.
///
/// # Errors
/// [`ServeError`]; [`report`](crate::report) tells it and gives the exit code.
pub fn run(
    args: &ServeArgs,
    announce: Announce,
    application: Arc<dyn Application>,
) -> Result<(), ServeError> {
    live(args, announce, Some(application))
}

/// Runs a node without an application, or with one outside the process that takes the orders of
/// `/v1/orders`, until it is told to stop, or cannot go on.
///
/// # Errors
/// As [`run`].
pub fn run_node(args: &ServeArgs, announce: Announce) -> Result<(), ServeError> {
    live(args, announce, None)
}

fn live(
    args: &ServeArgs,
    announce: Announce,
    application: Option<Arc<dyn Application>>,
) -> Result<(), ServeError> {
    let settings = Settings::read(args)?;
    if application.is_some() && settings.application.is_some() {
        return Err(SettingsError::Outside.into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let spans = None;
    #[cfg(feature = "otlp")]
    let (spans, collecting) =
        collect(&settings, &runtime)?.map_or((spans, None), |one| (Some(one.layer()), Some(one)));
    log::to_stderr(settings.log_format, spans)?;
    let done = runtime.block_on(serve(
        &settings,
        args.exit_with_stdin,
        announce,
        application,
    ));
    #[cfg(feature = "otlp")]
    if let Some(collecting) = collecting {
        collecting.end();
    }
    // Nothing is waited for any more: what had to be durable is.
    runtime.shutdown_background();
    done
}

/// Begins to collect spans, where the settings say to whom they are sent.
#[cfg(feature = "otlp")]
fn collect(
    settings: &Settings,
    runtime: &tokio::runtime::Runtime,
) -> Result<Option<Collecting>, ServeError> {
    let endpoint = settings.otlp_endpoint.as_ref();
    let begin = |endpoint| Collecting::begin(endpoint, &settings.id, runtime.handle().clone());
    endpoint.map(begin).transpose().map_err(ServeError::Spans)
}

async fn serve(
    settings: &Settings,
    exit_with_stdin: bool,
    announce: Announce,
    application: Option<Arc<dyn Application>>,
) -> Result<(), ServeError> {
    let mut stops = Stops::listen(exit_with_stdin).map_err(ServeError::System)?;
    // Bound first: the node tells others where its HTTP surface is.
    let server = Server::bind(&settings.http.to_string())
        .await
        .map_err(ServeError::Bind)?;
    let http = settings.advertised(server.local_address().port());
    let mut security = Security::read(&settings.protection, application.is_some())?;
    let _renewing = security.follow().map_err(ServeError::System)?;
    let surface = surface_config(settings, &security, application.is_some());
    let mut config = node_config(settings, &security, &surface, http.clone());
    if let Some(application) = &application {
        let opening = Opening {
            node: &config.node,
            data: &config.data,
            http: &http,
            courier: &security.courier,
        };
        let opened = application.open(opening).await.map_err(ServeError::Open)?;
        config = with_application(config, opened);
    }
    let node = Node::start(config).await?;
    let server = match &application {
        Some(application) => {
            let started = application.started(node.clone()).await;
            // Without a stop: its entry would vouch for what the application keeps.
            started.map_err(ServeError::Application)?;
            server.with_routes(Arc::clone(application) as _)
        }
        None => server,
    };
    let server = match security.server.clone() {
        Some(tls) => server.with_tls(tls),
        None => server,
    };
    let surface = Surface::new(surface, Arc::new(node.clone()))?;
    let (close, closed) = oneshot::channel::<()>();
    let mut serving = tokio::spawn(server.run(surface, async move {
        // The sender gone means the same.
        let _ = closed.await;
    }));
    announce::listening(settings, &http, &node, announce)?;
    // Ends with the runtime.
    #[cfg(feature = "otlp")]
    if settings.otlp_endpoint.is_some() {
        tokio::spawn(otlp::follow(node.clone()));
    }
    let announced = tokio::spawn(announce_ready(node.clone(), announce));
    let ended = tokio::select! {
        () = stops.next() => None,
        ended = node.terminated() => {
            let reason = ended.failure.unwrap_or_else(|| "the node has ended".to_owned());
            Some(ending::of_reason(reason))
        }
        reason = stray::meets_another_cluster(
            node.clone(),
            settings.data.display().to_string(),
            settings.join.clone(),
            security.asking.clone(),
        ) => Some(ServeError::Refused { reason }),
        error = failed(application.as_deref()) => Some(error),
    };
    announced.abort();
    if let Some(error) = ended {
        return Err(error);
    }
    tokio::select! {
        stopped = stop(&node, application.as_deref(), close, &mut serving) => {
            announce::stopped(&node, stopped?, announce)
        }
        () = stops.next() => Err(ServeError::AtOnce),
        error = failed(application.as_deref()) => Err(error),
    }
}

/// Ready once the application, if there is one, cannot go on.
async fn failed(application: Option<&dyn Application>) -> ServeError {
    match application {
        Some(application) => ServeError::Failed(application.failed().await),
        None => std::future::pending().await,
    }
}

fn with_application(mut config: Config, opened: Opened) -> Config {
    config.handler = opened.handler;
    config.durable = opened.durable;
    for (name, address) in opened.services {
        config.services.entry(name).or_insert(address);
    }
    config
}

/// Ends the session while requests are still answered, then the surface. Returns whether the
/// cluster could be told.
async fn stop(
    node: &Handle,
    application: Option<&dyn Application>,
    close: oneshot::Sender<()>,
    serving: &mut JoinHandle<()>,
) -> Result<bool, ServeError> {
    if let Some(application) = application {
        let within = application.stopping_timeout();
        tokio::time::timeout(within, application.stopping())
            .await
            .map_err(|_| ServeError::Unrest { within })?;
    }
    let clean = node.stop().await;
    drop(close);
    // A server that panicked has stopped as well.
    let _ = serving.await;
    Ok(clean)
}

async fn announce_ready(node: Handle, announce: Announce) {
    if node.ready().await.is_ok()
        && let Err(error) = announce::ready(&node, announce)
    {
        tracing::warn!("cannot print: {error}");
    }
}

fn surface_config(settings: &Settings, security: &Security, inside: bool) -> SurfaceConfig {
    // A page's own name cannot be made to lead to a loopback server, nor elsewhere once it is said.
    let asked_for = settings.http.ip().is_loopback() || !settings.allow_host.is_empty();
    let hosts = asked_for.then(|| {
        let listened = settings.http.ip().to_string();
        let named = settings.advertise.as_deref().into_iter();
        let allowed = settings.allow_host.iter().map(String::as_str);
        loopback_hosts(named.chain([listened.as_str()]).chain(allowed))
    });
    let orders = Orders::default();
    let orders = match settings.application {
        Some(_) => orders.expecting_application(),
        None => orders,
    };
    let trace_parent = None;
    #[cfg(feature = "otlp")]
    let trace_parent = match settings.otlp_endpoint {
        Some(_) => Some(otlp::trace_parent as _),
        None => trace_parent,
    };
    SurfaceConfig {
        tokens: security.tokens.accepted.clone(),
        hosts,
        encrypted: security.server.is_some(),
        limits: settings.limits.clone(),
        trace_parent,
        orders: (!inside).then_some(orders),
    }
}

fn node_config(
    settings: &Settings,
    security: &Security,
    surface: &SurfaceConfig,
    http: String,
) -> Config {
    let mut config = Config::new(settings.id.clone(), &settings.data);
    if let Some(name) = &settings.name {
        config.display_name.clone_from(name);
    }
    if let Some(cluster) = &settings.cluster {
        config.cluster_name.clone_from(cluster);
    }
    config.peer_listen = settings.peer.to_string();
    config.advertise.clone_from(&settings.advertise);
    config.http_address = http;
    config.join.clone_from(&settings.join);
    config.resolver = Arc::new(AskOverHttp::following(security.asking.clone()));
    config.secrets = security.tokens.secrets.clone();
    config.peer_tls.clone_from(&security.peers);
    config.choices = settings.choices.clone();
    config.weight = settings.weight;
    config.domain.clone_from(&settings.domain);
    config.services.clone_from(&settings.services);
    config.labels.clone_from(&settings.labels);
    if let Some(orders) = &surface.orders {
        config.handler = Arc::new(orders.clone());
    }
    config.durable = settings.application != Some(Durability::Volatile);
    // Reported here, so that the reason is printed like any other.
    config.on_fatal = OnFatal::Report;
    config
}
