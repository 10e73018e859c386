//! A page of another server, as a whole: small, soon, and from where it was asked and nowhere else.
//!
//! For what our processes read of others by themselves: issuers' keys, checkpoints of other logs. There are no redirects, no proxies and no
//! kept connections, and over https the same TLS as everywhere in the house.

use crate::tls::{self, EdgeConnector, Refusal, ServerName, Spoken, Trusted};
use crate::transport::Io;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no address.
    #[error("{0:?} is no address: use https://HOST/PATH or http://HOST/PATH")]
    Address(String),
    /// Nobody is there.
    #[error("{0} cannot be reached")]
    Unreachable(String, #[source] io::Error),
    /// Somebody is there who cannot be trusted.
    #[error("{0} cannot be trusted")]
    Distrusted(String, #[source] Box<Refusal>),
    /// There are no authorities to trust.
    #[error("{0} cannot be trusted")]
    Authorities(String, #[source] Box<tls::Error>),
    /// It does not speak HTTP/1.1 to the end.
    #[error("{0} has broken off")]
    Broken(String, #[source] hyper::Error),
    /// It has something else to say.
    #[error("{url} answers with {status}")]
    Status {
        /// Where.
        url: String,
        /// What.
        status: u16,
    },
    /// It has too much to say.
    #[error("{url} answers with more than {bytes_max} bytes")]
    TooLong {
        /// Where.
        url: String,
        /// How much is read.
        bytes_max: usize,
    },
    /// It takes too long.
    #[error("{0} has not answered in time")]
    Late(String),
}

/// The page at an address, of at most `bytes_max` bytes, within `limit`. Over https the authorities in the file are trusted, or else those of
/// the system.
///
/// # Errors
/// Where there is none.
pub async fn page(
    url: &str,
    authority: Option<&Path>,
    bytes_max: usize,
    limit: Duration,
) -> Result<Vec<u8>, Error> {
    let asked = tokio::time::timeout(limit, ask(url, authority, bytes_max, limit));
    asked.await.unwrap_or_else(|_| Err(Error::Late(url.to_owned())))
}

async fn ask(
    url: &str,
    authority: Option<&Path>,
    bytes_max: usize,
    limit: Duration,
) -> Result<Vec<u8>, Error> {
    let no_address = || Error::Address(url.chars().take(256).collect());
    let uri: Uri = url.parse().map_err(|_| no_address())?;
    let is_encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(no_address()),
    };
    let host = uri.host().ok_or_else(no_address)?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| Error::Unreachable(url.to_owned(), error))?;
    let stream: Box<dyn Io> = if is_encrypted {
        let trusted = match authority {
            Some(path) => Trusted::by_file(path),
            None => Trusted::by_system(),
        };
        let trusted = trusted.map_err(|error| Error::Authorities(url.to_owned(), error.into()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| no_address())?;
        let connector = EdgeConnector::new(&trusted, None, Spoken::Http1, limit);
        let stream = connector.connect(stream, name).await;
        Box::new(stream.map_err(|refusal| Error::Distrusted(url.to_owned(), refusal.into()))?)
    } else {
        Box::new(stream)
    };
    let broken = |error| Error::Broken(url.to_owned(), error);
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with the connection.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or(host, |authority| authority.as_str());
    let request =
        Request::get(path).header(HOST, host).body(Empty::<Bytes>::new()).map_err(|_| no_address())?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(Error::Status { url: url.to_owned(), status });
    }
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(broken)?.into_data() else { continue };
        if bytes.len() + part.len() > bytes_max {
            return Err(Error::TooLong { url: url.to_owned(), bytes_max });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LIMIT: Duration = Duration::from_secs(5);

    async fn answered(answer: &'static str) -> Result<Vec<u8>, Error> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys?a=b", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            assert!(String::from_utf8_lossy(&head[..read]).starts_with("GET /keys?a=b HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let page = page(&url, None, 5, LIMIT).await;
        server.await.unwrap();
        page
    }

    #[tokio::test]
    async fn a_page_is_taken_whole_and_nothing_else_is() {
        assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap(), b"hello");
        let long = answered("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello!").await;
        assert!(matches!(long, Err(Error::TooLong { .. })), "{long:?}");
        let moved =
            answered("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
                .await;
        assert!(matches!(moved, Err(Error::Status { status: 302, .. })), "{moved:?}");
        let cut = answered("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await;
        assert!(matches!(cut, Err(Error::Broken(..))), "{cut:?}");
        for wrong in ["keys", "ftp://a/b", "http://", "https://a b/"] {
            let page = page(wrong, None, 5, LIMIT).await;
            assert!(matches!(page, Err(Error::Address(_))), "{wrong}: {page:?}");
        }
        let nobody = page("http://127.0.0.1:1/", None, 5, LIMIT).await;
        assert!(matches!(nobody, Err(Error::Unreachable(..))), "{nobody:?}");
    }
}
