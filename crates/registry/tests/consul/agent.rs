//! A Consul agent on free loopback ports, which is also the whole of its Consul.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Child;

/// How long anything may take before a test fails.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
/// How often a state is looked at that cannot be waited for.
const LOOK: Duration = Duration::from_millis(50);
/// Ports that another program takes between our looking and the agent's binding are tried again, so often.
const STARTS_MAX: usize = 5;
/// The token that may do everything, where the agent asks for one.
pub(crate) const TOKEN: &str = "9f3c2f64-0f2e-4f4c-8f57-3d7f8a0c1b11";

/// A client that goes straight to where it is sent.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Looks at a state that cannot be waited for until it is there.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, looking).await.is_ok(), "{what}: not so after {BOUND:?}");
}

/// What the agent listens on.
#[derive(Debug, Clone, Copy)]
struct Ports {
    http: u16,
    dns: u16,
    server: u16,
    serf: u16,
}

/// An agent that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    ports: Ports,
    data: TempDir,
    config: &'static str,
    child: Child,
    http: reqwest::Client,
}

/// Rafts of one elect themselves fast, and checks that change are told of at once.
const CONFIG: &str = r#"performance { raft_multiplier = 1 } "#;
/// The same, and nobody may do anything without a token.
const CONFIG_ACL: &str = concat!(
    r#"performance { raft_multiplier = 1 } acl { enabled = true default_policy = "deny" "#,
    r#"tokens { master = "9f3c2f64-0f2e-4f4c-8f57-3d7f8a0c1b11" } }"#
);

impl Agent {
    /// An agent that knows of nobody.
    pub(crate) async fn start() -> Self {
        Self::start_with(CONFIG).await
    }

    /// An agent that asks for [`TOKEN`].
    pub(crate) async fn start_with_acl() -> Self {
        Self::start_with(CONFIG_ACL).await
    }

    async fn start_with(config: &'static str) -> Self {
        let mut said = None;
        for _ in 0..STARTS_MAX {
            let ports = free_ports().unwrap();
            let data = tempfile::tempdir().unwrap();
            let child = spawn(ports, data.path(), config);
            let mut agent = Self { ports, data, config, child, http: client() };
            match agent.ready().await {
                Ok(()) => return agent,
                Err(error) => said = Some(error),
            }
        }
        panic!("no agent after {STARTS_MAX} starts: {said:?}")
    }

    /// Where an agent would be, that [`Reserved::start`] starts.
    pub(crate) fn reserve() -> Reserved {
        Reserved(free_ports().unwrap())
    }

    /// Its HTTP address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// The port that it answers DNS on.
    pub(crate) fn dns_port(&self) -> u16 {
        self.ports.dns
    }

    /// Ends it as a power cut does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again with what it had written.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.ports, self.data.path(), self.config);
        self.ready().await.unwrap();
    }

    /// Starts it again without.
    pub(crate) async fn restart_empty(&mut self) {
        self.data = tempfile::tempdir().unwrap();
        self.restart().await;
    }

    /// Lets it hang, with all connections open.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// The answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}{path}", self.url())).timeout(Duration::from_secs(5));
        let answer = request.header("X-Consul-Token", TOKEN).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Registers a service as somebody else may.
    pub(crate) async fn register(&self, service: &Value) {
        let url = format!("{}/v1/agent/service/register", self.url());
        self.http.put(url).json(service).send().await.unwrap().error_for_status().unwrap();
    }

    /// Makes a policy of these rules and a token that may do what it says, and nothing else.
    pub(crate) async fn token_with(&self, rules: &str) -> String {
        self.put("/v1/acl/policy", &json!({"Name": "spinwell", "Rules": rules})).await;
        let token = self.put("/v1/acl/token", &json!({"Policies": [{"Name": "spinwell"}]})).await;
        token["SecretID"].as_str().expect("a secret").to_owned()
    }

    /// The status with which it answers somebody who registers a service and shows a token.
    pub(crate) async fn register_with(&self, service: &Value, token: &str) -> u16 {
        let url = format!("{}/v1/agent/service/register", self.url());
        let request = self.http.put(url).json(service).header("X-Consul-Token", token);
        request.send().await.unwrap().status().as_u16()
    }

    async fn put(&self, path: &str, document: &Value) -> Value {
        let request = self.http.put(format!("{}{path}", self.url())).json(document);
        let answer = request.header("X-Consul-Token", TOKEN).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// Lets it forget all services, as a restart without its data folder does.
    pub(crate) async fn forget(&self, id: &str) {
        let url = format!("{}/v1/agent/service/deregister/{id}", self.url());
        self.http.put(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// Ids of the services that it has.
    pub(crate) async fn services(&self) -> Vec<String> {
        let services = self.get("/v1/agent/services").await.unwrap();
        services.as_object().unwrap().keys().cloned().collect()
    }

    /// Waits until it leads and answers.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let end = tokio::time::Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended with {status}");
            }
            // The first answer that needs a leader.
            if self.get("/v1/health/service/consul").await.is_ok_and(|list| list[0].is_object()) {
                return Ok(());
            }
            if tokio::time::Instant::now() > end {
                bail!("the agent does not lead after {BOUND:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Ports on which no agent runs yet.
#[derive(Debug)]
pub(crate) struct Reserved(Ports);

impl Reserved {
    /// Where it will be.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.http)
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Agent {
        let data = tempfile::tempdir().unwrap();
        let child = spawn(self.0, data.path(), CONFIG);
        let mut agent = Agent { ports: self.0, data, config: CONFIG, child, http: client() };
        agent.ready().await.unwrap();
        agent
    }
}

fn spawn(ports: Ports, data: &Path, config: &str) -> Child {
    let port = |name: &str, port: u16| [format!("-{name}-port"), port.to_string()];
    let mut command = Command::new(binary());
    command
        .args([
            "agent",
            "-server",
            "-bootstrap",
            "-bind",
            "127.0.0.1",
            "-client",
            "127.0.0.1",
            "-log-level",
            "warn",
        ])
        .args(["-node", "test", "-serf-wan-port", "-1", "-grpc-port", "-1", "-hcl", config, "-data-dir"])
        .arg(data)
        .args(port("http", ports.http))
        .args(port("dns", ports.dns))
        .args(port("server", ports.server))
        .args(port("serf-lan", ports.serf))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap()
}

/// Consul as `scripts/need.sh consul` puts it into the target folder, or as it is on the search path.
fn binary() -> PathBuf {
    // Cargo's folder for tests is `tmp` in the target folder.
    let ours = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").join("tools/consul");
    let found = [ours, PathBuf::from("consul")].into_iter().find(|path| {
        let mut asked = Command::new(path);
        asked.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    });
    found.expect("these tests need Consul: run scripts/need.sh consul")
}

fn free_ports() -> anyhow::Result<Ports> {
    // All are held until all are found, so that they differ.
    let held: Vec<(TcpListener, UdpSocket)> = (0..4).map(|_| free_port()).collect::<anyhow::Result<_>>()?;
    let port = |index: usize| anyhow::Ok(held[index].0.local_addr()?.port());
    Ok(Ports { http: port(0)?, dns: port(1)?, server: port(2)?, serf: port(3)? })
}

/// A port that is free for TCP and UDP.
fn free_port() -> anyhow::Result<(TcpListener, UdpSocket)> {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr()?) {
            return Ok((tcp, udp));
        }
    }
    bail!("no port is free for both TCP and UDP")
}
