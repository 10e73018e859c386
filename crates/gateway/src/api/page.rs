//! The OpenAPI document as a page for people.
//!
//! Written here and not by a viewer that a browser would fetch: the page works without scripts, without any other host and
//! behind any firewall. It holds nothing that a stranger wrote.

use super::{Addresses, Plane, document};
use serde_json::{Map, Value};
use spinwell_core::Code;
use spinwell_protocol::status;
use std::fmt::{self, Write};

const STYLE: &str = include_str!("page.css");

/// What a browser may do with the page: apply the one style sheet in it, which it knows by its hash.
pub(crate) const SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-d6rreVstUHkONWqTwBWsvdDoyteuUDwYcsxne/ich/4='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of a server that listens there.
pub(crate) fn page(addresses: &Addresses) -> String {
    let mut html = String::new();
    // Writing to a string does not fail.
    let written = write_page(&mut html, &document(Plane::Operations, addresses), addresses);
    debug_assert!(written.is_ok());
    html
}

/// Text between tags or in an attribute.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            c => f.write_char(c),
        })
    }
}

/// The text in a field, empty where there is none.
fn text<'v>(value: &'v Value, field: &str) -> Escaped<'v> {
    Escaped(value[field].as_str().unwrap_or_default())
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// One method of one path.
struct Listed<'d> {
    path: &'d String,
    method: &'d String,
    item: &'d Value,
    operation: &'d Value,
}

fn operations(document: &Value) -> Vec<Listed<'_>> {
    let of_path = |(path, item)| {
        let methods =
            entries(item).filter(|(method, _)| !["parameters", "servers"].contains(&method.as_str()));
        methods.map(move |(method, operation)| Listed { path, method, item, operation })
    };
    entries(&document["paths"]).flat_map(of_path).collect()
}

fn write_page(html: &mut String, document: &Value, addresses: &Addresses) -> fmt::Result {
    let info = &document["info"];
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} {version}</title><style>{STYLE}</style></head><body>\n\
         <h1>{title} {version}</h1>\n<p>{about}</p>\n\
         <p class=\"dim\">For programs: <a href=\"{DOCUMENT}\"><code>{DOCUMENT}</code></a>, OpenAPI {openapi}, on both planes.</p>",
        title = text(info, "title"),
        version = text(info, "version"),
        about = text(info, "description"),
        openapi = text(document, "openapi"),
        DOCUMENT = super::DOCUMENT_PATH,
    )?;
    let listed = operations(document);
    let of_tag = |tag: &Value| -> Vec<&Listed<'_>> {
        let name = &tag["name"];
        listed.iter().filter(|listed| items(&listed.operation["tags"]).any(|tag| tag == name)).collect()
    };
    html.push_str("<nav>");
    for tag in items(&document["tags"]) {
        write!(html, "<h4>{}</h4><ul>", text(tag, "name"))?;
        for Listed { path, method, operation, .. } in of_tag(tag) {
            let (id, path) = (text(operation, "operationId"), Escaped(path));
            write!(
                html,
                "<li><a href=\"#{id}\"><span class=\"method\">{method}</span> <code>{path}</code></a></li>"
            )?;
        }
        html.push_str("</ul>");
    }
    html.push_str("<h4>More</h4><ul><li><a href=\"#schemas\">Schemas</a></li><li><a href=\"#codes\">Codes</a></li></ul></nav>\n");
    for tag in items(&document["tags"]) {
        write!(
            html,
            "<section><h2>{}</h2><p class=\"dim\">{}</p>",
            text(tag, "name"),
            text(tag, "description")
        )?;
        of_tag(tag).into_iter().try_for_each(|listed| write_operation(html, listed, addresses))?;
        html.push_str("</section>\n");
    }
    write_schemas(html, document)?;
    write_codes(html)?;
    html.push_str("</body></html>\n");
    Ok(())
}

