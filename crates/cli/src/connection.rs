//! How commands reach a server: in the clear or over TLS, with which token, and with which certificate.
//!
//! One place for all of them, so that every command that takes a URL takes https:// too, trusts the same authorities and says the
//! same where it trusts none. There is no client library between: a command asks once or a few times, and the load generator must
//! know what goes over the wire.

use crate::output::remark;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use spinwell_core::{Code, Fault};
use spinwell_runtime::telemetry::chain;
use spinwell_runtime::tls::{EdgeConnector, Own, Refusal, ServerName, Spoken, Trusted};
use spinwell_runtime::transport::Io;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Options of every command that calls a server.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Connection {
    /// Of https:// addresses: trust the authorities in this PEM file, and no others [default: those of this system].
    #[arg(long, value_name = "FILE", env = "SPINWELL_CA", display_order = 90)]
    ca: Option<PathBuf>,
    /// The API key or token that says who asks; better in the environment, as others on this machine see command lines.
    #[arg(long, value_name = "TOKEN", env = "SPINWELL_TOKEN", hide_env_values = true, display_order = 91)]
    token: Option<Token>,
    /// The certificate (PEM) that says who asks, shown over https:// to servers that ask for one; a token counts before it.
    #[arg(long, value_name = "FILE", env = "SPINWELL_CERTIFICATE", display_order = 92)]
    certificate: Option<PathBuf>,
    /// The key of that certificate (PEM, not encrypted).
    #[arg(long, value_name = "FILE", env = "SPINWELL_CERTIFICATE_KEY", display_order = 93)]
    certificate_key: Option<PathBuf>,
}

/// A path that was given; an empty one, as in an environment, is none.
fn given(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// A token, which is never printed.
#[derive(Clone)]
struct Token(Arc<str>);

impl FromStr for Token {
    type Err = Infallible;

    /// Takes anything: a parser that refuses would have the refused text printed.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The header that shows it.
    fn header(&self) -> Result<HeaderValue, Fault> {
        let wrong = |_| {
            let message =
                "the token (--token, SPINWELL_TOKEN) has characters that no token has; was it copied whole?";
            Fault::new(Code::OptionInvalid, message)
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).map_err(wrong)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A server as its URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    is_encrypted: bool,
    /// Host and port as they stand in the URL.
    authority: String,
    host: String,
    port: u16,
    /// What all paths begin with, where a proxy wants that.
    prefix: String,
}

impl Address {
    /// Reads `http://HOST:PORT`, also with https, grpc or grpcs, or without a scheme, which is in the clear.
    fn read(url: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::new(Code::OptionInvalid, format!("{url:?} {what}"));
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let is_encrypted = match scheme {
            "http" | "grpc" => false,
            "https" | "grpcs" => true,
            _ => return Err(wrong("begins with neither http:// nor https://")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let no_address = || wrong("is no address: give http://HOST:PORT or https://HOST:PORT");
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(no_address)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| no_address())?,
            None if port.is_empty() => {
                if is_encrypted {
                    443
                } else {
                    80
                }
            }
            None => return Err(no_address()),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(no_address());
        }
        let path = path.trim_end_matches('/');
        Ok(Self {
            is_encrypted,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            prefix: if path.is_empty() { String::new() } else { format!("/{path}") },
        })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn shown(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }
}

impl Connection {
    /// The server at `url`, with which this is spoken. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the URL is none, or authorities, token or certificate cannot be used.
    pub(crate) fn server(&self, url: &str, spoken: Spoken) -> Result<Server, Fault> {
        let address = Address::read(url)?;
        let token = self.token.as_ref().filter(|token| !token.0.is_empty());
        if token.is_some() && !address.is_encrypted && !address.is_loopback() {
            remark(&format!(
                "note: the token goes to {} in the clear; https:// would hide it",
                address.authority
            ));
        }
        let tls = address.is_encrypted.then(|| self.tls(&address, spoken)).transpose()?;
        let authorization = token.map(Token::header).transpose()?;
        Ok(Server(Arc::new(Inner { address, tls, authorization })))
    }

    fn tls(&self, address: &Address, spoken: Spoken) -> Result<Tls, Fault> {
        let (ca, own) = (given(self.ca.as_ref()).cloned(), self.own()?);
        let trusted = match &ca {
            Some(path) => Trusted::by_file(path),
            None => Trusted::by_system(),
        };
        let trusted = trusted.map_err(|error| {
            let fault = error.fault();
            match ca {
                Some(_) => fault,
                None => Fault::new(fault.code(), format!("{}; name one with --ca FILE", fault.message())),
            }
        })?;
        let name = ServerName::try_from(address.host.clone()).map_err(|_| {
            Fault::new(
                Code::OptionInvalid,
                format!("{:?} is no host that a certificate can name", address.host),
            )
        })?;
        Ok(Tls {
            connector: EdgeConnector::new(&trusted, own.as_ref(), spoken, HANDSHAKE),
            name,
            ca,
            is_known: own.is_some(),
        })
    }
}

impl Connection {
    /// The certificate that is shown.
    fn own(&self) -> Result<Option<Own>, Fault> {
        match (given(self.certificate.as_ref()), given(self.certificate_key.as_ref())) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Own::load(certificate, key).map(Some).map_err(|error| error.fault())
            }
            _ => {
                let message =
                    "a certificate and its key are given together: --certificate FILE --certificate-key FILE";
                Err(Fault::new(Code::OptionInvalid, message))
            }
        }
    }
}

/// A server that can be called. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Server(Arc<Inner>);

struct Inner {
    address: Address,
    /// How it proves who it is; none in the clear.
    tls: Option<Tls>,
    /// The header that says who asks.
    authorization: Option<HeaderValue>,
}

struct Tls {
    connector: EdgeConnector,
    name: ServerName<'static>,
    /// Where the authorities come from, if not from the system.
    ca: Option<PathBuf>,
    /// Whether it shows a certificate.
    is_known: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.shown()).finish()
    }
}

