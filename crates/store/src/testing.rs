//! A PostgreSQL server of the tests' own.
//!
//! The same server that runs in service, with its data in a folder that goes when the tests end. It ends with the process that
//! started it, however that ends.

#![allow(clippy::disallowed_methods, reason = "tests start programs and look at the machine they run on")]

mod way;

pub use way::Way;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the server may take to answer.
const BOUND: Duration = Duration::from_secs(60);

/// What runs the server: it ends when nobody holds its input any more, and says the server's number first.
const WATCH: &str = r#""$@" >&2 & p=$!; echo "$p"; read _; kill -QUIT "$p"; wait "$p""#;

/// A running server.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    owner: Option<(u32, u32)>,
    running: Mutex<Option<Running>>,
    databases: AtomicU32,
}

struct Running {
    watch: Child,
    pid: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}

impl Server {
    /// The server that all tests of this process share.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// A server of its own.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the database server");
        let owner = owner();
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).expect("a folder of its own");
        }
        let data = folder.path().join("data");
        let made = as_owner(Command::new(program("initdb")), owner)
            .args(["--auth=trust", "--username=spinwell", "--encoding=UTF8", "--no-locale", "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb of PostgreSQL, which `make test` installs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port")
            .port();
        let server = Self { folder, port, owner, running: Mutex::default(), databases: AtomicU32::new(0) };
        server.begin();
        server
    }

    /// All that a database holds, as text.
    ///
    /// # Panics
    /// Where the server does not tell.
    #[must_use]
    pub fn dump(&self, url: &str) -> String {
        let told = Command::new(program("pg_dump")).arg(url).output().expect("pg_dump of PostgreSQL");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// Starts it again after [`Server::kill`].
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn begin(&self) {
        let mut command = as_owner(Command::new("sh"), self.owner);
        command
            .args(["-c", WATCH, "sh"])
            .arg(program("postgres"))
            .arg("-D")
            .arg(self.folder.path().join("data"));
        command.args([
            "-p",
            &self.port.to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "max_connections=200",
        ]);
        command.args(["-c", "unix_socket_directories=", "-c", "log_min_messages=fatal"]);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut watch =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().expect("a shell");
        let mut pid = String::new();
        let said = watch.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut pid).expect("its number");
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Running { watch, pid: pid.trim().to_owned() });
        let since = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() || !self.is_ready() {
            let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(since.elapsed() < BOUND, "the database server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it where it stands.
    pub fn kill(&self) {
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = Command::new("kill").args(["-KILL", &running.pid]).status();
        }
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.expect("a connection");
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(statement).execute(&mut connection).await.expect("a new database");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://spinwell@127.0.0.1:{}/{database}", self.port)
    }

    fn is_ready(&self) -> bool {
        let mut command = Command::new(program("pg_isready"));
        command
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// What leases and plans are in, held: the server answers nobody who asks for them.
pub struct Held {
    _connection: PgConnection,
}

impl Held {
    /// Holds them in the database of that URL, as long as this is there.
    ///
    /// # Panics
    /// Where they cannot be held.
    pub async fn leases_and_plans(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.expect("a connection");
        for statement in ["BEGIN", "LOCK TABLE leases, plans IN ACCESS EXCLUSIVE MODE"] {
            sqlx::query(statement).execute(&mut connection).await.expect("a lock");
        }
        Self { _connection: connection }
    }
}

/// A program of the server: Debian keeps them apart, by version.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}

/// Whoever the server runs as, where this process is root, as which it refuses to run.
fn owner() -> Option<(u32, u32)> {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    if is_root { of("postgres").or_else(|| of("nobody")) } else { None }
}

fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}
