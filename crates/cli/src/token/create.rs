//! `spinwell token create`.

use super::{Place, change};
use crate::output::{self, remark, say};
use anyhow::Context as _;
use serde_json::json;
use spinwell_core::{Code, Fault, TenantId, UnixMicros, UnixMillis};
use spinwell_runtime::access::{POLICIES, read_policies};
use spinwell_runtime::{clock, entropy};
use spinwell_security::access::Action;
use spinwell_security::key::{About, KeyRecord, create};
use spinwell_security::tenant::is_tenant_name;
use spinwell_security::{Glob, Scopes};

/// Options of `spinwell token create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell token create ci --role predictor
  spinwell token create dashboard --role viewer --role auditor --expires 30d
  spinwell token create meter-7 --tenant acme --role predictor --model 'acme-*' --action 'Prediction*' --action SequenceStep")]
pub(super) struct Args {
    /// What the key is called, and who calls with it.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Who calls with it, where that is not the key's name; others know them as TENANT/PRINCIPAL.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Whom it belongs to; `default` is the house itself.
    #[arg(long, value_name = "NAME", default_value = "default")]
    tenant: String,
    /// A role that it gives: viewer, predictor, trainer, operator, auditor, admin, or one of your policies'; again for several.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,
    /// Models that it is limited to, such as `acme-*`; again for several [default: all that its roles allow].
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<Glob>,
    /// Actions that it is limited to, such as `Prediction*`; again for several [default: all that its roles allow].
    #[arg(long = "action", value_name = "PATTERN")]
    actions: Vec<Glob>,
    /// After how long it is refused: a number and s, m, h or d [default: never].
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires: Option<u64>,
}

/// Seconds of a span such as `90d`.
fn span(text: &str) -> Result<u64, String> {
    let wrong = || "use a number above 0 and s, m, h or d, such as 12h or 90d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=3_155_760_000).contains(seconds));
    seconds.ok_or_else(wrong)
}

/// Makes a key.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let principal = args.principal.as_ref().unwrap_or(&args.name);
    let wrong = |what: String| Fault::new(Code::OptionInvalid, what);
    if !is_tenant_name(&args.tenant) {
        return Err(wrong(format!("{:?} is no name of a tenant", args.tenant)).into());
    }
    let is_text = |text: &str| (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
    if let Some(text) = [&args.name, principal].into_iter().chain(&args.roles).find(|text| !is_text(text)) {
        return Err(wrong(format!("{text:?} is no name: use 1 to 128 characters")).into());
    }
    for pattern in &args.actions {
        if !Action::ALL.iter().any(|action| pattern.matches(action.name())) {
            let all: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
            let message =
                format!("no action is named like {:?}; there are {}", pattern.as_str(), all.join(", "));
            return Err(wrong(message).into());
        }
    }
    let now = clock::unix_micros();
    let expires = args.expires.map(|seconds| UnixMicros(now.0 + seconds * 1_000_000));
    let about = About {
        name: args.name.clone(),
        tenant: TenantId(args.tenant.as_str().into()),
        principal: principal.clone(),
        roles: args.roles.iter().cloned().collect(),
        scopes: Scopes { models: args.models.clone(), actions: args.actions.clone() },
        created: now,
        expires,
    };
    let random = || entropy::secret().context("the system gives no random bytes");
    let (mut id, bytes) = ([0; 8], random()?);
    id.copy_from_slice(&bytes[..8]);
    let (text, record) = create(&id, &random()?, about);
    let others = change(&args.place.dir, |mut records| {
        let is_other = |other: &&KeyRecord| {
            other.identity().principal == record.identity().principal && other.revoked.is_none()
        };
        let others = records.iter().filter(is_other).count();
        records.push(record.clone());
        Ok((records, others))
    })?;
    if others > 0 {
        let principal = &record.identity().principal;
        remark(&format!("{principal} has {others} other keys that are not revoked (`spinwell token list`)"));
    }
    doubt_roles(args);
    let until = expires.map(|at| clock::civil(UnixMillis(at.0 / 1_000)));
    if args.place.json {
        output::document(&json!({
            "id": record.id.to_string(), "token": text.expose(), "principal": &*record.identity().principal,
            "tenant": args.tenant, "roles": args.roles, "expires": until,
        }));
        return Ok(());
    }
    say(text.expose());
    let until = until.map_or_else(|| "never expires".to_owned(), |until| format!("expires {until}"));
    remark(&format!("key {} of {}, {until}; it is not shown again", record.id, record.identity().principal));
    remark(
        "use it:  SPINWELL_TOKEN=... spinwell predict ... --url, or the header `Authorization: Bearer ...`",
    );
    Ok(())
}

/// Says which roles give nothing, as far as the policies beside the keys tell.
fn doubt_roles(args: &Args) {
    let policies = match read_policies(&args.place.dir.join(POLICIES)) {
        Ok(policies) => policies,
        Err(fault) => return remark(&format!("the policies beside the keys are wrong: {}", fault.message())),
    };
    for role in &args.roles {
        // As Cedar writes it.
        let name = format!("Role::{role:?}");
        if !policies.policies().iter().any(|policy| policy.text.contains(&name)) {
            remark(&format!("no policy names the role {role:?}: by itself it allows nothing"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!((span("90d"), span("12h"), span("1s")), (Ok(7_776_000), Ok(43_200), Ok(1)));
        for wrong in ["", "90", "d", "-1d", "0d", "99999999999999999999d", "9999999d", "1\u{fc}"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
