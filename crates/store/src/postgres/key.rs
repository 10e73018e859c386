//! A sequence's name as bytes.

use spinwell_core::{SequenceId, SequenceKey, TenantId};

/// Tenant, model and id, each with its length before it.
#[must_use]
pub fn key_bytes(key: &SequenceKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in [&*key.tenant.0, key.model.as_str(), key.id.as_str()] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// The sequence of these bytes; `None` where they are none.
#[must_use]
pub fn key_of(bytes: &[u8]) -> Option<SequenceKey> {
    let mut rest = bytes;
    let mut part = || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (text, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = behind;
        std::str::from_utf8(text).ok()
    };
    let (tenant, model, id) = (part()?, part()?, part()?);
    rest.is_empty().then_some(())?;
    Some(SequenceKey {
        tenant: TenantId(tenant.into()),
        model: model.parse().ok()?,
        id: SequenceId::of_text(id)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_whole_or_not_at_all() {
        let key = SequenceKey {
            tenant: TenantId("".into()),
            model: "taxi".parse().unwrap(),
            id: SequenceId::of_text("größe 7").unwrap(),
        };
        let bytes = key_bytes(&key);
        assert_eq!(key_of(&bytes), Some(key));
        assert!((0..bytes.len()).all(|end| key_of(&bytes[..end]).is_none()));
        assert_eq!(key_of(&[bytes, vec![0]].concat()), None);
    }
}
