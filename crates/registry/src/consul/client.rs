//! The calls of the agent's HTTP API that are needed, and nothing around them.

use super::listing::{Entry, Patience, Registration, grpc_registration, registration};
use super::names::Names;
use super::options::{InvalidOptions, Options};
use super::watch::Query;
use crate::{Address, Health, Member, Role};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The largest answer that is read: some ten thousand members.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Characters of what a refusing agent says that are kept.
const SAID_LEN_MAX: usize = 300;

/// A call was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There was no answer.
    #[error("the Consul agent at {url} cannot be reached")]
    Unreachable {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    /// It said no.
    #[error("the Consul agent at {url} refused with {status}: {said}")]
    Refused { url: Url, status: StatusCode, said: String },
    /// It is something else than Consul.
    #[error("what answers at {url} is no Consul agent")]
    Foreign {
        url: Url,
        #[source]
        source: serde_json::Error,
    },
    /// It is larger than is read.
    #[error("the answer of the Consul agent at {url} has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge { url: Url },
}

/// Where a service is, as the agent has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
}

/// A client of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    names: Names,
    patience: Patience,
    timeout: Duration,
}

impl Client {
    /// A client of the agent that the options name. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the options are not valid.
    pub(crate) fn new(options: &Options) -> Result<Self, InvalidOptions> {
        options.check()?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &options.token {
            let mut value = HeaderValue::from_str(token.secret()).map_err(|_| InvalidOptions::Token)?;
            value.set_sensitive(true);
            headers.insert("X-Consul-Token", value);
        }
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.default_headers(headers).connect_timeout(options.timeout.into());
        Ok(Self {
            http: http.build().map_err(|_| InvalidOptions::Url(options.url.clone()))?,
            base: options.base()?,
            names: Names { prefix: options.prefix.clone() },
            patience: Patience { ttl: options.ttl, deregister_after: options.deregister_after },
            timeout: options.timeout.into(),
        })
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Registers a member, or overwrites what is registered for it.
    pub(super) async fn register(&self, member: &Member, health: Health) -> Result<(), CallError> {
        self.put_service(&registration(&self.names, member, health, self.patience)).await?;
        match grpc_registration(&self.names, member) {
            Some(second) => self.put_service(&second).await,
            None => Ok(()),
        }
    }

    /// Takes a member off the list. One that is not on it is off it.
    pub(super) async fn deregister(&self, member: &Member) -> Result<(), CallError> {
        if member.grpc.is_some() {
            self.forget(&self.names.grpc_id(member)).await?;
        }
        self.forget(&self.names.id(member)).await
    }

    /// Says that a member is there, and how it is.
    pub(super) async fn beat(&self, member: &Member, health: Health) -> Result<(), CallError> {
        let word = match health {
            Health::Passing => "pass",
            Health::Warning => "warn",
            Health::Critical => "fail",
        };
        // No note: one that changes would be written into Consul's own log with every beat.
        let url = self.url(&format!("v1/agent/check/{word}/{}", self.names.check(member)));
        self.answer(Method::PUT, url, self.timeout, None::<&()>).await.map(drop)
    }

    /// Where the agent believes a member to be: whoever registers under its id takes its place, and its beats count for that one.
    /// Nothing where the agent does not say.
    pub(super) async fn registered(&self, member: &Member) -> Result<Option<Address>, CallError> {
        let url = self.url(&format!("v1/agent/service/{}", self.names.id(member)));
        let response = self.answer(Method::GET, url.clone(), self.timeout, None::<&()>).await?;
        let body = read(response, &url).await?;
        let place: Place =
            serde_json::from_slice(&body).map_err(|source| CallError::Foreign { url, source })?;
        Ok(Address::new(&place.address, place.port).ok())
    }

    /// Who has a role, as soon as it is something newer than the query's index; with the answer's own index.
    pub(super) async fn members(
        &self,
        role: Role,
        query: Query,
    ) -> Result<(Option<u64>, Vec<Entry>), CallError> {
        let mut url = self.url(&format!("v1/health/service/{}", self.names.service(role)));
        let wait = format!("{}ms", query.wait.as_millis());
        url.query_pairs_mut().append_pair("index", &query.index.to_string()).append_pair("wait", &wait);
        // Consul itself adds up to a sixteenth to the wait.
        let patience = query.wait + query.wait / 16 + self.timeout;
        let response = self.answer(Method::GET, url.clone(), patience, None::<&()>).await?;
        let index = response.headers().get("X-Consul-Index");
        let index = index.and_then(|index| index.to_str().ok()).and_then(|index| index.parse().ok());
        let body = read(response, &url).await?;
        let entries = serde_json::from_slice(&body);
        // Go writes an empty list as null at times.
        let entries: Option<Vec<Entry>> = entries.map_err(|source| CallError::Foreign { url, source })?;
        Ok((index, entries.unwrap_or_default()))
    }

    async fn put_service(&self, registration: &Registration) -> Result<(), CallError> {
        let url = self.url("v1/agent/service/register?replace-existing-checks=true");
        self.answer(Method::PUT, url, self.timeout, Some(registration)).await.map(drop)
    }

    async fn forget(&self, id: &str) -> Result<(), CallError> {
        let url = self.url(&format!("v1/agent/service/deregister/{id}"));
        match self.answer(Method::PUT, url, self.timeout, None::<&()>).await {
            Err(CallError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The address of a path, whose parts hold nothing that a path cannot hold.
    fn url(&self, path: &str) -> Url {
        self.base.join(path).unwrap_or_else(|_| self.base.clone())
    }

    async fn answer<B: Serialize>(
        &self,
        method: Method,
        url: Url,
        patience: Duration,
        body: Option<&B>,
    ) -> Result<Response, CallError> {
        let mut request = self.http.request(method, url.clone()).timeout(patience);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response =
            request.send().await.map_err(|source| CallError::Unreachable { url: url.clone(), source })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = read(response, &url).await.unwrap_or_default();
        let said = String::from_utf8_lossy(&said).trim().chars().take(SAID_LEN_MAX).collect();
        Err(CallError::Refused { url, status, said })
    }
}

async fn read(mut response: Response, url: &Url) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(CallError::TooLarge { url: url.clone() }),
            Ok(None) => return Ok(body),
            Err(source) => {
                return Err(CallError::Unreachable { url: url.clone(), source });
            }
        }
    }
}