impl Server {
    /// Its URL.
    pub(crate) fn shown(&self) -> String {
        self.0.address.shown()
    }

    /// Host and port, as they stand in its URL.
    pub(crate) fn authority(&self) -> &str {
        &self.0.address.authority
    }

    /// Whether it is called over TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.address.is_encrypted
    }

    /// The header that says who asks, where somebody does.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.authorization.as_ref()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Where nobody is there, or somebody who is not trusted.
    pub(crate) async fn open(&self) -> Result<Box<dyn Io>, Fault> {
        let Inner { address, tls, .. } = &*self.0;
        let unreachable = |error| self.unreachable(&error);
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        // Requests are written whole: waiting for more to send would only delay them.
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some(tls) = tls else { return Ok(Box::new(stream)) };
        match tls.connector.connect(stream, tls.name.clone()).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(refusal) => Err(self.distrusted(tls, &refusal)),
        }
    }

    /// Opens a connection for requests over HTTP/1.1.
    ///
    /// # Errors
    /// Where nobody is there, or somebody who is not trusted.
    pub(crate) async fn requests(&self) -> Result<SendRequest<Full<Bytes>>, Fault> {
        Ok(self.opened().await?.0)
    }

    /// The same, and how the connection ends.
    async fn opened(&self) -> Result<(SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>), Fault> {
        let stream = self.open().await?;
        let opened = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| self.lost(&error))?;
        Ok((sender, tokio::spawn(connection)))
    }

    /// The head of a request: its path, for whom it is, and who asks.
    pub(crate) fn head(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        let Inner { address, authorization, .. } = &*self.0;
        let head = Request::builder().method(method).uri(format!("{}{path}", address.prefix));
        let head = head.header(HOST, &address.authority);
        match authorization {
            Some(value) => head.header(AUTHORIZATION, value),
            None => head,
        }
    }

    /// Sends a request on a connection of its own and reads the answer.
    ///
    /// # Errors
    /// Where there is no answer within `limit`.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Fault> {
        let exchange = async {
            let (mut connection, ended) = self.opened().await?;
            let (head, body) = match connection.send_request(request).await {
                Ok(answer) => answer.into_parts(),
                Err(error) if error.is_canceled() => {
                    // It ended before the request was on its way, and knows why.
                    let why = ended.await.ok().and_then(Result::err);
                    return Err(self.lost(&why.unwrap_or(error)));
                }
                Err(error) => return Err(self.lost(&error)),
            };
            let body = body.collect().await.map_err(|error| self.lost(&error))?;
            Ok((head.status, head.headers, body.to_bytes()))
        };
        let late = |_| {
            let message = format!("{} has not answered within {} s", self.shown(), limit.as_secs());
            Fault::new(Code::Unreachable, message)
        };
        tokio::time::timeout(limit, exchange).await.map_err(late)?
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Fault {
        Fault::new(Code::Unreachable, format!("{} cannot be reached: {}", self.shown(), chain(error)))
    }

    /// What is said of a connection that ended after a handshake that went well here: whether a server likes the certificate that it was
    /// shown, it says only then.
    fn lost(&self, error: &(dyn std::error::Error + 'static)) -> Fault {
        let fault = self.unreachable(error);
        if !self.0.tls.as_ref().is_some_and(|tls| tls.is_known) {
            return fault;
        }
        if is_by_alert(error) {
            let message = format!(
                "{} does not accept the certificate that it was shown (--certificate): it has expired, is of an authority that does not \
                 count there, or not for callers",
                self.shown()
            );
            return Fault::new(Code::CertificateInvalid, message);
        }
        let hint = "it stops or starts again, or it does not accept the certificate that it was shown (--certificate)";
        Fault::new(Code::Unreachable, format!("{}: {hint}", fault.message()))
    }

    /// What is said where the handshake failed: whoever has a certificate of our own authority is to read what to do.
    fn distrusted(&self, tls: &Tls, refusal: &Refusal) -> Fault {
        let (shown, host) = (self.shown(), &self.0.address.host);
        let (code, why) = match refusal {
            Refusal::ForeignAuthority => {
                let why = match &tls.ca {
                    Some(path) => {
                        format!("its certificate is of another authority than those in {} (--ca)", path.display())
                    }
                    None => "its certificate is of an authority that this system does not trust; name that authority with \
                             --ca FILE, or SPINWELL_CA in the environment (authority.pem of `spinwell pki`)"
                        .to_owned(),
                };
                (Code::CertificateInvalid, why)
            }
            Refusal::WrongName => {
                let why = format!(
                    "its certificate is not for {host}; call it by a name in the certificate, or issue one with --san {host}"
                );
                (Code::CertificateInvalid, why)
            }
            Refusal::Expired { .. } | Refusal::NotYetValid { .. } => {
                (Code::CertificateInvalid, format!("its {refusal}"))
            }
            Refusal::NoTls => (
                Code::Unreachable,
                "it speaks no TLS 1.3; is it one that speaks in the clear (http://)?".to_owned(),
            ),
            other => (Code::Unreachable, other.to_string()),
        };
        Fault::new(code, format!("{shown} cannot be trusted: {why}"))
    }
}

