//! What comes in: the events of the table, what is asked for now and then, and keys.

use std::time::Duration;

use ck_api::{Plan, TransferList};
use ck_client::{Client, ClientError, WatchEvent};
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::follow::Follower;

/// Most inputs that wait to be taken in; whoever has more waits with them.
pub(super) const WAITING_MAX: usize = 64;

/// Between two questions for what no event tells: how far moves are, and who leads.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// One input.
#[derive(Debug)]
pub(super) enum Input {
    /// An event, and the server that told it.
    Told(Box<WatchEvent>, String),
    /// Nobody is followed at the moment, since then.
    Cut(Instant, String),
    /// What was asked for.
    Asked(Box<Asked>),
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The terminal is gone.
    Gone,
}

/// What no event tells.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) leader: String,
    pub(super) term: u64,
    pub(super) moves: TransferList,
    /// The plan under way, if one is.
    pub(super) plan: Option<Plan>,
}

/// Begins to listen to everything. It ends when nobody takes the inputs any more.
pub(super) fn start(client: Client) -> mpsc::Receiver<Input> {
    let (sender, inputs) = mpsc::channel(WAITING_MAX);
    tokio::spawn(follow(client.clone(), sender.clone()));
    tokio::spawn(ask(client, sender.clone()));
    std::thread::spawn(move || keys(&sender));
    inputs
}

async fn follow(client: Client, to: mpsc::Sender<Input>) {
    let mut follower = Follower::new(client, None);
    let mut cut = None;
    loop {
        let input = match follower.next().await {
            Ok(event) => {
                cut = None;
                let server = follower.server().unwrap_or_default().to_owned();
                Input::Told(Box::new(event), server)
            }
            Err(error) => Input::Cut(*cut.get_or_insert_with(Instant::now), error.to_string()),
        };
        if to.send(input).await.is_err() {
            return;
        }
    }
}

async fn ask(client: Client, to: mpsc::Sender<Input>) {
    let mut often = tokio::time::interval(ASK_EVERY);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !to.is_closed() {
        often.tick().await;
        // Whoever is followed tells when nobody answers.
        let Ok(asked) = asked(&client).await else {
            continue;
        };
        if to.send(Input::Asked(Box::new(asked))).await.is_err() {
            return;
        }
    }
}

async fn asked(client: &Client) -> Result<Asked, ClientError> {
    let leader = client.consensus_leader().await?;
    let plan = match client.plan("current").await {
        Ok(plan) => Some(plan),
        // There is none, or none can be told now.
        Err(ClientError::Problem(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(Asked {
        leader: leader.leader_id,
        term: leader.term,
        moves: client.transfers().await?,
        plan,
    })
}

/// Keys as they are pressed; a thread, since a terminal is waited for like that.
fn keys(to: &mpsc::Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
            Ok(Event::Resize(..)) => Input::Resized,
            Ok(_) => continue,
            Err(_) => Input::Gone,
        };
        let gone = matches!(input, Input::Gone);
        if to.blocking_send(input).is_err() || gone {
            return;
        }
    }
}
