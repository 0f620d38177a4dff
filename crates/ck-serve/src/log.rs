//! Lines on standard error.

use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::SettingsError;

/// What is logged unless `CK_LOG` says otherwise. The consensus library calls every peer that is
/// away an error; what matters of it, ck-node reports.
const LOG_DEFAULT: &str = "info,openraft=off,hyper=warn";

/// The part of a node that logs, as an error, why the node ends.
const DRIVER: &str = "ck_node::driver";

/// What a line of the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// A sentence and its fields, for people.
    #[default]
    Text,
    /// An object: `timestamp`, `level`, `target` and `fields`, `message` among them.
    Json,
}

/// What takes note of spans, where somebody collects them.
pub(crate) type Spans = Box<dyn Layer<Registry> + Send + Sync>;

/// Logs to standard error, and lets `spans` take note, unless the process has set up its own logging
/// already.
pub(crate) fn to_stderr(format: LogFormat, spans: Option<Spans>) -> Result<(), SettingsError> {
    let wanted = std::env::var("CK_LOG").unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|source| SettingsError::LogFilter {
        value: wanted.clone(),
        source,
    })?;
    let stderr = std::io::stderr();
    let colours = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
    // A terminal that is gone takes no lines, which is no reason to end: a complaint would go there, too.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // Why the node ended is said once, as the error the process ends with.
    let once = filter_fn(|event| event.target() != DRIVER || *event.level() != Level::ERROR);
    let logs = tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter.and(once)));
    // A service may have set up its own before, which then stays.
    let _ = logs.try_init();
    Ok(())
}
