//! `ck-queue`: one node of a replicated task queue.

use std::process::ExitCode;
use std::sync::Arc;

use ck_queue::{Args, TaskQueue};
use ck_serve::{Announce, Mounted};
use clap::Parser as _;

fn main() -> ExitCode {
    let args = Args::parse();
    let service = Arc::new(Mounted::<TaskQueue>::new(args.config()));
    let done = ck_serve::run(args.node(), Announce::Text, service);
    ck_serve::report(done, Announce::Text)
}
