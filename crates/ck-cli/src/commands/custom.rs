//! `ck custom`: small replicated values of the application.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ck_client::{Client, CustomValue};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde_json::json;

use super::online::with_client;
use crate::args::Connection;
use crate::exit::{Done, Failure};
use crate::output::{Output, count, figure, table, write_table};

/// Most bytes of a value, as the cluster takes it.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// Read and write small values that every node holds.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck custom set greeting hello")]
pub(crate) struct CustomArgs {
    #[command(subcommand)]
    command: CustomCommand,
}

#[derive(Debug, Subcommand)]
enum CustomCommand {
    Get(GetArgs),
    Set(SetArgs),
    List(ListArgs),
    Delete(DeleteArgs),
}

/// Print a value, byte for byte; with --json as text, or as `value_base64` where it is no text.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck custom get greeting")]
struct GetArgs {
    /// Its key.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    #[command(flatten)]
    connection: Connection,
}

/// Write a value; with --expected only if nobody has written it since.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck custom set greeting hello
  ck custom set settings --file settings.json --expected 41")]
struct SetArgs {
    /// Its key.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// The value; its bytes are taken as they are.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<OsString>,
    /// Take the value from a file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write only if this is the value's version; 0 if it must not exist.
    #[arg(long, value_name = "VERSION")]
    expected: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// List the keys.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck custom list --prefix app/")]
struct ListArgs {
    /// Only keys that start with this.
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Delete a value; with --expected only if nobody has written it since.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck custom delete greeting")]
struct DeleteArgs {
    /// Its key.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// Delete only if this is the value's version.
    #[arg(long, value_name = "VERSION")]
    expected: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// Runs one of the four.
pub(crate) fn run(args: CustomArgs, output: Output) -> Done {
    match args.command {
        CustomCommand::Get(args) => get(&args, output),
        CustomCommand::Set(args) => set(args, output),
        CustomCommand::List(args) => list(&args, output),
        CustomCommand::Delete(args) => delete(&args, output),
    }
}

fn get(args: &GetArgs, output: Output) -> Done {
    let CustomValue { value, version } = with_client(&args.connection, async |client: Client| {
        client.custom(&args.key).await
    })?;
    let (key, bytes) = (&args.key, value.len());
    let shown = match std::str::from_utf8(&value) {
        Ok(text) => json!({ "key": key, "version": version, "bytes": bytes, "value": text }),
        Err(_) => {
            let encoded = BASE64_STANDARD.encode(&value);
            json!({ "key": key, "version": version, "bytes": bytes, "value_base64": encoded })
        }
    };
    output.show(&shown, |out| {
        out.write_all(&value)?;
        // A terminal's prompt should not stand behind the value; a pipe gets its bytes alone.
        let open = !value.ends_with(b"\n") && io::stdout().is_terminal();
        if open { out.write_all(b"\n") } else { Ok(()) }
    })
}

fn set(args: SetArgs, output: Output) -> Done {
    let value = match (args.value, &args.file) {
        (Some(value), _) => value.into_vec(),
        (None, Some(file)) => read_value(file)?,
        (None, None) => return Err(Failure::usage("no value is given; add one, or --file FILE")),
    };
    let stored = with_client(&args.connection, async |client: Client| {
        client
            .set_custom(&args.key, value.into(), args.expected)
            .await
    })?;
    output.show(&stored, |out| {
        let bytes = count(stored.bytes, "byte", "bytes");
        writeln!(out, "{}: {bytes}, version {}", stored.key, stored.version)
    })
}

fn read_value(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin()
            .lock()
            .take(VALUE_BYTES_MAX + 1)
            .read_to_end(&mut value)
    } else {
        File::open(file).and_then(|open| open.take(VALUE_BYTES_MAX + 1).read_to_end(&mut value))
    };
    read.with_context(|| format!("cannot read the value from {}", file.display()))?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        let shown = file.display();
        let message = format!(
            "{shown} is longer than a value may be, {VALUE_BYTES_MAX} bytes (1 MiB); store it \
             elsewhere"
        );
        return Err(Failure::Refused(anyhow::Error::msg(message)));
    }
    Ok(value)
}

fn list(args: &ListArgs, output: Output) -> Done {
    let list = with_client(&args.connection, async |client: Client| {
        client.custom_list(args.prefix.as_deref()).await
    })?;
    output.show(&list, |out| {
        let mut rows = table(["key", "bytes", "version"]);
        for entry in &list.entries {
            rows.add_row(vec![
                Cell::new(&entry.key),
                figure(entry.bytes),
                figure(entry.version),
            ]);
        }
        write_table(out, &rows)?;
        writeln!(
            out,
            "{}",
            count(list.entries.len() as u64, "value", "values")
        )
    })
}

fn delete(args: &DeleteArgs, output: Output) -> Done {
    let deleted = with_client(&args.connection, async |client: Client| {
        client.delete_custom(&args.key, args.expected).await
    })?;
    output.show(&deleted, |out| writeln!(out, "{} deleted", deleted.key))
}