fn write_operation(html: &mut String, listed: &Listed<'_>, addresses: &Addresses) -> fmt::Result {
    let Listed { path, method, item, operation } = listed;
    write!(
        html,
        "<article><h3 id=\"{id}\"><span class=\"method\">{method}</span> <code>{path}</code></h3>\n<p>{summary}.</p>\n<p class=\"dim\">{about}</p>",
        id = text(operation, "operationId"),
        path = Escaped(path),
        summary = text(operation, "summary"),
        about = text(operation, "description"),
    )?;
    let parameters: Vec<&Value> = items(&item["parameters"]).chain(items(&operation["parameters"])).collect();
    if !parameters.is_empty() {
        html.push_str("<h4>Parameters</h4><table><tr><th>name</th><th>where</th><th>what</th></tr>");
        for parameter in parameters {
            let (name, place, about) =
                (text(parameter, "name"), text(parameter, "in"), text(parameter, "description"));
            let of_values =
                items(&parameter["schema"]["enum"]).filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            let values = if of_values.is_empty() { String::new() } else { format!(" One of {of_values}.") };
            write!(
                html,
                "<tr><td><code>{name}</code></td><td>{place}</td><td>{about}{}</td></tr>",
                Escaped(&values)
            )?;
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"];
    if body.is_object() {
        let need = if body["required"] == true { "" } else { ", may be left out" };
        write!(html, "<h4>Body{need}</h4>")?;
        write_contents(html, &body["content"])?;
    }
    html.push_str("<h4>Example</h4>");
    write!(html, "<pre>{}</pre>", Escaped(&curl(listed, addresses)))?;
    html.push_str("<h4>Answers</h4><table><tr><th>status</th><th>what</th></tr>");
    for (status, response) in entries(&operation["responses"]) {
        let class = if status == "200" { "" } else { " class=\"bad\"" };
        write!(html, "<tr><td{class}>{status}</td><td>{}", text(response, "description"))?;
        for (name, header) in entries(&response["headers"]) {
            write!(html, "<br>Header <code>{}</code>: {}", Escaped(name), text(header, "description"))?;
        }
        if status == "200" {
            write_contents(html, &response["content"])?;
        }
        html.push_str("</td></tr>");
    }
    html.push_str("</table></article>\n");
    Ok(())
}

fn write_contents(html: &mut String, contents: &Value) -> fmt::Result {
    for (media_type, content) in entries(contents) {
        let schema = kind(&content["schema"]);
        let about = text(&content["schema"], "description");
        write!(html, "<p><code>{}</code> {schema} {about}</p>", Escaped(media_type))?;
        if let Some(example) = content.get("example") {
            let mut shown = String::new();
            write_json(&mut shown, example, 0)?;
            write!(html, "<pre>{}</pre>", Escaped(&shown))?;
        }
    }
    Ok(())
}

/// JSON in lines of readable length: what is short stays on one.
fn write_json(shown: &mut String, value: &Value, indent: usize) -> fmt::Result {
    const LINE: usize = 96;
    let on_one = value.to_string();
    let parts: Vec<(String, &Value)> = match value {
        _ if indent + on_one.len() <= LINE => Vec::new(),
        Value::Array(entries) => entries.iter().map(|entry| (String::new(), entry)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (format!("\"{name}\": "), value)).collect()
        }
        _ => Vec::new(),
    };
    let Some(last) = parts.len().checked_sub(1) else { return shown.write_str(&on_one) };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    shown.write_char(open)?;
    for (number, (name, part)) in parts.into_iter().enumerate() {
        write!(shown, "\n{:1$}{name}", "", indent + 2)?;
        write_json(shown, part, indent + 2)?;
        shown.write_str(if number == last { "" } else { "," })?;
    }
    write!(shown, "\n{:1$}{close}", "", indent)
}

/// A command that asks for it.
fn curl(Listed { path, method, item, operation }: &Listed<'_>, addresses: &Addresses) -> String {
    let mut address = (*path).clone();
    for parameter in items(&item["parameters"]) {
        let (name, example) = (text(parameter, "name").0, text(parameter, "example").0);
        address = address.replace(&format!("{{{name}}}"), example);
    }
    let needed =
        items(&operation["parameters"]).filter(|one| one["in"] == "query" && one["required"] == true);
    let query: Vec<String> =
        needed.map(|one| format!("{}={}", text(one, "name").0, text(one, "example").0)).collect();
    // A shell would take the question mark for its own.
    let (query, quote) = match query.is_empty() {
        true => (String::new(), ""),
        false => (format!("?{}", query.join("&")), "'"),
    };
    // Only paths of the other plane have servers of their own.
    let plane = if item["servers"].is_array() { Plane::Inference } else { Plane::Operations };
    let (host, port) = addresses.of(plane);
    let content = &operation["requestBody"]["content"];
    let json = content.get("application/json").and_then(|content| content.get("example"));
    let data = match (json, content.is_object()) {
        (Some(example), _) => format!(" \\\n  -H 'Content-Type: application/json' \\\n  -d '{example}'"),
        (None, true) => " \\\n  --data-binary @state.bin".to_owned(),
        (None, false) => String::new(),
    };
    let bytes = operation["responses"]["200"]["content"].get("application/octet-stream").is_some();
    let into = if bytes && json.is_none() { " -o state.bin" } else { "" };
    let verb = match method.as_str() {
        "get" => String::new(),
        other => format!(" -X {}", other.to_uppercase()),
    };
    let scheme = addresses.scheme();
    format!("curl -s{verb} {quote}{scheme}://{host}:{port}{address}{query}{quote}{into}{data}")
}

/// The type of a schema, as a link where it has a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let any: Vec<String> = items(&schema["anyOf"]).map(kind).collect();
    match schema["type"].as_str() {
        _ if !any.is_empty() => any.join(" or "),
        Some("array") => format!("[{}]", kind(&schema["items"])),
        Some("object")
            if schema["additionalProperties"].is_object() && entries(&schema["properties"]).count() == 0 =>
        {
            format!("{{name: {}}}", kind(&schema["additionalProperties"]))
        }
        Some(other) => Escaped(other).to_string(),
        None => "any".to_owned(),
    }
}

