//! Documents as trees of plain values, as YAML and JSON have them.
//!
//! Whoever reads files turns what a parser gave him into this, and back. Nothing here knows text.

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// Nothing.
    Null,
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Tree>),
    /// Values by name, in the order of the document.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Values by name.
    #[must_use]
    pub fn map<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What it is, for messages.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "fields",
        }
    }
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The field, from the document's root on: `spec.objectives[0].target`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for Error {}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    tree: &'a Tree,
    path: String,
}

impl<'a> Place<'a> {
    /// A document's root, by the name that messages shall call it.
    pub(super) fn root(tree: &'a Tree, path: &str) -> Self {
        Self { tree, path: path.to_owned() }
    }

    /// That something is wrong here.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Error {
        Error { field: self.path.clone(), message: message.into() }
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn not(&self, wanted: &str) -> Error {
        self.wrong(format!("is {}, must be {wanted}", self.tree.kind()))
    }

    /// A field that may be missing.
    pub(super) fn optional(&self, name: &str) -> Result<Option<Self>, Error> {
        let Tree::Map(fields) = self.tree else { return Err(self.not("fields")) };
        let found = fields.iter().find(|(own, value)| own == name && *value != Tree::Null);
        Ok(found.map(|(_, tree)| Self { tree, path: self.at(name) }))
    }

    /// A field that must be there.
    pub(super) fn field(&self, name: &str) -> Result<Self, Error> {
        let missing = || Error { field: self.at(name), message: "is missing".to_owned() };
        self.optional(name)?.ok_or_else(missing)
    }

    /// A field that this version does not do anything about, and must not be there.
    pub(super) fn without(&self, name: &str, instead: &str) -> Result<(), Error> {
        self.optional(name)?.map_or(Ok(()), |own| Err(own.wrong(format!("is not supported: {instead}"))))
    }

    pub(super) fn text(&self) -> Result<&'a str, Error> {
        if let Tree::Text(text) = self.tree { Ok(text) } else { Err(self.not("a text")) }
    }

    pub(super) fn number(&self) -> Result<f64, Error> {
        if let Tree::Number(number) = self.tree { Ok(*number) } else { Err(self.not("a number")) }
    }

    pub(super) fn flag(&self) -> Result<bool, Error> {
        if let Tree::Flag(flag) = self.tree { Ok(*flag) } else { Err(self.not("true or false")) }
    }

    /// All fields by name.
    pub(super) fn fields(&self) -> Result<Vec<(&'a str, Self)>, Error> {
        let Tree::Map(fields) = self.tree else { return Err(self.not("fields")) };
        let place = |(name, tree): &'a (String, Tree)| (name.as_str(), Self { tree, path: self.at(name) });
        Ok(fields.iter().map(place).collect())
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, Error> {
        let Tree::List(items) = self.tree else { return Err(self.not("a list")) };
        let place = |(index, tree)| Self { tree, path: format!("{}[{index}]", self.path) };
        Ok(items.iter().enumerate().map(place).collect())
    }

    /// The one item of a list that must have one.
    pub(super) fn only(&self) -> Result<Self, Error> {
        let mut items = self.items()?;
        match (items.pop(), items.is_empty()) {
            (Some(item), true) => Ok(item),
            _ => Err(self.wrong("must have exactly one item")),
        }
    }
}
