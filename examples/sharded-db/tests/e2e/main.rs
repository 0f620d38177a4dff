//! The service as processes: asked, moved, killed, stopped.

mod crashes;
mod moving;
mod power;
mod requests;
mod support;
