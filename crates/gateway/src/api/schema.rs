//! JSON schemas, put together by small words.

use serde_json::{Value, json};

/// The schema of one value.
#[derive(Debug, Clone)]
pub(crate) struct Schema(Value);

impl Schema {
    fn of(kind: &str, about: &str) -> Self {
        let mut schema = json!({"type": kind});
        if !about.is_empty() {
            schema["description"] = about.into();
        }
        Self(schema)
    }

    /// Any value.
    pub(crate) fn any(about: &str) -> Self {
        Self(json!({"description": about}))
    }

    pub(crate) fn text(about: &str) -> Self {
        Self::of("string", about)
    }

    /// Bytes that are no text.
    pub(crate) fn bytes(about: &str) -> Self {
        Self::text(about).with("format", "binary")
    }

    pub(crate) fn number(about: &str) -> Self {
        Self::of("number", about)
    }

    pub(crate) fn truth(about: &str) -> Self {
        Self::of("boolean", about)
    }

    /// A whole number.
    pub(crate) fn integer(about: &str) -> Self {
        Self::of("integer", about)
    }

    /// A whole number from `least` that fits 64 bits.
    pub(crate) fn whole(least: u64, about: &str) -> Self {
        Self::integer(about).with("minimum", least).with("maximum", u64::MAX)
    }

    /// One of these texts.
    pub(crate) fn one_of_texts<'t>(texts: impl IntoIterator<Item = &'t str>, about: &str) -> Self {
        let texts: Vec<&str> = texts.into_iter().collect();
        Self::text(about).with("enum", texts)
    }

    pub(crate) fn list(items: Schema, about: &str) -> Self {
        Self::of("array", about).with("items", items.0)
    }

    /// An object whose fields are not known beforehand.
    pub(crate) fn map(values: Schema, about: &str) -> Self {
        Self::of("object", about).with("additionalProperties", values.0)
    }

    /// A value of one of these schemas.
    pub(crate) fn any_of(schemas: impl IntoIterator<Item = Schema>, about: &str) -> Self {
        let schemas: Vec<Value> = schemas.into_iter().map(|schema| schema.0).collect();
        Self(json!({"anyOf": schemas, "description": about}))
    }

    /// The schema that the document lists under that name.
    pub(crate) fn named(name: &str) -> Self {
        Self(json!({"$ref": format!("#/components/schemas/{name}")}))
    }

    /// An object; [`field`](Self::field) and [`optional`](Self::optional) say what it holds.
    pub(crate) fn object(about: &str) -> Self {
        Self::of("object", about).with("properties", json!({})).with("required", json!([]))
    }

    /// A field that is always there.
    pub(crate) fn field(mut self, name: &str, schema: Schema) -> Self {
        if let Some(required) = self.0["required"].as_array_mut() {
            required.push(name.into());
        }
        self.optional(name, schema)
    }

    /// A field that may be left out.
    pub(crate) fn optional(mut self, name: &str, schema: Schema) -> Self {
        self.0["properties"][name] = schema.0;
        self
    }

    /// No other field is taken.
    pub(crate) fn and_nothing_else(self) -> Self {
        self.with("additionalProperties", false)
    }

    /// At least so many and at most so many entries.
    pub(crate) fn entries(self, least: usize, most: usize) -> Self {
        self.with("minItems", least).with("maxItems", most)
    }

    /// A text of at least so many and at most so many characters.
    pub(crate) fn length(self, least: usize, most: usize) -> Self {
        self.with("minLength", least).with("maxLength", most)
    }

    /// The same with one more keyword.
    pub(crate) fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0[keyword] = value.into();
        self
    }

    pub(crate) fn into_json(self) -> Value {
        self.0
    }
}
