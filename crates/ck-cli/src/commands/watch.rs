//! `ck watch`: what changes of the table, as it changes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use ck_api::table::event;
use ck_api::{TableDelta, TableMember};
use ck_client::{Client, ClientError, WatchEvent};
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use super::online::operate;
use crate::args::{Connection, duration};
use crate::exit::{Done, Failure, warn};
use crate::follow::Follower;
use crate::output::{Output, count, runs};

/// How long no server may answer before it is given up.
const AWAY_MAX: Duration = Duration::from_secs(600);

/// Runs of partitions that a line names, and nodes.
const NAMED_MAX: usize = 6;

/// Tell what changes of the table, a line an event, until it is interrupted.
///
/// Begins with the table, or with what has changed since --from. A server that goes away is followed by
/// the next one, from where it was left, for ten minutes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck watch
  ck watch --from 31 --for 10s --json")]
pub(crate) struct WatchArgs {
    /// Begin behind this version: `31`, or `1795759636.31` with its incarnation.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    from: Option<String>,
    /// End after this time, with exit code 0.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasting: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

/// Follows the table.
pub(crate) fn run(args: &WatchArgs, output: Output) -> Done {
    operate(&args.connection, async |client: Client| {
        let followed = follow(&client, args, output);
        match args.lasting {
            // The time is what was asked for.
            Some(lasting) => tokio::time::timeout(lasting, followed)
                .await
                .unwrap_or(Ok(())),
            None => followed.await,
        }
    })
}

async fn follow(client: &Client, args: &WatchArgs, output: Output) -> Done {
    let mut names = Names::default();
    if args.from.is_some() && !output.json {
        // What comes tells of members by their numbers.
        let table = client.table().await?;
        names.incarnation = table.incarnation;
        names.learn(&table.members);
    }
    let mut follower = Follower::new(client.clone(), args.from.clone());
    let (mut begun, mut away_since) = (false, None);
    loop {
        match follower.next().await {
            Ok(event) => {
                (begun, away_since) = (true, None);
                write(&mut io::stdout().lock(), &event, &mut names, output)?;
            }
            Err(error) if !begun => return Err(error.into()),
            Err(error) => missed(&error, &mut away_since)?,
        }
    }
}

/// Says once that the servers are away, and gives up in the end.
fn missed(error: &ClientError, away_since: &mut Option<Instant>) -> Done {
    let Some(since) = away_since else {
        *away_since = Some(Instant::now());
        warn(&format!("{error}; going on from there"));
        return Ok(());
    };
    if since.elapsed() < AWAY_MAX {
        return Ok(());
    }
    let message = format!("nothing was heard for {} s: {error}", AWAY_MAX.as_secs());
    Err(Failure::Unreachable(anyhow::Error::msg(message)))
}

/// `31` or `1.31`.
fn version(text: &str) -> Result<String, String> {
    let numbers = match text.split_once('.') {
        Some((incarnation, version)) => [incarnation, version],
        None => ["1", text],
    };
    let is_number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok();
    if numbers.into_iter().all(is_number) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no version; write it as 31 or 1.31"))
}

/// What `--json` prints on a line.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    #[serde(flatten)]
    data: &'a T,
}

/// Writes an event on a line of its own, at once; a heartbeat is none.
fn write(out: &mut impl Write, event: &WatchEvent, names: &mut Names, output: Output) -> Done {
    if output.json {
        match event {
            WatchEvent::Table(data) => write_json(out, event::TABLE, data)?,
            WatchEvent::Delta(data) => write_json(out, event::DELTA, data)?,
            WatchEvent::Lifecycle(data) => write_json(out, event::LIFECYCLE, data)?,
            _ => {}
        }
    } else {
        match event {
            WatchEvent::Table(table) => {
                names.learn(&table.members);
                let partitions = count(table.rows.len() as u64, "partition", "partitions");
                let nodes = count(table.members.len() as u64, "node", "nodes");
                let told = format!("{partitions}, {nodes}");
                names.incarnation = table.incarnation;
                line(out, &names.at(table.version), event::TABLE, &told)?;
            }
            WatchEvent::Delta(delta) => {
                let told = names.told(delta);
                names.incarnation = delta.incarnation;
                line(out, &names.at(delta.version), event::DELTA, &told)?;
            }
            WatchEvent::Lifecycle(one) => {
                line(out, &names.at(one.version), &one.kind, &one.text)?;
            }
            _ => {}
        }
    }
    out.flush()?;
    Ok(())
}

fn write_json<T: Serialize>(out: &mut impl Write, event: &str, data: &T) -> Done {
    serde_json::to_writer(&mut *out, &Line { event, data })?;
    out.write_all(b"\n")?;
    Ok(())
}

fn line(out: &mut impl Write, place: &str, what: &str, text: &str) -> io::Result<()> {
    // A line is an event, whatever a name has in it.
    let text = text.replace(|c: char| c.is_control(), "\u{fffd}");
    writeln!(out, "{place:<15} {what:<18} {text}")
}

