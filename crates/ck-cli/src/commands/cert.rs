//! `ck cert`: an authority and certificates for tests and small clusters, made without a server.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ck_core::NodeId;
use ck_tls::issue::{Authority, IssueError};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::exit::{Done, Failure};
use crate::output::Output;

/// Files of the authority, in the directory of `--out`.
const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca-key.pem";

/// Largest file that is read: such files have a kilobyte.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Make certificates for tests and small clusters, without a server.
///
/// Their authority is a file on this machine, and nothing is revoked before it expires: whoever reads
/// its key is every node. Keep ca-key.pem away from the nodes, and use an authority of your own where
/// others depend on the cluster.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, for three nodes:
  ck cert ca --out certs
  ck cert node --id node-1 --host 127.0.0.1 --out certs
  ck serve --id node-1 --tls-cert certs/node-1.pem --tls-key certs/node-1-key.pem \\
    --peer-cert certs/node-1.pem --peer-key certs/node-1-key.pem --peer-ca certs/ca.pem")]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Ca(CaArgs),
    Node(NodeArgs),
}

/// Make an authority: ca.pem, which everybody is told to trust, and its key, ca-key.pem.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ck cert ca --out certs")]
struct CaArgs {
    /// Directory to write to; made where there is none. Nothing in it is written over.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long it is good for.
    #[arg(long, value_name = "COUNT", default_value_t = 365)]
    days: u32,
}

/// Make the certificate of a node, for its HTTP surface and for its peers: ID.pem and ID-key.pem.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ck cert node --id node-1 --host 127.0.0.1,node-1.internal --out certs"
)]
struct NodeArgs {
    /// Id of the node.
    #[arg(long)]
    id: NodeId,
    /// A name or an address at which the node is reached; repeated or with commas.
    #[arg(long, value_name = "HOST", value_delimiter = ',', required = true)]
    host: Vec<String>,
    /// Directory with the authority, and to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long it is good for.
    #[arg(long, value_name = "COUNT", default_value_t = 90)]
    days: u32,
    /// Replace the node's certificate and key, as to renew them.
    #[arg(long)]
    renew: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Made {
    certificate: PathBuf,
    key: PathBuf,
}

/// Makes what was asked for.
pub(crate) fn run(args: &CertArgs, output: Output) -> Done {
    match &args.what {
        What::Ca(args) => authority(args, output),
        What::Node(args) => node(args, output),
    }
}

fn authority(args: &CaArgs, output: Output) -> Done {
    let authority = Authority::new(args.days).map_err(refused)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the directory {}", args.out.display()))?;
    let made = Made {
        certificate: args.out.join(AUTHORITY),
        key: args.out.join(AUTHORITY_KEY),
    };
    // The key first: a certificate that is there has one.
    write_new(&made.key, authority.key(), SECRET)?;
    write_new(&made.certificate, authority.certificate(), OPEN)?;
    show(&made, "an authority for tests and small clusters", output)
}

fn node(args: &NodeArgs, output: Output) -> Done {
    let read = |name: &str| read(&args.out.join(name));
    let (certificate, key) = (read(AUTHORITY)?, read(AUTHORITY_KEY)?);
    let authority = Authority::from_pem(&certificate, &key).map_err(refused)?;
    let issued = authority
        .issue(&args.id, &args.host, args.days)
        .map_err(refused)?;
    let name = file_name(&args.id)?;
    let made = Made {
        certificate: args.out.join(format!("{name}.pem")),
        key: args.out.join(format!("{name}-key.pem")),
    };
    if args.renew {
        // One after the other: a node that reads between the two keeps what it has, and reads again.
        replace(&made.key, &issued.key, SECRET)?;
        replace(&made.certificate, &issued.certificate, OPEN)?;
    } else {
        write_new(&made.key, &issued.key, SECRET)?;
        write_new(&made.certificate, &issued.certificate, OPEN)?;
    }
    show(&made, &format!("a certificate of {}", args.id), output)
}

fn show(made: &Made, what: &str, output: Output) -> Done {
    output.show(made, |out| {
        let (certificate, key) = (made.certificate.display(), made.key.display());
        writeln!(out, "{what}: {certificate}, its key in {key}")
    })
}

fn refused(error: IssueError) -> Failure {
    match error {
        IssueError::Making(_) => Failure::Failed(error.into()),
        _ => Failure::Usage(error.into()),
    }
}

/// The id as the name of a file, where it is one.
fn file_name(id: &NodeId) -> Result<&str, Failure> {
    let id = id.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // Those would be the files of the authority, or of another node's key.
    let taken = id == "ca" || id.ends_with("-key");
    if taken || id.starts_with('.') || !id.chars().all(plain) {
        return Err(Failure::usage(format!(
            "{id:?} is no name for a file here; use letters, digits, `-`, `_` and `.`, neither `ca` nor \
             `-key` at the end"
        )));
    }
    Ok(id)
}

/// Who may read a file.
const SECRET: u32 = 0o600;
const OPEN: u32 = 0o644;

/// Writes a file that is not there yet. Nobody else could read it at any instant.
fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(mode);
    let written = open.open(file).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()
    });
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let file = file.display();
            let remedy = "move it away, name another directory, or renew a node's with --renew";
            Err(Failure::Refused(anyhow::anyhow!(
                "{file} is there already; {remedy}"
            )))
        }
        Err(error) => {
            let what = format!("cannot write {}", file.display());
            Err(anyhow::Error::from(error).context(what).into())
        }
    }
}

/// Puts a file in the place of one that may be there, whole.
fn replace(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let beside = file.with_extension(format!("new-{}", std::process::id()));
    write_new(&beside, text, mode)?;
    std::fs::rename(&beside, file).with_context(|| format!("cannot replace {}", file.display()))?;
    Ok(())
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .with_context(|| {
            format!(
                "cannot read {}; make an authority with `ck cert ca`",
                file.display()
            )
        })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_leads_elsewhere_is_no_file() {
        for id in [
            "../x",
            "a/b",
            ".hidden",
            "a b",
            "ca",
            "ca-key",
            "node-1-key",
            "é",
        ] {
            let id = NodeId::new(id).unwrap();
            assert!(file_name(&id).is_err(), "{id}");
        }
        let id = NodeId::new("node-1.eu_a").unwrap();
        assert_eq!(file_name(&id).unwrap(), "node-1.eu_a");
    }
}
