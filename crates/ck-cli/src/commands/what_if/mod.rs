//! `ck what-if`: the difference a change would make, without any server.

mod change;
mod report;

use std::num::NonZeroU32;
use std::path::PathBuf;

use ck_core::schedule::{Limits, Migration};
use clap::Args;

use super::place;
use crate::exit::{Done, Failure};
use crate::output::Output;
use change::Change;
use ck_spec::Request;
use report::{Difference, State};

const EXAMPLE: &str = "\
Examples:
  ck what-if --spec cluster.toml --lose-domain b
  ck what-if --spec cluster.toml --add n9:domain=b,weight=2 --bytes-per-partition 4GiB
  ck what-if --spec cluster.toml --weight n1=2 --fail-above 10
  ck what-if --spec cluster.json --replication-factor 5 --spread 2 --json

The spec is that of `ck place`; without `previous` the start is its first placement.";

/// What a change would cost: copies that move, bytes, rounds, primaries, balance before and after.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct WhatIfArgs {
    /// The spec, TOML or JSON; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    #[command(flatten)]
    change: Change,
    /// Size of a partition, to tell what moves in bytes; units as in `512MiB` or `2GB`.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    bytes_per_partition: Option<u64>,
    /// Copies a node receives at once; more need fewer rounds.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    incoming: NonZeroU32,
    /// Copies a node sends at once.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    outgoing: NonZeroU32,
    /// Exit with 4 when more than that part of all copies moves, such as `10` or `2.5`.
    #[arg(long, value_name = "PERCENT", value_parser = hundredths)]
    fail_above: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &WhatIfArgs, output: Output) -> Done {
    let before = place::read_spec(&args.spec)?;
    let previous = match &before.previous {
        Some(table) => table.clone(),
        None => before.plan()?.table,
    };
    let (topology, spec) = args.change.of(&before)?;
    let after = Request {
        topology,
        spec,
        previous: Some(previous),
        ..before
    };
    let plan = after.plan()?;
    let previous = after.previous.as_ref().expect("it was set above");
    let limits = Limits {
        incoming: args.incoming,
        outgoing: args.outgoing,
    };
    let migration = Migration {
        topology: &after.topology,
        spec: &after.spec,
        previous,
        target: &plan.table,
        limits,
        stale: &[],
    };
    let schedule = migration.schedule().map_err(anyhow::Error::from)?;
    let difference = Difference::new(
        &plan,
        &schedule,
        limits,
        State::new(previous, &before.topology, &before.spec),
        State::new(&plan.table, &after.topology, &after.spec),
    );
    let difference = difference.in_bytes(args.bytes_per_partition);
    output.show(&difference, |out| report::write(out, &difference))?;
    match args.fail_above {
        Some(most) if difference.exceeds(most) => Err(above(&difference, most)),
        _ => Ok(()),
    }
}

fn above(difference: &Difference, most: u64) -> Failure {
    Failure::Refused(anyhow::Error::msg(format!(
        "{} of {} copies move, above the {}.{:02} % allowed; allow more with --fail-above",
        difference.copies_moved,
        difference.copies,
        most / 100,
        most % 100,
    )))
}

/// A size such as `512`, `512MiB` or `2GB`.
fn bytes(text: &str) -> Result<u64, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "" | "B" => Some(1),
        "kB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "TB" => Some(1_000_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let size = number.parse().ok().zip(unit);
    size.and_then(|(number, unit): (u64, u64)| number.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is no size; write it as 4096, 512MiB or 2GB"))
}

/// A percentage of at most two decimals, in hundredths.
fn hundredths(text: &str) -> Result<u64, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let read = || {
        let hundredths: u64 = format!("{part:0<2}").parse().ok()?;
        let whole: u64 = whole.parse().ok()?;
        whole.checked_mul(100)?.checked_add(hundredths)
    };
    let fits = digits(whole) && digits(part) && part.len() <= 2;
    let value = if fits { read() } else { None };
    value
        .filter(|value| *value <= 10_000)
        .ok_or_else(|| format!("{text:?} is no percentage; write 0 to 100, such as 10 or 2.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_two_decimals_at_most() {
        assert_eq!(hundredths("0"), Ok(0));
        assert_eq!(hundredths("2.5"), Ok(250));
        assert_eq!(hundredths("33.33"), Ok(3_333));
        assert_eq!(hundredths("100"), Ok(10_000));
        for wrong in [
            "", ".", "1.", ".5", "100.01", "-1", "1.234", "ten", "1e1", "+1",
        ] {
            assert!(hundredths(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_a_unit_or_none() {
        assert_eq!(bytes("4096"), Ok(4_096));
        assert_eq!(bytes("2GB"), Ok(2_000_000_000));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        for wrong in ["", "GiB", "1.5GiB", "1 GiB", "-1", "99999999TiB", "1gib"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
