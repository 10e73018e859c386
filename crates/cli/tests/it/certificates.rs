//! Callers who show a certificate: the real server and its commands, with right certificates and wrong ones.

use crate::house::{House, prediction};
use crate::serving::{grpc_request, little_endian};
use crate::support::{
    Answer, BOUND, Request, Server, address_in, json, launch, models, run, said, spinwell, text, window,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use serde_json::Value;
use spinwell_protocol::grpc::wire::ModelInferRequest;
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::status::GRPC_CODE_KEY;
use spinwell_runtime::tls::{
    CalledStream, EdgeAcceptor, EdgeCertificate, EdgeConnector, EdgeFiles, Own, Spoken, Trusted,
};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How somebody's certificate is called.
fn name(who: &str) -> String {
    format!("spinwell://eu/caller/{who}")
}

/// Access files, and an authority for the server and its callers.
struct Region {
    house: House,
}

impl Region {
    fn new() -> Self {
        let region = Self { house: House::new() };
        said(&["pki", "init", "--dir", &region.dir(), "--region", "eu"]);
        said(&["pki", "issue", "edge", "public", "--dir", &region.dir()]);
        for who in ["meter", "eve", "stranger"] {
            said(&["pki", "issue", "caller", who, "--dir", &region.dir()]);
        }
        region.map(&[("meter", "predictor"), ("eve", "viewer")]);
        region
    }

    fn path(&self, name: &str) -> PathBuf {
        self.house.path("pki").join(name)
    }

    fn dir(&self) -> String {
        text(&self.house.path("pki")).to_owned()
    }

    /// Enters whose certificates are known, and no others.
    fn map(&self, callers: &[(&str, &str)]) {
        let entry = |(who, role): &(&str, &str)| {
            format!("[[certificate]]\nname = \"{}\"\ntenant = \"acme\"\nroles = [\"{role}\"]\n", name(who))
        };
        self.house.write("certificates.toml", &callers.iter().map(entry).collect::<String>());
    }

    fn config(&self) -> String {
        let [certificate, key, callers] =
            ["edge-public/certificate.pem", "edge-public/key.pem", "authority.pem"]
                .map(|name| self.path(name));
        format!("[edge]\ncertificate = {certificate:?}\nkey = {key:?}\ncallers_ca = {callers:?}\n")
    }

    fn serve(&self) -> Server {
        self.house.serve(&self.config())
    }

    fn own(&self, who: &str) -> Own {
        let folder = self.path(&format!("caller-{who}"));
        Own::load(&folder.join("certificate.pem"), &folder.join("key.pem")).unwrap()
    }

    /// A certificate of somebody's from then until then, in seconds from now.
    fn own_for(&self, who: &str, seconds: (i64, i64)) -> Own {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        let issuer = KeyPair::from_pem(&read("authority.key")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&read("authority.pem"), issuer).unwrap();
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        params.not_before = now + time::Duration::seconds(seconds.0);
        params.not_after = now + time::Duration::seconds(seconds.1);
        params.subject_alt_names = vec![SanType::URI(name(who).try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let (certificate, secret) = (self.path("made.pem"), self.path("made.key"));
        fs::write(&certificate, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        Own::load(&certificate, &secret).unwrap()
    }

    fn connector(&self, own: Option<&Own>, spoken: Spoken) -> EdgeConnector {
        EdgeConnector::new(&Trusted::by_file(&self.path("authority.pem")).unwrap(), own, spoken, BOUND)
    }

    /// A connection of somebody who shows that.
    async fn call(&self, address: SocketAddr, own: Option<&Own>) -> CalledStream {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        self.connector(own, Spoken::Http1).connect(stream, address.ip().into()).await.unwrap()
    }

    /// What somebody is told who shows that, on a connection of his own.
    async fn ask(&self, address: SocketAddr, own: Option<&Own>, request: &Request) -> (u16, String) {
        told(&mut self.call(address, own).await, request).await
    }

    /// The same over gRPC.
    fn grpc(&self, server: &Server, own: &Own) -> GrpcInferenceServiceClient<Channel> {
        let (connector, address) = (self.connector(Some(own), Spoken::Http2), server.grpc);
        let connector = tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                let stream = connector.connect(stream, address.ip().into()).await;
                stream.map(hyper_util::rt::TokioIo::new).map_err(std::io::Error::other)
            }
        });
        // Whether the server likes the certificate shows with the first call.
        GrpcInferenceServiceClient::new(
            Endpoint::from_static("http://test").connect_with_connector_lazy(connector),
        )
    }

    /// The options of a command that shows somebody's certificate.
    fn shows(&self, who: &str) -> [String; 6] {
        let path = |name: &str| text(&self.path(name)).to_owned();
        let own = |name: &str| path(&format!("caller-{who}/{name}"));
        let [ca, certificate, key] = [path("authority.pem"), own("certificate.pem"), own("key.pem")];
        ["--ca".into(), ca, "--certificate".into(), certificate, "--certificate-key".into(), key]
    }
}

/// Asks on a connection that goes on; a server that closes it instead has told nothing.
async fn exchange(stream: &mut CalledStream, request: &Request) -> Answer {
    let head = request.head.replace("\r\nConnection: close", "");
    let sent = [head.as_bytes(), b"\r\n\r\n", &request.body].concat();
    let _ = stream.write_all(&sent).await;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = tokio::time::timeout(BOUND, stream.read(&mut part)).await.unwrap().unwrap_or(0);
        bytes.extend(&part[..read]);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let body = bytes.get(end + 4..).unwrap_or_default();
        if read == 0 || length == Some(body.len()) {
            let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
            return Answer { status, head, body: body.to_vec() };
        }
    }
}

