//! `spinwell pki issue`: the certificate of one process, one that callers are shown, or one that a caller shows.

use super::{AUTHORITY, AUTHORITY_KEY, Piece, days_from_now, moment, replaces, subject, unlikely, write};
use crate::failure;
use crate::output::{self, remark, say};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{CertificateParams, Issuer, KeyPair, KeyUsagePurpose, SanType};
use serde_json::json;
use spinwell_core::Code;
use spinwell_runtime::clock::{civil, unix};
use spinwell_runtime::tls::{self, Authority, Contents, Files, Identity, Name, Role, ServerName, Validity};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Options of `spinwell pki issue`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A process is called by one of the addresses and host names in its certificate: 127.0.0.1, ::1, localhost, and those of --san.
Before its days are over, the same command with --force makes a new one; a running process takes new files by itself.
A certificate of the role edge is shown to callers (edge.certificate, edge.key). It names no process and opens nothing: whoever steals it can
pass for the server, and not for a gateway.
One of the role caller is shown by a caller (--certificate, --certificate-key) to servers that trust this authority (edge.callers_ca). What its
name may do, certificates.toml says there.

Examples:
  spinwell pki issue node n1 --san 10.0.0.5
  spinwell pki issue gateway g1 --dir /root/spinwell-pki --out /etc/spinwell/g1 --days 30
  spinwell pki issue edge public --san 10.0.0.4 --san spinwell.example.org
  spinwell pki issue caller forecaster --days 30
  spinwell pki issue node n1 --san 10.0.0.5 --force --json")]
pub(super) struct Args {
    /// What the process does, gateway, node or control; or edge, for a certificate that callers are shown; or caller, for one that they show.
    role: Owner,
    /// Which of its role it is, such as n1; of edge a name for its folder; of caller who calls.
    id: Name,
    /// Folder of the authority.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/pki")]
    dir: PathBuf,
    /// A further address or host name by which it is called; may be given several times.
    #[arg(long, value_name = "HOST_OR_IP")]
    san: Vec<Address>,
    /// Days it is valid.
    #[arg(long, value_name = "N", default_value = "90", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Folder for certificate, key and authority [default: ROLE-ID in the folder of the authority].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace the certificate and the key that are there.
    #[arg(long)]
    force: bool,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A process, which others of ours know by it.
    Process(Role),
    /// The listeners for callers, whichever process has them.
    Edge,
    /// Somebody who calls them.
    Caller,
}

impl FromStr for Owner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "edge" => Ok(Owner::Edge),
            "caller" => Ok(Owner::Caller),
            role => {
                role.parse().map(Owner::Process).map_err(|_| "use gateway, node, control, edge or caller")
            }
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Process(role) => role.fmt(f),
            Owner::Edge => f.write_str("edge"),
            Owner::Caller => f.write_str("caller"),
        }
    }
}

/// An address or host name of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Ip(IpAddr),
    Host(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match ServerName::try_from(text) {
            Ok(ServerName::IpAddress(ip)) => Ok(Address::Ip(ip.into())),
            Ok(ServerName::DnsName(name)) => Ok(Address::Host(name.as_ref().to_owned())),
            _ => Err("use an IP address such as 10.0.0.5 or a host name such as n1.example.org".to_owned()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(f),
            Address::Host(name) => name.fmt(f),
        }
    }
}

