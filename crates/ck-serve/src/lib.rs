//! What a service does around a node: flags, environment and file, logging, signals, the lines it
//! prints, and a stop in good order. `ck serve` is this and nothing else.
//!
//! A service takes the same flags beside its own, and implements [`Application`]:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use ck_http::{BoxFuture, Incoming, Reply, Request, Routes};
//! use ck_serve::{Announce, Application, ServeArgs};
//! use clap::Parser;
//!
//! /// Greets, wherever it runs.
//! #[derive(Parser)]
//! #[command(after_help = ck_serve::FILE_HELP)]
//! struct Args {
//!     #[command(flatten)]
//!     serve: ServeArgs,
//! }
//!
//! struct Greeter;
//!
//! impl Routes for Greeter {
//!     fn serves(&self, path: &str) -> bool {
//!         path == "/hello"
//!     }
//!     fn answer(&self, _: Request<Incoming>) -> BoxFuture<'_, Reply> {
//!         Box::pin(async { Reply::new("hello\n".into()) })
//!     }
//! }
//!
//! impl Application for Greeter {}
//!
//! fn main() -> ExitCode {
//!     let args = Args::parse();
//!     let done = ck_serve::run(&args.serve, Announce::Text, Arc::new(Greeter));
//!     ck_serve::report(done, Announce::Text)
//! }
//! ```
//!
//! The node's own paths (`/v1/…`, `/partitions`, `/health`, …) are served on the same port, so `ck`
//! operates such a service like any other node.
//!
//! What every service needs between its nodes is here as well: [`Opening::courier`] asks them as this node
//! is set up, an [`Errand`] is done by the primary of its partition, wherever that is, [`Bodies`] bounds
//! the memory of what comes in, and [`Mounted`] runs a service that is made when its node starts.
//!
//! What it does *not* do: decide anything about partitions (`ck-control`), keep the application's
//! data, or speak HTTP itself (`ck-http`).
#![deny(missing_docs)]

mod announce;
mod application;
mod asking;
mod bodies;
mod calling;
mod ending;
mod errand;
mod error;
mod flags;
mod log;
mod mounted;
#[cfg(feature = "otlp")]
mod otlp;
mod renewal;
mod resolver;
mod security;
mod serve;
mod settings;
mod signals;
mod stray;

pub use announce::{Announce, report};
pub use application::{Application, ApplicationError, Opened, Opening, STOPPING_TIMEOUT};
pub use bodies::{Bodies, Taken};
pub use errand::{
    Errand, Errands, Missed, Next, address_of, address_of_node, hops, passed_on, problem_of,
    set_hops,
};
pub use error::{ServeError, SettingsError};
pub use flags::{FILE_HELP, ServeArgs, duration};
pub use mounted::{Mounted, Service};
pub use renewal::NodeTokensError;
pub use resolver::AskOverHttp;
pub use serve::{run, run_node};

// What asks the other nodes, so that a service needs no crate beside this one for it.
#[doc(no_inline)]
pub use ck_client::{Courier, CourierConfig, CourierError};
