//! The parts that a page is made of: figures with their keys and one sentence, cards, tables, lists.

use crate::plot::{Chart, Size, Tone, escaped};
use std::fmt::Write as _;

/// What a colour in a chart stands for.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    class: String,
    text: String,
}

impl Key {
    /// A line.
    pub(crate) fn line(tone: Tone, text: &str) -> Self {
        Self { class: format!("stroke {}", tone.as_str()), text: text.to_owned() }
    }

    /// A dashed line.
    pub(crate) fn dashes(tone: Tone, text: &str) -> Self {
        Self { class: format!("stroke dashes {}", tone.as_str()), text: text.to_owned() }
    }

    /// An area.
    pub(crate) fn area(tone: Tone, text: String) -> Self {
        Self { class: format!("fill {}", tone.as_str()), text }
    }
}

/// A chart with its title, its keys, and how to read it.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    title: String,
    how: String,
    keys: Vec<Key>,
    drawing: String,
}

impl Figure {
    /// A figure across the page. It is drawn a second time for phones, and the page shows the one that fits.
    pub(crate) fn wide(title: String, how: String, keys: Vec<Key>, chart: &Chart<'_>) -> Self {
        let drawing = chart.draw(Size::Wide) + &chart.draw(Size::Narrow);
        Self { title, how, keys, drawing }
    }

    /// A figure beside others.
    pub(crate) fn half(title: String, how: String, keys: Vec<Key>, chart: &Chart<'_>) -> Self {
        Self { title, how, keys, drawing: chart.draw(Size::Half) }
    }

    /// A figure beside two others.
    pub(crate) fn third(title: String, how: String, chart: &Chart<'_>) -> Self {
        Self { title, how, keys: Vec::new(), drawing: chart.draw(Size::Third) }
    }

    /// The figure as markup.
    pub(crate) fn markup(&self) -> String {
        let Self { title, how, keys, drawing } = self;
        let mut legend = String::new();
        for Key { class, text } in keys {
            write!(legend, "<span class=\"key\"><i class=\"{class}\"></i>{}</span>", escaped(text))
                .expect("writing to a string does not fail");
        }
        let legend = if legend.is_empty() { legend } else { format!("<p class=\"keys\">{legend}</p>\n") };
        format!(
            "<figure>\n<h3>{}</h3>\n{legend}{drawing}<figcaption>{}</figcaption>\n</figure>\n",
            escaped(title),
            escaped(how)
        )
    }
}

/// How good a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grade {
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Not as it should be.
    Bad,
    /// Neither good nor bad by itself.
    Plain,
}

impl Grade {
    const fn as_str(self) -> &'static str {
        match self {
            Grade::Good => "good",
            Grade::Doubtful => "doubtful",
            Grade::Bad => "bad",
            Grade::Plain => "plain",
        }
    }
}

/// One figure, large.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    /// What it is.
    pub(crate) name: &'static str,
    /// The figure.
    pub(crate) value: String,
    /// How good it is.
    pub(crate) grade: Grade,
    /// What it means.
    pub(crate) note: String,
}

impl Card {
    /// The card as markup.
    pub(crate) fn markup(&self) -> String {
        let Self { name, value, grade, note } = self;
        format!(
            "<div class=\"card {}\"><p class=\"name\">{}</p><p class=\"value\">{}</p><p class=\"note\">{}</p></div>\n",
            grade.as_str(),
            escaped(name),
            escaped(value),
            escaped(note)
        )
    }
}

/// A table whose first row holds the heads and whose first column holds names.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
    };
    let Some((heads, rows)) = rows.split_first() else { return String::new() };
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n",
        cells("th", heads)
    )
}

/// A list of names and what they are.
pub(crate) fn facts(pairs: &[(&str, String)]) -> String {
    let one = |(name, value): &(&str, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value))
    };
    format!("<dl>\n{}</dl>\n", pairs.iter().map(one).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_stay_text_wherever_they_stand() {
        let name = "<img src=x onerror=\"y\">";
        let card = Card { name: "n", value: name.to_owned(), grade: Grade::Good, note: name.to_owned() };
        let rows = [vec![name.to_owned()], vec![name.to_owned()]];
        for markup in [card.markup(), table(&rows), facts(&[("f", name.to_owned())])] {
            assert!(!markup.contains("<img") && markup.contains("&lt;img src=x onerror=&quot;y&quot;&gt;"));
        }
        assert_eq!(table(&[]), "");
    }
}