/// The authority as it lies in its folder.
struct Home {
    pem: String,
    facts: Authority,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes a certificate.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if args.role == Owner::Caller && !args.san.is_empty() {
        let text = "nobody calls a caller, so that its certificate has no address or host name (--san)";
        return Err(failure::fault(Code::OptionInvalid, text));
    }
    let home = Home::read(&args.dir)?;
    let folder = args.out.clone().unwrap_or_else(|| args.dir.join(format!("{}-{}", args.role, args.id)));
    let files = Files::in_folder(&folder);
    let replaced = replaces([&files.certificate, &files.key, &files.authority], args.force)?;
    let asked = days_from_now(args.days);
    let validity = Validity { until: asked.until.min(home.facts.validity.until), ..asked };
    let region = &home.facts.region;
    let identity = match args.role {
        Owner::Process(role) => {
            Some(Identity { region: region.clone(), role, id: args.id.clone() }.to_string())
        }
        // As those of processes, with a role that no process has.
        Owner::Caller => Some(format!("{}/caller/{}", Identity::of_authority(region), args.id)),
        Owner::Edge => None,
    };
    let addresses = if args.role == Owner::Caller { Vec::new() } else { addresses(&args.san) };
    let pair = KeyPair::generate().map_err(unlikely)?;
    let named = format!("{} {}", args.role, args.id);
    let usages = match args.role {
        Owner::Process(_) => vec![ClientAuth, ServerAuth],
        Owner::Edge => vec![ServerAuth],
        Owner::Caller => vec![ClientAuth],
    };
    let mut certificate = certificate(&named, identity.as_deref(), &addresses, validity)?;
    certificate.extended_key_usages = usages;
    let certificate = certificate.signed_by(&pair, &home.issuer).map_err(unlikely)?.pem();
    let key = pair.serialize_pem();
    // What a peer would refuse is not written.
    let contents = Contents {
        certificate: certificate.clone().into_bytes(),
        key: key.clone().into_bytes(),
        authority: home.pem.clone().into_bytes(),
    };
    let checked = match args.role {
        Owner::Process(_) => tls::check(&files, &contents, unix()).map(drop),
        Owner::Edge => tls::check_edge(&files, &contents, unix()).map(drop),
        Owner::Caller => tls::check_caller(&files, &contents, unix()),
    };
    checked.map_err(|error| unfit(&args.dir, &error))?;
    write(
        &folder,
        &[
            Piece::open(files.authority.clone(), &home.pem),
            Piece::secret(files.key.clone(), &key),
            Piece::open(files.certificate.clone(), &certificate),
        ],
    )?;
    if validity.until < asked.until {
        remark("note: the certificate ends with its authority, earlier than asked for");
    }
    if args.json {
        output::document(&json!({
            "identity": identity,
            "region": region.as_str(),
            "role": args.role.to_string(),
            "id": args.id.as_str(),
            "certificate": files.certificate.display().to_string(),
            "key": files.key.display().to_string(),
            "authority": files.authority.display().to_string(),
            "addresses": addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "valid_from": civil(validity.from),
            "valid_until": civil(validity.until),
            "replaced": replaced,
        }));
        return Ok(());
    }
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let whose = identity.map_or_else(|| "for callers".to_owned(), |identity| format!("of {identity}"));
    say(&format!("made the certificate {whose}, valid until {}", civil(validity.until)));
    if !names.is_empty() {
        say(&format!("  called by {}", names.join(", ")));
    }
    say(&format!("  {}  certificate.pem, key.pem and authority.pem", folder.display()));
    if replaced {
        say("next: copy the folder to where the one before it was; a running process takes it by itself");
    } else if args.role == Owner::Caller {
        say(&format!(
            "next: give {} the folder, who shows it with --certificate and --certificate-key; serve with edge.callers_ca = {}, and enter the \
             name in certificates.toml of the access folder",
            args.id,
            files.authority.display()
        ));
    } else if args.role == Owner::Edge {
        say(&format!(
            "next: serve with edge.certificate and edge.key (SPINWELL_EDGE_CERTIFICATE={}, SPINWELL_EDGE_KEY={}), and give callers {}, \
             which they trust (--ca)",
            files.certificate.display(),
            files.key.display(),
            files.authority.display()
        ));
    } else {
        let (role, id) = (args.role, &args.id);
        say(&format!(
            "next: copy the folder to the machine of {role} {id}, readable for its user alone; before {} issue it again with --force",
            civil(validity.until)
        ));
    }
    Ok(())
}

impl Home {
    fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(AUTHORITY);
        let pem = read(&path)?;
        let key_path = dir.join(AUTHORITY_KEY);
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|error| {
            let text = format!("{} cannot be used as a private key: {error}", key_path.display());
            failure::fault(Code::CertificateInvalid, text)
        })?;
        let facts = Authority::read(&path, pem.as_bytes()).map_err(|error| error.fault())?;
        if facts.validity.until <= unix() {
            let text =
                format!("{}: the authority expired at {}", path.display(), civil(facts.validity.until));
            return Err(failure::fault(Code::CertificateInvalid, text));
        }
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|error| {
            let text = format!("{} cannot be used as an authority: {error}", path.display());
            failure::fault(Code::CertificateInvalid, text)
        })?;
        Ok(Self { pem, facts, issuer })
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let text = format!("{} is not there; `spinwell pki init` makes an authority", path.display());
            failure::fault(Code::Io, text)
        }
        _ => failure::io(path, "reading", &error),
    })
}

/// The one thing that can still be wrong with a certificate that was just made.
fn unfit(dir: &Path, error: &tls::Error) -> anyhow::Error {
    let reason = spinwell_runtime::telemetry::chain(error);
    let text = format!(
        "{AUTHORITY} and {AUTHORITY_KEY} in {} make no certificates that peers accept ({reason}); are they of each other?",
        dir.display()
    );
    failure::fault(Code::CertificateInvalid, text)
}

/// The machine itself, and what was asked for, each once.
fn addresses(asked: &[Address]) -> Vec<Address> {
    let mut all = vec![
        Address::Ip(Ipv4Addr::LOCALHOST.into()),
        Address::Ip(Ipv6Addr::LOCALHOST.into()),
        Address::Host("localhost".to_owned()),
    ];
    for address in asked {
        if !all.contains(address) {
            all.push(address.clone());
        }
    }
    all
}

/// What a certificate is to say, but for what it may be used for.
fn certificate(
    named: &str,
    identity: Option<&str>,
    addresses: &[Address],
    validity: Validity,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = moment(validity.from)?;
    params.not_after = moment(validity.until)?;
    params.distinguished_name = subject(named);
    if let Some(identity) = identity {
        let uri = identity.try_into().map_err(unlikely)?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    for address in addresses {
        params.subject_alt_names.push(match address {
            Address::Ip(ip) => SanType::IpAddress(*ip),
            Address::Host(name) => SanType::DnsName(name.as_str().try_into().map_err(unlikely)?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
