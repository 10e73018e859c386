//! `spinwell pki init`: the authority of a region.

use super::{AUTHORITY, AUTHORITY_KEY, Piece, days_from_now, moment, replaces, subject, unlikely, write};
use crate::output::{self, say};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::json;
use spinwell_runtime::clock::civil;
use spinwell_runtime::tls::{Identity, Name, Validity};
use std::path::PathBuf;

/// Options of `spinwell pki init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The key is written so that only its owner can read it, and it is not encrypted. Who has it can be every process of the region:
keep the folder on the machine certificates are made on.

Examples:
  spinwell pki init
  spinwell pki init --region eu --dir /root/spinwell-pki --days 1825
  spinwell pki init --json")]
pub(super) struct Args {
    /// Folder for the authority's certificate and key.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/pki")]
    dir: PathBuf,
    /// Days it is valid.
    #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Region whose processes it names.
    #[arg(long, value_name = "NAME", default_value = "default")]
    region: Name,
    /// Replace an authority: every certificate it made is worth nothing then.
    #[arg(long)]
    force: bool,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Makes an authority.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (certificate, key) = (args.dir.join(AUTHORITY), args.dir.join(AUTHORITY_KEY));
    let replaced = replaces([&certificate, &key], args.force)?;
    let validity = days_from_now(args.days);
    let pair = KeyPair::generate().map_err(unlikely)?;
    let pem = authority(&args.region, validity, &pair)?;
    let secret = pair.serialize_pem();
    // The key first: a certificate without a key would look like an authority that works.
    write(&args.dir, &[Piece::secret(key.clone(), &secret), Piece::open(certificate.clone(), &pem)])?;
    if args.json {
        output::document(&json!({
            "region": args.region.as_str(),
            "certificate": certificate.display().to_string(),
            "key": key.display().to_string(),
            "valid_from": civil(validity.from),
            "valid_until": civil(validity.until),
            "replaced": replaced,
        }));
        return Ok(());
    }
    say(&format!("made the authority of region {}, valid until {}", args.region, civil(validity.until)));
    say(&format!("  {}  the certificate, which every process gets", certificate.display()));
    say(&format!("  {}  the key: keep it here, who has it can be every process", key.display()));
    if replaced {
        say(
            "certificates of the authority before are worth nothing now: issue all of them again with --force",
        );
    }
    let dir = args.dir.display();
    say(&format!(
        "next: spinwell pki issue gateway g1 --dir {dir}, and one for each node: spinwell pki issue node n1 --dir {dir}"
    ));
    Ok(())
}

fn authority(region: &Name, validity: Validity, key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.not_before = moment(validity.from)?;
    params.not_after = moment(validity.until)?;
    params.distinguished_name = subject(&format!("Spinwell authority of {region}"));
    let uri = Identity::of_authority(region).try_into().map_err(unlikely)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    // It signs certificates of processes and no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(key).map_err(unlikely)?.pem())
}