fn write_schemas(html: &mut String, document: &Value) -> fmt::Result {
    html.push_str("<section><h2 id=\"schemas\">Schemas</h2>\n");
    for (name, schema) in entries(&document["components"]["schemas"]) {
        write!(
            html,
            "<article><h3 id=\"schema-{name}\">{name}</h3><p class=\"dim\">{}</p>",
            text(schema, "description")
        )?;
        write_fields(html, schema)?;
        html.push_str("</article>\n");
    }
    html.push_str("</section>\n");
    Ok(())
}

fn write_fields(html: &mut String, schema: &Value) -> fmt::Result {
    html.push_str("<table><tr><th>field</th><th>type</th><th>what</th></tr>");
    for (field, of_field) in entries(&schema["properties"]) {
        let is_required = items(&schema["required"]).any(|name| name == field.as_str());
        let need = if is_required { "" } else { " <span class=\"dim\">optional</span>" };
        let values = items(&of_field["enum"]).filter_map(Value::as_str).collect::<Vec<_>>();
        // The codes have a table of their own.
        let values = match values.as_slice() {
            [] => String::new(),
            many if many.len() > 8 => " <a href=\"#codes\">All of them</a>.".to_owned(),
            few => format!(" <code>{}</code>", Escaped(&few.join(" | "))),
        };
        let (field, about) = (Escaped(field), text(of_field, "description"));
        write!(
            html,
            "<tr><td><code>{field}</code>{need}</td><td>{}</td><td>{about}{values}",
            kind(of_field)
        )?;
        // Objects without a name are shown in place.
        let inner = if of_field["type"] == "array" { &of_field["items"] } else { of_field };
        if entries(&inner["properties"]).next().is_some() {
            write_fields(html, inner)?;
        }
        html.push_str("</td></tr>");
    }
    html.push_str("</table>");
    Ok(())
}

fn write_codes(html: &mut String) -> fmt::Result {
    html.push_str("<section><h2 id=\"codes\">Codes</h2><p>Each has a page under <code>docs/errors</code> in the sources.</p>\n");
    html.push_str("<table><tr><th>code</th><th>status</th><th>worth another try</th></tr>");
    for code in Code::ALL {
        let again = if code.retryable() { "yes" } else { "no" };
        write!(
            html,
            "<tr><td><code>{code}</code></td><td>{}</td><td>{again}</td></tr>",
            status::http(*code)
        )?;
    }
    html.push_str("</table></section>\n");
    Ok(())
}
