//! `spinwell audit witness`: cosigns what logs have grown to, by C2SP tlog-witness.
//!
//! What is cosigned, `spinwell_ledger::witness` decides. Here it is kept before anybody gets the signature, so that also a witness that
//! was killed never signs two logs of one name.

use super::args::{Common, address};
use super::at_rest::{self, secret};
use super::process::{self, Given, Process};
use crate::audit::given;
use crate::output::say;
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Args;
use spinwell_core::{Code, Fault};
use spinwell_gateway::{ConnectionCounts, Listening, serve_http};
use spinwell_ledger::witness::{Accepted, Memory, REQUEST_BYTES_MAX, Refusal, Request, SIZE_MEDIA_TYPE};
use spinwell_ledger::{Checkpoint, WitnessKey, file_name};
use spinwell_runtime::at_rest::AtRest;
use spinwell_runtime::health::Phase;
use spinwell_runtime::{clock, files, listen, shutdown};
use spinwell_store::Lock;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Options of `spinwell audit witness`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A witness cosigns a checkpoint where the log has only grown since the last one, and nothing else. It belongs on a machine that those who keep
the logs cannot change. Its key is made at its first start; the public one stands in FOLDER/witness/NAME.vkey. The checkpoints that it has
cosigned last are in FOLDER/witness/seen, and may be given to `spinwell audit verify --seen`.

Examples:
  spinwell audit witness --log log.vkey --name example.com/witness --listen 127.0.0.1:8005
  SPINWELL_LEDGER_WITNESSES='http://127.0.0.1:8005 example.com/witness+12ab34cd+BASE64' spinwell serve
  spinwell audit verify --witness spinwell-data/witness/example.com%2Fwitness.vkey")]
pub(crate) struct WitnessArgs {
    #[command(flatten)]
    common: Common,
    /// Folder for the witness's key and for what it has seen [default: ./spinwell-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address where logs ask for cosignatures; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", value_parser = address, default_value = "127.0.0.1:8005")]
    listen: SocketAddr,
    /// The public key of a log, as text or as a file of such lines; once for each.
    #[arg(long = "log", value_name = "VKEY", required_unless_present = "print_config")]
    logs: Vec<String>,
    /// The witness's name, of its own in the world.
    #[arg(long, value_name = "NAME", default_value = "witness")]
    name: String,
}

/// Cosigns until SIGTERM or SIGINT.
///
/// # Errors
/// A [`Fault`] where the options are not valid, or the folder or the address cannot be used.
pub(crate) fn run(args: &WitnessArgs) -> Result<()> {
    let (name, listen) = (args.name.clone(), args.listen);
    let called = format!("witness {name}");
    let options = Given::default().path("data.dir", args.data.clone(), "--data");
    let memory = Memory::of(given("--log", &args.logs)?);
    process::run(&args.common, options, |_| Some(called), |process| serve(process, name, listen, memory))
}

async fn serve(process: Process, name: String, address: SocketAddr, memory: Memory) -> Result<()> {
    let Process { options, health, mut asked_to_stop } = process;
    let folder = options.data_dir.join("witness");
    let _lock = Lock::take(&folder).map_err(|error| error.fault())?;
    let at_rest = at_rest::of(&options)?;
    let witness = Arc::new(Cosigner::open(&folder, &name, at_rest.as_ref(), memory)?);
    let listener = listen::bind("witness", address, options.exposure).map_err(|error| error.fault())?;
    say(&format!("serving http://{} (add-checkpoint)", listener.local_addr()?));
    let logs = witness.lock().logs().iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
    say(&format!("logs    {}", logs.join(", ")));
    say(&format!("key     {}", witness.key.public()));
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .fallback(async || text(404, "this is a witness: POST /add-checkpoint\n".to_owned()))
        .method_not_allowed_fallback(async || text(405, "checkpoints are sent with POST\n".to_owned()))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(witness);
    let (stop, stops) = shutdown::channel();
    let listening =
        Listening { listener, limits: options.limits, counts: ConnectionCounts::default(), tls: None };
    let answering = tokio::spawn(serve_http(listening, router, health.clone(), stops));
    health.advance(Phase::Ready);
    say(&format!("ready   witness {name}, stop with Ctrl-C or SIGTERM"));
    asked_to_stop.wait().await;
    health.advance(Phase::Stopping);
    stop.pull();
    answering.await.context("the witness failed while it stopped")
}

