//! Error codes and their pages say the same.
//!
//! The list in `core` is the truth. A code that an operator meets must lead to a page, a page must belong to a
//! code, and nothing may mention a code that does not exist: codes are what people search for.

use crate::report::Finding;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// Where the list is.
const LIST: &str = "crates/core/src/fault.rs";
/// The macro call that holds it. The definition reads `macro_rules! codes {` and does not match.
const LIST_BEGINS: &str = "\ncodes! {";
const LIST_ENDS: &str = "\n}";
/// Where the pages are.
const PAGES: &str = "docs/errors/";
const INDEX: &str = "docs/errors/README.md";
const PREFIX: &str = "SPW-";

/// Everything that is amiss between the list, the pages and the mentions.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let codes = tree.text(LIST).map(listed).unwrap_or_default();
    if codes.is_empty() {
        return vec![Finding::new(LIST, "no list of error codes found, so nothing could be held against it")];
    }
    let mut findings = without_page(tree, &codes);
    findings.extend(without_code(tree, &codes));
    findings.extend(not_in_index(tree, &codes));
    findings.extend(unknown(tree, &codes));
    findings
}

/// The codes of the `codes!` call in the text of `fault.rs`.
fn listed(text: &str) -> BTreeSet<&str> {
    let call = text.split_once(LIST_BEGINS).map_or("", |(_, rest)| rest);
    let body = call.split_once(LIST_ENDS).map_or("", |(body, _)| body);
    body.split('"').skip(1).step_by(2).filter(|literal| literal.starts_with(PREFIX)).collect()
}

fn without_page(tree: &Tree, codes: &BTreeSet<&str>) -> Vec<Finding> {
    let pages = codes.iter().map(|code| format!("{PAGES}{code}.md"));
    pages.filter(|page| !tree.exists(page)).map(|page| Finding::new(page, "the code has no page")).collect()
}

fn without_code(tree: &Tree, codes: &BTreeSet<&str>) -> Vec<Finding> {
    let pages = tree.ending(".md").filter(|(path, _)| path.starts_with(PAGES) && *path != INDEX);
    let code = |path: &str| path.trim_start_matches(PAGES).trim_end_matches(".md").to_owned();
    pages
        .filter(|(path, _)| !codes.contains(code(path).as_str()))
        .map(|(path, _)| Finding::new(path, format!("the page has no code in {LIST}")))
        .collect()
}

fn not_in_index(tree: &Tree, codes: &BTreeSet<&str>) -> Vec<Finding> {
    let Some(index) = tree.text(INDEX) else {
        return vec![Finding::new(INDEX, "the index of error codes is missing")];
    };
    let named: BTreeSet<&str> = index.lines().flat_map(mentions).collect();
    codes.difference(&named).map(|code| Finding::new(INDEX, format!("{code} is not listed"))).collect()
}

fn unknown(tree: &Tree, codes: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs").chain(tree.ending(".md")) {
        for (index, line) in text.lines().enumerate() {
            for code in mentions(line).filter(|code| !codes.contains(code)) {
                findings.push(Finding::new(
                    format!("{path}:{}", index + 1),
                    format!("{code} is not a known code"),
                ));
            }
        }
    }
    findings
}

/// Everything in a line that reads like a whole code. The bare prefix is not one.
fn mentions(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(PREFIX).filter_map(|(at, _)| {
        let rest = &line[at + PREFIX.len()..];
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '-').unwrap_or(rest.len());
        (end > 0).then(|| &line[at..at + PREFIX.len() + end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made-up codes are put together so that this file does not mention them.
    const ONE: &str = concat!("SPW", "-ONE");
    const MORE: &str = concat!("SPW", "-ONE-MORE");
    const OTHER: &str = concat!("SPW", "-OTHER");

    fn fault_rs() -> String {
        format!(
            "macro_rules! codes {{\n    () => {{}};\n}}\n\ncodes! {{\n    /// Doc.\n    \
             One = {ONE:?}, Client, retryable: false;\n    OneMore = {MORE:?}, Client, retryable: false;\n}}\n"
        )
    }

    fn page(code: &str) -> String {
        format!("{PAGES}{code}.md")
    }

    /// What is found in a tidy tree after `change`, as one string a finding.
    fn check_after(change: impl FnOnce(&mut Vec<(String, String)>)) -> Vec<String> {
        let mut files = vec![
            (LIST.to_owned(), fault_rs()),
            (INDEX.to_owned(), format!("- [{ONE}]({ONE}.md)\n- [{MORE}]({MORE}.md)\n")),
            (page(ONE), format!("# {ONE}\n")),
            (page(MORE), format!("# {MORE}: not {ONE}.\n")),
        ];
        change(&mut files);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        check(&Tree::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn list_is_the_call_and_nothing_around_it() {
        let around =
            fault_rs().replace("() => {}", &format!("() => {{ {OTHER:?} }}")) + &format!("// {OTHER:?}\n");
        assert_eq!(listed(&around).into_iter().collect::<Vec<_>>(), [ONE, MORE]);
    }

    #[test]
    fn mentions_are_whole_words() {
        let line = format!("{ONE}, `{MORE}` and {OTHER}: but {PREFIX}… and {PREFIX}<CODE> are patterns");
        assert_eq!(mentions(&line).collect::<Vec<_>>(), [ONE, MORE, OTHER]);
    }

    #[test]
    fn nothing_amiss() {
        assert_eq!(check_after(|_| {}), [""; 0]);
    }

    #[test]
    fn missing_page_is_found() {
        let found = check_after(|files| files.retain(|(path, _)| *path != page(MORE)));
        assert_eq!(found, [format!("{}: the code has no page", page(MORE))]);
    }

    #[test]
    fn page_without_code_is_found() {
        let found = check_after(|files| files.push((page(OTHER), "gone".to_owned())));
        assert_eq!(found, [format!("{}: the page has no code in {LIST}", page(OTHER))]);
    }

    #[test]
    fn code_missing_in_the_index_is_found_even_if_another_begins_with_it() {
        let found = check_after(|files| files[1].1 = format!("- [{MORE}]({MORE}.md)\n"));
        assert_eq!(found, [format!("{INDEX}: {ONE} is not listed")]);
        let found = check_after(|files| drop(files.remove(1)));
        assert_eq!(found, [format!("{INDEX}: the index of error codes is missing")]);
    }

    #[test]
    fn unknown_code_is_found_with_its_line() {
        let found =
            check_after(|files| files.push(("crates/x/src/a.rs".to_owned(), format!("\n// {OTHER}\n"))));
        assert_eq!(found, [format!("crates/x/src/a.rs:2: {OTHER} is not a known code")]);
    }

    #[test]
    fn lost_list_is_a_finding_and_not_silence() {
        assert_eq!(check_after(|files| files[0].1.clear()).len(), 1);
    }
}
