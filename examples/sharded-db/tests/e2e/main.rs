//! The service as processes: asked, moved, killed, stopped.

mod crashes;
mod dev;
mod moving;
mod power;
mod requests;
mod secured;
mod support;
