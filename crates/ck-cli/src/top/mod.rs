//! `ck top`: the cluster on a full screen, as it changes.

mod feed;
mod model;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use ck_client::Client;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::args::Connection;
use crate::commands::operate;
use crate::exit::{Done, Failure};
use crate::output::{Output, colours};
use feed::Input;
use model::Model;
use screen::Screen;

/// Between two pictures at least, however much happens.
const FRAME: Duration = Duration::from_millis(50);

/// Between two pictures at most: a server that is away is so for longer and longer.
const TICK: Duration = Duration::from_secs(1);

/// Show nodes, partitions, moves and events on a full screen, as they change.
///
/// It only looks. Tab goes from panel to panel, the arrows move in one, n goes to the next partition that is
/// not stable, return shows what a node holds, q ends it. It follows the next server when one goes away.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ck top --server http://127.0.0.1:8080,http://127.0.0.1:8081")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Shows the cluster until it is ended.
pub(crate) fn run(args: &TopArgs, output: Output) -> Done {
    let shown = io::stdin().is_terminal() && io::stdout().is_terminal();
    if output.json || !shown {
        let message =
            "ck top is for a terminal; `ck watch --json` and `ck status --json` are for scripts";
        return Err(Failure::usage(message));
    }
    operate(&args.connection, async |client: Client| {
        // A server that is not there is said before the screen is taken.
        let peer = client.peer().await?;
        let model = Model::new(peer.cluster, colours());
        show(client, model).await
    })
}

/// Draws what is known until the end is asked for. However that comes, the terminal is as before.
async fn show(client: Client, mut model: Model) -> Done {
    let (mut interrupts, mut terminations, mut hangups) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    let mut screen = Screen::take()?;
    let mut inputs = feed::start(client);
    let mut drawn_at = None;
    loop {
        let next = match drawn_at {
            Some(at) if model.is_changed() => at + FRAME,
            Some(at) => at + TICK,
            None => Instant::now(),
        };
        tokio::select! {
            biased;
            _ = interrupts.recv() => return Ok(()),
            _ = terminations.recv() => return Ok(()),
            _ = hangups.recv() => return Ok(()),
            () = tokio::time::sleep_until(next) => {
                let now = Instant::now();
                screen.draw(|frame| view::draw(frame, &mut model, now))?;
                model.is_drawn();
                drawn_at = Some(now);
            }
            input = inputs.recv() => {
                if take(&mut model, input, &mut inputs) {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes in what has come, all of it; whether that was the end.
fn take(model: &mut Model, first: Option<Input>, inputs: &mut mpsc::Receiver<Input>) -> bool {
    let Some(mut input) = first else {
        return true;
    };
    // Bounded, so that a picture comes in between.
    for _ in 0..feed::WAITING_MAX {
        if !model.take(input) {
            return true;
        }
        let Ok(next) = inputs.try_recv() else {
            return false;
        };
        input = next;
    }
    !model.take(input)
}
