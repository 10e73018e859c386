//! The description of the HTTP interface, as the real server serves it.

use crate::support::{Request, Server, models, send};

#[test]
fn the_document_of_each_plane_says_where_the_other_is() {
    let server = Server::start(models(), &[]);
    for (from, path, other) in [(server.ops, "/v2", server.http), (server.http, "/metrics", server.ops)] {
        let document = send(from, &Request::new("GET", "/openapi.json")).json();
        let variables = &document["paths"][path]["servers"][0]["variables"];
        assert_eq!(variables["host"]["default"], other.ip().to_string());
        assert_eq!(variables["port"]["default"], other.port().to_string());
    }
    let page = send(server.ops, &Request::new("GET", "/docs"));
    assert!(page.text().contains(&format!("http://{}/v2/models/taxi/infer", server.http)));
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
}
