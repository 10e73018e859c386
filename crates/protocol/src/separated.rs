//! Several names in one text, separated by commas.
//!
//! Metadata has room for texts only. Names and labels come from CSV files and may hold commas themselves, so they
//! are written as a CSV row is: quoted where that is needed, and plain otherwise.

/// The names as one row of CSV.
pub(crate) fn join(names: &[String]) -> String {
    names.iter().map(|name| quoted_if_needed(name)).collect::<Vec<_>>().join(",")
}

fn quoted_if_needed(name: &str) -> String {
    if name.is_empty() || name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// The names in a row of CSV; none in an empty text.
#[must_use]
pub fn split(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = Some(text).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        let (name, behind) = first(text);
        names.push(name);
        rest = behind;
    }
    names
}

/// The first name, and what stands behind its comma.
fn first(text: &str) -> (String, Option<&str>) {
    let Some(mut inner) = text.strip_prefix('"') else {
        return match text.split_once(',') {
            Some((name, behind)) => (name.to_owned(), Some(behind)),
            None => (text.to_owned(), None),
        };
    };
    let mut name = String::new();
    while let Some((part, behind)) = inner.split_once('"') {
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                inner = more;
            }
            None => return (name, behind.strip_prefix(',')),
        }
    }
    (name + inner, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn ordinary_names_are_plain_and_others_quoted() {
        let check = |names: &[&str], wanted: &str| {
            assert_eq!(join(&owned(names)), wanted);
            assert_eq!(split(wanted), names, "{wanted}");
        };
        check(&[], "");
        check(&["value"], "value");
        check(&["value", "other one"], "value,other one");
        check(&["normal, mild", "a \"b\"", ""], "\"normal, mild\",\"a \"\"b\"\"\",\"\"");
        assert_eq!(split("\"open"), ["open"]);
    }

    proptest! {
        #[test]
        fn any_names_come_back(names in proptest::collection::vec("[a,\" \n]{0,4}", 0..5)) {
            prop_assert_eq!(split(&join(&names)), names);
        }
    }
}
