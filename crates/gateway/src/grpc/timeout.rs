//! How long a caller says he will wait: the `grpc-timeout` header.

use spinwell_core::Micros;

/// The time in a `grpc-timeout` header: at most eight digits and a unit. What is not one is ignored, as the
/// protocol's own libraries do.
pub(super) fn parse(text: &str) -> Option<Micros> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = if plain { digits.parse().ok()? } else { return None };
    let micros = match unit {
        "n" => number / 1000,
        "u" => number,
        "m" => number * 1000,
        "S" => number * 1_000_000,
        "M" => number * 60_000_000,
        "H" => number * 3_600_000_000,
        _ => return None,
    };
    Some(Micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_understood_and_nonsense_ignored() {
        let check = |text: &str, wanted: Option<u64>| assert_eq!(parse(text), wanted.map(Micros), "{text}");
        check("5S", Some(5_000_000));
        check("250m", Some(250_000));
        check("7u", Some(7));
        check("1999n", Some(1));
        check("1H", Some(3_600_000_000));
        check("99999999M", Some(99_999_999 * 60_000_000));
        for nonsense in ["", "5", "S", "5 S", "-5S", "123456789S", "5s", "5é"] {
            check(nonsense, None);
        }
    }
}