/// A witness, with its key and its files.
struct Cosigner {
    key: WitnessKey,
    /// The folder of the checkpoints that it has seen.
    seen: PathBuf,
    /// Held from the decision until the file is on the disk.
    memory: Mutex<Memory>,
}

impl Cosigner {
    /// The witness of this folder, with its key, which is made where there is none.
    fn open(folder: &Path, name: &str, at_rest: Option<&Arc<AtRest>>, mut memory: Memory) -> Result<Self> {
        let invalid = |path: &Path, why: &dyn std::fmt::Display| {
            Fault::new(Code::ConfigInvalid, format!("{} cannot be used: {why}", path.display()))
        };
        let path = folder.join(format!("{}.key", file_name(name)));
        let made = |seed: &[u8; 32]| WitnessKey::of_seed(name, seed).map(|key| key.secret_text());
        let text = secret(&path, at_rest, |seed| made(seed).map_err(|error| invalid(&path, &error)))?;
        let key = WitnessKey::of_text(text.trim()).map_err(|error| invalid(&path, &error))?;
        let public = folder.join(format!("{}.vkey", file_name(name)));
        files::write_atomically(&public, format!("{}\n", key.public()).as_bytes())
            .with_context(|| format!("{} cannot be written", public.display()))?;
        let seen = folder.join("seen");
        fs::create_dir_all(&seen).with_context(|| format!("{} cannot be made", seen.display()))?;
        for log in memory.logs().to_vec() {
            let path = seen.join(file_name(log.name()));
            let note = match fs::read(&path) {
                Ok(note) => note,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("{} cannot be read", path.display()));
                }
            };
            // To begin anew would be to cosign another log of the same name.
            let signed = Checkpoint::open(&note, memory.logs()).map_err(|error| invalid(&path, &error))?;
            if signed.checkpoint.origin != log.name() {
                return Err(invalid(&path, &format!("it is of the log {}", signed.checkpoint.origin)).into());
            }
            memory.remember(&signed.checkpoint);
        }
        Ok(Self { key, seen, memory: Mutex::new(memory) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // What was remembered is whole, whoever panicked.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cosignature that is asked for, once what it is over is on the disk.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn cosign(&self, body: &[u8]) -> io::Result<Result<Vec<u8>, Refusal>> {
        let mut memory = self.lock();
        let accepted = Request::of_bytes(body).and_then(|request| memory.judge(&request));
        let Accepted { checkpoint, mut note } = match accepted {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let cosignature = self.key.cosign(checkpoint.text().as_bytes(), clock::unix_micros());
        note.extend(&cosignature);
        files::write_atomically(&self.seen.join(file_name(&checkpoint.origin)), &note)?;
        memory.remember(&checkpoint);
        Ok(Ok(cosignature))
    }
}

/// An answer for people. Each has a body, which tells it from what the HTTP library refuses by itself.
fn text(status: u16, text: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

async fn add_checkpoint(State(witness): State<Arc<Cosigner>>, body: Bytes) -> Response {
    match tokio::task::spawn_blocking(move || witness.cosign(&body)).await {
        Ok(Ok(Ok(cosignature))) => text(200, String::from_utf8_lossy(&cosignature).into_owned()),
        Ok(Ok(Err(Refusal::Other { seen }))) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, SIZE_MEDIA_TYPE)], format!("{seen}\n"))
                .into_response()
        }
        Ok(Ok(Err(refusal))) => {
            tracing::warn!(%refusal, "a checkpoint was not cosigned");
            text(refusal.status(), format!("{refusal}\n"))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a checkpoint cannot be kept, so that it is not cosigned");
            text(500, "what was seen cannot be kept; try again\n".to_owned())
        }
        Err(_) => text(500, "the checkpoint could not be looked at; the witness goes on\n".to_owned()),
    }
}