/// Whether a server has said over TLS that it refuses a connection.
fn is_by_alert(error: &(dyn std::error::Error + 'static)) -> bool {
    let all = std::iter::successors(Some(error), |error| error.source());
    let mut read = all.filter_map(|error| error.downcast_ref::<std::io::Error>());
    read.any(|error| matches!(Refusal::of(error), Refusal::ByPeer { .. }))
}

/// Whoever asks with this token.
#[cfg(test)]
pub(crate) fn example(token: &str) -> Connection {
    let Ok(token) = token.parse();
    Connection { token: Some(token), ..Connection::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_and_what_is_spoken() {
        let check = |url: &str, wanted: (bool, &str, u16, &str)| {
            let read = Address::read(url).unwrap();
            assert_eq!(
                (read.is_encrypted, read.host.as_str(), read.port, read.prefix.as_str()),
                wanted,
                "{url}"
            );
        };
        check("127.0.0.1:8000", (false, "127.0.0.1", 8000, ""));
        check("http://127.0.0.1:8000/", (false, "127.0.0.1", 8000, ""));
        check("https://gateway.example:8000", (true, "gateway.example", 8000, ""));
        check("https://proxy.example/spinwell/", (true, "proxy.example", 443, "/spinwell"));
        check("http://proxy", (false, "proxy", 80, ""));
        check("grpcs://[::1]:8001", (true, "::1", 8001, ""));
        for wrong in [
            "",
            "ftp://a:1",
            "http://",
            "http://:80",
            "http://a:port",
            "http://a:1:2",
            "[::1",
            "http://u@a:1",
            "a b:1",
        ] {
            assert_eq!(Address::read(wrong).unwrap_err().code(), Code::OptionInvalid, "{wrong:?}");
        }
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        let file = || Some(PathBuf::from("/nowhere.pem"));
        let server = |certificate, certificate_key| {
            let connection = Connection { ca: None, token: None, certificate, certificate_key };
            connection.own().map(|own| own.is_some()).map_err(|fault| fault.code())
        };
        assert_eq!(server(None, None), Ok(false));
        assert_eq!(server(Some(PathBuf::new()), Some(PathBuf::new())), Ok(false), "as in an environment");
        assert_eq!(server(file(), None), Err(Code::OptionInvalid));
        assert_eq!(server(None, file()), Err(Code::OptionInvalid));
        assert_eq!(server(file(), file()), Err(Code::Io));
    }

    #[test]
    fn a_token_goes_into_the_header_and_nowhere_else() {
        let connection = example("spw_a1_SECRET\n");
        let server = connection.server("http://127.0.0.1:1", Spoken::Http1).unwrap();
        assert!(!format!("{connection:?} {server:?} {:?}", server.authorization()).contains("SECRET"));
        let request = server.head("GET", "/v2").body(()).unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer spw_a1_SECRET");
        let fault = example("a\u{0}SECRET").server("127.0.0.1:1", Spoken::Http1).unwrap_err();
        assert!(fault.code() == Code::OptionInvalid && !fault.message().contains("SECRET"), "{fault}");
        assert!(example("").server("127.0.0.1:1", Spoken::Http1).unwrap().authorization().is_none());
    }
}