/// The members' names, by number, and the incarnation they are of.
#[derive(Debug, Default)]
struct Names {
    incarnation: u64,
    known: BTreeMap<u64, String>,
}

impl Names {
    fn learn(&mut self, members: &[TableMember]) {
        for member in members {
            self.known.insert(member.member, member.id.clone());
        }
    }

    /// A version, with its incarnation.
    fn at(&self, version: u64) -> String {
        format!("{}.{version}", self.incarnation)
    }

    fn of(&self, member: u64) -> String {
        let known = self.known.get(&member);
        known.map_or_else(|| format!("member {member}"), Clone::clone)
    }

    /// A change in words. Names that go are known until then.
    fn told(&mut self, delta: &TableDelta) -> String {
        self.learn(&delta.members);
        let mut parts = Vec::new();
        match delta.rows.as_slice() {
            [] => {}
            [row] => {
                let acts = row.primary.map_or("nobody".to_owned(), |one| self.of(one));
                let copies: Vec<_> = row.replicas.iter().map(|one| self.of(*one)).collect();
                let copies = match copies.as_slice() {
                    [] => String::new(),
                    copies => format!(", copies at {}", copies.join(", ")),
                };
                let (partition, epoch, state) = (row.partition, row.epoch, &row.state);
                parts.push(format!(
                    "partition-{partition}: {acts} acts at epoch {epoch}{copies}; {state}"
                ));
            }
            rows => {
                let runs = runs(rows.iter().map(|row| row.partition), NAMED_MAX);
                parts.push(format!("{} partitions: {runs}", rows.len()));
            }
        }
        let members = delta.members.iter();
        let members = members.map(|one| format!("{} is {}", one.id, one.status));
        let gone = delta.gone.iter();
        let gone = gone.map(|one| format!("{} is gone", self.of(*one)));
        let nodes: Vec<String> = members.chain(gone).collect();
        if nodes.len() > NAMED_MAX {
            parts.push(format!("{} nodes changed", nodes.len()));
        } else {
            parts.extend(nodes);
        }
        if let Some(factor) = delta.replication_factor {
            parts.push(format!("replication factor {factor}"));
        }
        for member in &delta.gone {
            self.known.remove(member);
        }
        if parts.is_empty() {
            return "a new version, nothing else".to_owned();
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use ck_api::{DeltaRow, Lifecycle, TableAnswer};

    use super::*;

    fn member(number: u64, status: &str) -> TableMember {
        TableMember {
            member: number,
            id: format!("node-{number}"),
            status: status.into(),
            ..TableMember::default()
        }
    }

    fn row(partition: u32) -> DeltaRow {
        DeltaRow {
            partition,
            epoch: 5,
            state: "stable".into(),
            primary: Some(2),
            replicas: vec![1, 9],
        }
    }

    fn delta(rows: impl IntoIterator<Item = u32>) -> TableDelta {
        TableDelta {
            incarnation: 1,
            from: 30,
            version: 31,
            rows: rows.into_iter().map(row).collect(),
            ..TableDelta::default()
        }
    }

    #[track_caller]
    fn check(event: &WatchEvent, expected: &str) {
        let mut names = Names {
            incarnation: 1,
            ..Names::default()
        };
        names.learn(&[
            member(1, "active"),
            member(2, "active"),
            member(3, "active"),
        ]);
        let mut out = Vec::new();
        let done = write(&mut out, event, &mut names, Output { json: false });
        assert!(done.is_ok());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn an_event_is_a_line() {
        let table = TableAnswer {
            incarnation: 1,
            version: 30,
            members: vec![member(1, "active")],
            ..TableAnswer::default()
        };
        let event = WatchEvent::Table(table);
        check(
            &event,
            "1.30            table              0 partitions, 1 node\n",
        );
        check(
            &WatchEvent::Delta(delta([7])),
            "1.31            delta              partition-7: node-2 acts at epoch 5, copies at node-1, \
             member 9; stable\n",
        );
        let mut many = delta([0, 1, 2, 9, 11, 13, 15, 17, 19]);
        many.members = vec![member(3, "down")];
        many.gone = vec![1];
        check(
            &WatchEvent::Delta(many),
            "1.31            delta              9 partitions: 0-2, 9, 11, 13, 15, 17, …; node-3 is down; \
             node-1 is gone\n",
        );
        let event = WatchEvent::Lifecycle(Lifecycle {
            version: 31,
            kind: "node-down".into(),
            text: "node-3 is\ndown".into(),
            ..Lifecycle::default()
        });
        check(
            &event,
            "1.31            node-down          node-3 is\u{fffd}down\n",
        );
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["31", "1.31", "0"] {
            assert_eq!(version(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "1.2.3",
            "-1",
            "+1",
            "99999999999999999999",
        ] {
            assert!(version(text).is_err(), "{text}");
        }
    }
}
