//! `ck config` and `ck set`.

use std::io::{self, Write};

use ck_api::{ClusterConfig, ConfigPatch, NodePatch};
use ck_client::Client;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::online::{too_few_holders, with_client};
use crate::args::Connection;
use crate::exit::{Done, Failure, warn};
use crate::output::{Output, table, write_table};

/// Show the cluster's configuration: what is promised, the lease, every limit.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck config")]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Shows the configuration.
pub(crate) fn show(args: &ConfigArgs, output: Output) -> Done {
    let answer = with_client(&args.connection, async |client: Client| {
        client.config().await
    })?;
    output.show(&answer, |out| write_config(out, &answer.config))
}

fn write_config(out: &mut dyn Write, config: &ClusterConfig) -> io::Result<()> {
    let fields = serde_json::to_value(config)?;
    let mut rows = table(["setting", "value"]);
    for (name, value) in fields.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        rows.add_row(vec![name.clone(), value]);
    }
    write_table(out, &rows)
}

/// Change the cluster's configuration while it runs, or what is known of a node.
///
/// Of the cluster: replication_factor, spread, min_in_sync, rejoin_grace_ms, settle_ms, auto_create,
/// auto_rebalance, voters, max_transfers_per_node; by itself mode; by itself the lease: profile,
/// lease_ms, rho_ppm, freeze_allowance_ms. Of a node: name, weight, domain, state.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ck set max_transfers_per_node=4
  ck set --node node-3 weight=2 domain=eu-1a")]
pub(crate) struct SetArgs {
    /// What to change, and to what; an empty domain makes a node its own.
    #[arg(required = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// The node to change.
    #[arg(long, value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    node: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Changes the configuration, or a node.
pub(crate) fn set(args: &SetArgs, output: Output) -> Done {
    let Some(node) = &args.node else {
        let patch: ConfigPatch = patch(&args.settings)?;
        let (answer, cluster) = with_client(&args.connection, async |client: Client| {
            let answer = client.configure(&patch).await?;
            Ok((answer, client.cluster().await.ok()))
        })?;
        if let Some(warning) = cluster.as_ref().and_then(too_few_holders) {
            warn(&warning);
        }
        return output.show(&answer, |out| {
            let (incarnation, version) = (answer.incarnation, answer.version);
            writeln!(out, "changed, version {incarnation}.{version}")
        });
    };
    let patch: NodePatch = patch(&args.settings)?;
    let answer = with_client(&args.connection, async |client: Client| {
        client.update_node(node, &patch).await
    })?;
    output.show(&answer, |out| {
        let (incarnation, version) = (answer.incarnation, answer.version);
        writeln!(out, "{node} changed, version {incarnation}.{version}")
    })
}

/// Settings as the body of a change. A name that is unknown, and a value of another kind, are named.
fn patch<T: DeserializeOwned>(settings: &[String]) -> Result<T, Failure> {
    let mut fields = Map::new();
    for setting in settings {
        let Some((name, text)) = setting.split_once('=') else {
            let message = format!("{setting:?} is no setting; write it as NAME=VALUE");
            return Err(Failure::usage(message));
        };
        if fields.insert(name.to_owned(), value(name, text)).is_some() {
            return Err(Failure::usage(format!(
                "{name} is given twice; give it once"
            )));
        }
    }
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let field = error.path().to_string();
        let place = match field.as_str() {
            "." | "" => String::new(),
            field => format!("{field}: "),
        };
        Failure::usage(format!("{place}{}; see `ck set --help`", error.inner()))
    })
}

fn value(name: &str, text: &str) -> Value {
    let is_text = matches!(name, "name" | "domain" | "state" | "mode" | "profile");
    if is_text {
        return match text {
            "" if name == "domain" => Value::Null,
            text => Value::from(text),
        };
    }
    match (text.parse::<u64>(), text.parse::<bool>()) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(yes)) => Value::from(yes),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(settings: &[&str]) -> Vec<String> {
        settings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_become_the_body_of_a_change() {
        let cluster = words(&["spread=2", "auto_create=false", "rejoin_grace_ms=5000"]);
        let patch: ConfigPatch = patch(&cluster).unwrap();
        assert_eq!(
            (patch.spread, patch.auto_create, patch.rejoin_grace_ms),
            (Some(2), Some(false), Some(5000))
        );
        let node = words(&["name=7", "domain=", "weight=3"]);
        let patch: NodePatch = super::patch(&node).unwrap();
        assert_eq!(
            (patch.name.as_deref(), patch.domain, patch.weight),
            (Some("7"), Some(None), Some(3))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (setting, said) in [
            ("spread", "NAME=VALUE"),
            ("spraed=2", "spraed"),
            ("spread=many", "spread"),
            ("spread=-1", "spread"),
            ("spread=999", "spread"),
        ] {
            let failure = patch::<ConfigPatch>(&words(&[setting])).unwrap_err();
            let Failure::Usage(error) = failure else {
                panic!("{setting} is a question of usage");
            };
            assert!(error.to_string().contains(said), "{setting}: {error}");
        }
        assert!(patch::<ConfigPatch>(&words(&["spread=1", "spread=2"])).is_err());
    }
}
