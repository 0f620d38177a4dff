//! The service as processes: asked, moved, killed, stopped.

mod crashes;
mod moving;
mod requests;
mod support;
