//! `ck serve`: one node.

mod announce;
mod ending;
mod flags;
mod resolver;
mod settings;
mod signals;
mod stray;

pub(crate) use flags::ServeArgs;

use std::sync::Arc;

use anyhow::Context;
use ck_http::{Orders, Server, Surface, SurfaceConfig, loopback_hosts};
use ck_node::{Config, Handle, Node, OnFatal, Secret};
use tokio::sync::oneshot;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::online::read_token;
use crate::exit::{Done, Failure};
use crate::output::Output;
use flags::Application;
use resolver::AskOverHttp;
use settings::Settings;
use signals::Stops;

/// What is logged unless `CK_LOG` says otherwise. The consensus library calls every peer that is
/// away an error; what matters of it, ck-node reports.
const LOG_DEFAULT: &str = "info,openraft=off,hyper=warn";

/// The part of a node that logs, as an error, why the node ends.
const DRIVER: &str = "ck_node::driver";

/// Runs the node until it is told to stop, or cannot go on.
pub(crate) fn run(args: &ServeArgs, output: Output) -> Done {
    let settings = Settings::read(args)?;
    log_to_stderr()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(serve(&settings, args.exit_with_stdin, output));
    // Nothing is waited for any more: what had to be durable is.
    runtime.shutdown_background();
    done
}

fn log_to_stderr() -> Result<(), Failure> {
    let wanted = std::env::var("CK_LOG").unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|error| Failure::usage(format!("CK_LOG {wanted:?} is no log filter: {error}")))?;
    let stderr = std::io::stderr();
    let colours = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false);
    // Why the node ended is said once, as the error this command ends with.
    let once = filter_fn(|event| event.target() != DRIVER || *event.level() != Level::ERROR);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.and(once)))
        .init();
    Ok(())
}

async fn serve(settings: &Settings, exit_with_stdin: bool, output: Output) -> Done {
    let mut stops = Stops::listen(exit_with_stdin)?;
    // Bound first: the node tells others where its HTTP surface is.
    let server = Server::bind(&settings.http.to_string())
        .await
        .context("--http")?;
    let http = settings.advertised(server.local_address().port());
    let surface = surface_config(settings)?;
    let node = Node::start(node_config(settings, &surface, http.clone()))
        .await
        .map_err(ending::of_start)?;
    let surface = Surface::new(surface, Arc::new(node.clone()))
        .map_err(|error| Failure::Failed(error.into()))?;
    let (close, closed) = oneshot::channel::<()>();
    let mut serving = tokio::spawn(server.run(surface, async move {
        // The sender gone means the same.
        let _ = closed.await;
    }));
    announce::listening(settings, &http, &node, output)?;
    let announced = tokio::spawn(announce_ready(node.clone(), output));
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
        ) => Some(ending::refused(reason)),
    };
    announced.abort();
    if let Some(failure) = ended {
        return Err(failure);
    }
    tokio::select! {
        clean = stop(&node, close, &mut serving) => announce::stopped(&node, clean, output),
        () = stops.next() => Err(Failure::failed("stopped at once, as asked a second time")),
    }
}

/// Ends the session while requests are still answered, then the surface.
async fn stop(
    node: &Handle,
    close: oneshot::Sender<()>,
    serving: &mut tokio::task::JoinHandle<()>,
) -> bool {
    let clean = node.stop().await;
    drop(close);
    // A server that panicked has stopped as well.
    let _ = serving.await;
    clean
}

async fn announce_ready(node: Handle, output: Output) {
    if node.ready().await.is_ok()
        && let Err(Failure::Failed(error)) = announce::ready(&node, output)
    {
        tracing::warn!("cannot print: {error:#}");
    }
}

fn surface_config(settings: &Settings) -> Result<SurfaceConfig, Failure> {
    let admin_token = settings.token_file.as_deref().map(read_token).transpose()?;
    let hosts = settings.http.ip().is_loopback().then(|| {
        let listened = settings.http.ip().to_string();
        let named = settings
            .advertise
            .as_deref()
            .into_iter()
            .chain([listened.as_str()]);
        loopback_hosts(named)
    });
    let orders = Orders::default();
    let orders = match settings.application {
        Some(_) => orders.expecting_application(),
        None => orders,
    };
    Ok(SurfaceConfig {
        admin_token,
        hosts,
        orders: Some(orders),
        ..SurfaceConfig::default()
    })
}

fn node_config(settings: &Settings, surface: &SurfaceConfig, http: String) -> Config {
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
    config.resolver = Arc::new(AskOverHttp);
    config.choices = settings.choices.clone();
    // A node that asks for no token must not become a way around it for the others.
    let token = surface.admin_token.as_ref();
    config.secret = token.map(|token| Secret::new(token.expose()));
    config.weight = settings.weight;
    config.domain.clone_from(&settings.domain);
    config.services.clone_from(&settings.services);
    config.labels.clone_from(&settings.labels);
    if let Some(orders) = &surface.orders {
        config.handler = Arc::new(orders.clone());
    }
    config.durable = settings.application != Some(Application::Volatile);
    // Reported here, so that the reason is printed like any other.
    config.on_fatal = OnFatal::Report;
    config
}