async fn told(stream: &mut CalledStream, request: &Request) -> (u16, String) {
    let answer = exchange(stream, request).await;
    (answer.status, answer.code())
}

fn answered() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn message() -> ModelInferRequest {
    let raw = little_endian(&window(64, 0.5)).into();
    ModelInferRequest { raw_input_contents: vec![raw], ..grpc_request([1, 64, 1]) }
}

/// What a gRPC call is told.
fn code_of<T>(result: Result<T, tonic::Status>) -> String {
    let status = result.err();
    let code =
        status.map(|status| status.metadata().get(GRPC_CODE_KEY).unwrap().to_str().unwrap().to_owned());
    code.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_asks_over_every_protocol() {
    let region = Region::new();
    let key = region.house.key("acme/reader", "viewer");
    let server = region.serve();
    let [meter, eve, stranger] = ["meter", "eve", "stranger"].map(|who| region.own(who));
    assert_eq!(region.ask(server.http, Some(&meter), &prediction("by-meter")).await, answered());
    let denied = refused(403, "SPW-NOT-PERMITTED");
    assert_eq!(region.ask(server.http, Some(&eve), &prediction("by-eve")).await, denied);
    let missing = refused(401, "SPW-CREDENTIALS-MISSING");
    assert_eq!(region.ask(server.http, None, &prediction("by-nobody")).await, missing);
    let unmapped = exchange(&mut region.call(server.http, Some(&stranger)).await, &prediction("s")).await;
    assert_eq!((unmapped.status, unmapped.code()), missing);
    assert!(unmapped.text().contains(&name("stranger")), "{}", unmapped.text());

    assert_eq!(code_of(region.grpc(&server, &meter).model_infer(message()).await), "");
    assert_eq!(code_of(region.grpc(&server, &eve).model_infer(message()).await), denied.1);
    assert_eq!(code_of(region.grpc(&server, &stranger).model_infer(message()).await), missing.1);

    // A header counts before a certificate, also where it is refused: a proxy's is not taken for its callers'.
    let with = |text: &str| prediction("header").bearer(text);
    assert_eq!(region.ask(server.http, Some(&meter), &with(&key.text)).await, denied);
    let wrong = refused(401, "SPW-CREDENTIALS-REFUSED");
    assert_eq!(region.ask(server.http, Some(&meter), &with("spw_1_2")).await, wrong);

    let by = |id: &'static str| move |event: &Value| event["api"]["request"]["uid"] == id;
    let event = &region.house.events("the prediction", 1, by("by-meter"))[0];
    assert_eq!(event["actor"]["user"]["name"], format!("cert:{}", name("meter")));
    assert_eq!(event["actor"]["user"]["org"]["name"], "acme");
    // Who is refused before his message is read has no id in it.
    let of_eve = |event: &Value| event["actor"]["user"]["name"] == format!("cert:{}", name("eve"));
    let event = &region.house.events("what was refused", 1, of_eve)[0];
    assert_eq!(event["unmapped"]["policy"], "spinwell.no-policy", "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_does_nothing_with_the_certificate_that_a_browser_shows() {
    let region = Region::new();
    let key = region.house.key("acme/reader", "predictor");
    let server = region.serve();
    let meter = region.own("meter");
    let window = serde_json::json!({"model": "wave", "series": window(64, 0.5)});
    let step =
        serde_json::json!({"model": "wave", "series": [1.0], "sequence_id": "s", "sequence_start": true});
    let batch = |request: &Value| {
        Request::post("/v1/predictions", serde_json::json!({"requests": [request]}).to_string())
    };
    let observation = serde_json::json!({"observations": [{"id": "a", "values": [1.0]}]}).to_string();
    let denied = refused(403, "SPW-NOT-PERMITTED");
    for (what, request) in [
        ("a prediction", prediction("of-a-page")),
        ("a batch call", batch(&window)),
        ("a step", batch(&step)),
        ("an observation", Request::post("/v1/models/wave/observations", observation)),
    ] {
        for origin in ["https://evil.example", "null"] {
            let request = request.clone().header("Content-Type", "text/plain").header("Origin", origin);
            assert_eq!(region.ask(server.http, Some(&meter), &request).await, denied, "{what} of {origin}");
        }
        let own = request.header("Origin", "https://test");
        assert_ne!(region.ask(server.http, Some(&meter), &own).await, denied, "{what} of a page of its own");
    }
    let foreign = |request: Request| request.header("Origin", "https://evil.example");
    let with_key = foreign(prediction("with-key")).bearer(&key.text);
    assert_eq!(region.ask(server.http, Some(&meter), &with_key).await, answered(), "no page has the key");
    let read = foreign(Request::new("GET", "/v2/models/wave"));
    assert_eq!(region.ask(server.http, Some(&meter), &read).await, answered());

    let mut call = tonic::Request::new(message());
    call.metadata_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(code_of(region.grpc(&server, &meter).model_infer(call).await), denied.1);

    let is_kept_out = |event: &Value| {
        event["actor"]["user"]["name"] == format!("cert:{}", name("meter"))
            && event.to_string().contains("SPW-NOT-PERMITTED")
    };
    // Of two origins a prediction and two batch calls each, and one over gRPC.
    region.house.events("what the page sent", 7, is_kept_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_gone_refuses_the_next_request_of_an_open_connection() {
    let region = Region::new();
    let server = region.serve();
    let meter = region.own("meter");
    let mut open = region.call(server.http, Some(&meter)).await;
    assert_eq!(told(&mut open, &prediction("before")).await, answered());
    let (sender, messages) = mpsc::channel(1);
    sender.send(message()).await.unwrap();
    let answers = region.grpc(&server, &meter).model_stream_infer(ReceiverStream::new(messages)).await;
    let mut answers = answers.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap().error_message, "");

    region.map(&[("eve", "viewer")]);
    let since = Instant::now();
    let missing = refused(401, "SPW-CREDENTIALS-MISSING");
    while told(&mut open, &prediction("after")).await != missing {
        assert!(since.elapsed() < BOUND, "the entry still holds");
    }
    sender.send(message()).await.unwrap();
    let streamed = answers.next().await.unwrap().unwrap().error_message;
    assert!(streamed.starts_with("SPW-CREDENTIALS-MISSING"), "{streamed}");
    let is_change = |event: &Value| event["class_uid"] == 3004 && event["entity"]["type"] == "Certificates";
    region.house.events("the change", 1, is_change);

    region.map(&[("meter", "predictor")]);
    while told(&mut open, &prediction("again")).await != answered() {
        assert!(since.elapsed() < BOUND, "the entry does not hold");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_good_makes_no_connection_and_one_that_runs_out_none_that_lasts() {
    let (region, foreign) = (Region::new(), Region::new());
    let server = region.serve();
    let health = Request::new("GET", "/v2/health/live");
    for (what, own) in [
        ("of another authority", foreign.own("meter")),
        ("expired", region.own_for("meter", (-100, -10))),
        ("not yet valid", region.own_for("meter", (100, 200))),
    ] {
        assert_eq!(region.ask(server.http, Some(&own), &health).await.0, 0, "{what}");
        assert_eq!(region.ask(server.ops, Some(&own), &health).await.0, 0, "{what}");
        assert!(region.grpc(&server, &own).model_infer(message()).await.is_err(), "{what}");
    }
    assert_eq!(region.ask(server.http, None, &health).await.0, 200, "nobody has to show any");

    let own = region.own_for("meter", (-100, 5));
    let mut open = region.call(server.http, Some(&own)).await;
    assert_eq!(told(&mut open, &prediction("before")).await, answered());
    let since = Instant::now();
    let expired = refused(401, "SPW-CREDENTIALS-REFUSED");
    while told(&mut open, &prediction("after")).await != expired {
        assert!(since.elapsed() < BOUND, "the certificate still holds");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_known_by_certificates_as_well() {
    let region = Region::new();
    said(&["pki", "issue", "caller", "boss", "--dir", &region.dir()]);
    let entry = format!(
        "[[certificate]]\nname = \"{}\"\ntenant = \"default\"\nroles = [\"operator\"]\n\
         [[certificate]]\nname = \"spinwell://eu/caller/*\"\ntenant = \"acme\"\nroles = [\"viewer\"]\n",
        name("boss")
    );
    region.house.write("certificates.toml", &entry);
    let server = region.serve();
    let (boss, eve) = (region.own("boss"), region.own("eve"));
    let page =
        exchange(&mut region.call(server.ops, Some(&boss)).await, &Request::new("GET", "/metrics")).await;
    for series in [
        "spinwell_certificate_expires_seconds{listener=\"http\"} ",
        "spinwell_certificate_expires_seconds{listener=\"ops\"} ",
        "spinwell_access_refused_total{code=\"SPW-CREDENTIALS-MISSING\"} 0",
    ] {
        assert!(page.text().contains(series), "{series} is not in {}", page.text());
    }
    let denied = refused(403, "SPW-NOT-PERMITTED");
    assert_eq!(region.ask(server.ops, Some(&eve), &Request::new("GET", "/metrics")).await, denied);

    let mut control = spinwell();
    control.args(["control", "--ops", "127.0.0.1:0", "--config", text(&region.house.path("spinwell.toml"))]);
    control.arg("--data").arg(region.house.path("control"));
    let (mut control, told) = launch(control);
    let address = address_in(&told, "administration");
    let page = exchange(&mut region.call(address, Some(&boss)).await, &Request::new("GET", "/metrics")).await;
    let show = Request::new("GET", "/v1/admin/control");
    let (by_boss, by_eve) =
        (region.ask(address, Some(&boss), &show).await, region.ask(address, Some(&eve), &show).await);
    let by_nobody = region.ask(address, None, &show).await;
    control.kill().unwrap();
    control.wait().unwrap();
    assert!(
        page.text().contains("spinwell_certificate_expires_seconds{listener=\"ops\"} "),
        "{}",
        page.text()
    );
    assert_eq!((by_boss, by_eve), (answered(), denied));
    assert_eq!(by_nobody, refused(401, "SPW-CREDENTIALS-MISSING"));
}

#[test]
fn commands_show_a_certificate() {
    let region = Region::new();
    let server = region.serve();
    let (url, csv) = (format!("https://{}", server.http), models().join("wave.csv"));
    let with = |who: &str, more: &[&str]| {
        let mut all: Vec<String> =
            ["predict", "wave", text(&csv), "--url", &url].into_iter().map(str::to_owned).collect();
        all.extend(region.shows(who));
        all.extend(more.iter().map(|one| (*one).to_owned()));
        all
    };
    let run_all = |all: Vec<String>| run(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let answer = run_all(with("meter", &["--json"]));
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let unmapped = run_all(with("stranger", &[]));
    let unmapped = String::from_utf8_lossy(&unmapped.stderr).into_owned();
    assert!(
        unmapped.contains("SPW-CREDENTIALS-MISSING") && unmapped.contains(&name("stranger")),
        "{unmapped}"
    );

    let foreign = Region::new();
    let shown = foreign.shows("meter");
    let own = region.path("authority.pem");
    let arguments =
        ["model", "list", "--url", &url, "--ca", text(&own), &shown[2], &shown[3], &shown[4], &shown[5]];
    let distrusted = String::from_utf8_lossy(&run(&arguments).stderr).into_owned();
    assert!(
        distrusted.contains("SPW-CERTIFICATE-INVALID") && distrusted.contains("--certificate"),
        "{distrusted}"
    );
    let half = run(&["model", "list", "--url", &url, "--ca", text(&own), &shown[2], &shown[3]]);
    assert!(String::from_utf8_lossy(&half.stderr).contains("given together"));

    let listed = spinwell()
        .args(["model", "list", "--url", &url])
        .env("SPINWELL_CA", text(&own))
        .env("SPINWELL_CERTIFICATE", &region.shows("eve")[3])
        .env("SPINWELL_CERTIFICATE_KEY", &region.shows("eve")[5])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_not_told_as_a_wrong_certificate() {
    let region = Region::new();
    let [certificate, key] =
        ["edge-public/certificate.pem", "edge-public/key.pem"].map(|name| region.path(name));
    let files = EdgeFiles { certificate, key, callers: Some(region.path("authority.pem")) };
    let acceptor = EdgeAcceptor::new(&EdgeCertificate::load(files).unwrap(), Spoken::Http1, BOUND);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let shown = region.shows("meter");
    let command = tokio::task::spawn_blocking(move || {
        let shown = shown.iter().map(String::as_str);
        run(&["model", "list", "--url", &url].into_iter().chain(shown).collect::<Vec<_>>())
    });
    let (stream, from) = listener.accept().await.unwrap();
    drop(acceptor.accept(stream, from).await.unwrap());
    let told = String::from_utf8_lossy(&command.await.unwrap().stderr).into_owned();
    assert!(told.contains("SPW-UNREACHABLE") && told.contains("--certificate"), "{told}");
}

#[test]
fn an_authority_makes_certificates_of_callers_that_open_nothing_between_processes() {
    let region = Region::new();
    let dir = region.dir();
    let issue = ["pki", "issue", "caller", "new", "--dir", &dir];
    let made = json(&[&issue[..], &["--json"]].concat());
    assert_eq!((&made["identity"], &made["role"]), (&name("new").into(), &"caller".into()));
    assert_eq!(made["addresses"].as_array().unwrap().len(), 0);
    let folder = region.path("caller-new");
    let files = spinwell_runtime::tls::Files::in_folder(&folder);
    let refused = spinwell_runtime::tls::Mutual::load(files).unwrap_err().fault();
    assert!(refused.message().contains("may not be used for this"), "{refused}");
    let refused = run(&[&issue[..], &["--force", "--san", "10.0.0.4"]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--san"));
}
