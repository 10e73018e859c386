//! Those who call a gateway: they come when they come, whether or not the ones before have been answered.

use crate::history::{Asked, Ended, Recorder, Told, now};
use crate::model::{NAME, OnDisk};
use crate::scenario::{BEGINS, Scenario};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::{BodyExt, Collected};
use serde_json::{Value, json};
use spinwell_core::{Code, Rng};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt;

/// Rows of the longest window.
const ROWS_MAX: u64 = 32;
/// The shortest and the longest time that a caller gives his request, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (600, 2_000);
/// One in so many callers hangs up, after less than this.
const HANGS_UP: (u64, Duration) = (25, Duration::from_millis(40));

/// The callers of a gateway.
#[derive(Clone)]
pub(crate) struct Callers {
    pub(crate) gateway: usize,
    pub(crate) router: Router,
    pub(crate) model: &'static OnDisk,
    pub(crate) recorder: Recorder,
    /// When the gateway's host began.
    pub(crate) start: Instant,
}

/// A request that is going to be made.
struct Call {
    number: usize,
    window: Vec<f32>,
    timeout: Duration,
    patience: Option<Duration>,
}

/// Calls until the load ends.
pub(crate) async fn call(callers: Callers, scenario: &Scenario, mut rng: Rng) {
    let mut next = BEGINS;
    loop {
        next += Duration::from_secs_f64(-(1.0 - rng.uniform()).ln() / scenario.rate);
        if next >= scenario.load_ends {
            return;
        }
        sleep_until(callers.start + next).await;
        let call = callers.draw(&mut rng);
        tokio::spawn(callers.clone().one(call));
    }
}

impl Callers {
    fn draw(&self, rng: &mut Rng) -> Call {
        let timeout = Duration::from_millis(TIMEOUT_MS.0 + rng.below(TIMEOUT_MS.1 - TIMEOUT_MS.0));
        let patience = (rng.below(HANGS_UP.0) == 0).then(|| HANGS_UP.1.mul_f64(rng.uniform()));
        let mut history = self.recorder.write();
        let number = history.asked.len();
        history.asked.push(Asked { gateway: self.gateway, at: now(), timeout, ended: None });
        drop(history);
        let rows = self.model.window_min().max(2) + rng.below(ROWS_MAX) as usize;
        let mut window: Vec<f32> = (0..rows).map(|_| rng.uniform_in(-1.0, 1.0) as f32).collect();
        // A node knows the request by it.
        window[0] = number as f32;
        Call { number, window, timeout, patience }
    }

    async fn one(self, call: Call) {
        let asked = self.router.clone().oneshot(request(&call));
        let answered = async {
            // The router cannot fail.
            let Ok(response) = asked.await;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
            (head.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        };
        let ended = match call.patience {
            None => Some(answered.await),
            Some(patience) => timeout(patience, answered).await.ok(),
        };
        let ended = ended.map_or(Ended::HungUp, |(status, answer)| self.read(&call, status, &answer));
        if let Some(asked) = self.recorder.write().asked.get_mut(call.number) {
            asked.ended = Some((now(), ended));
        }
    }

    fn read(&self, call: &Call, status: u16, answer: &Value) -> Ended {
        let code = answer["code"].as_str().and_then(Code::named);
        if let Some(code) = code.filter(|_| status != 200) {
            return Ended::Failed(code);
        }
        let outputs = answer["outputs"].as_array();
        let forecast = outputs.and_then(|all| all.iter().find(|output| output["name"] == "forecast"));
        let values: Option<Vec<f32>> = forecast
            .and_then(|forecast| forecast["data"].as_array())
            .and_then(|data| data.iter().map(|value| value.as_f64().map(|value| value as f32)).collect());
        let (Some(values), Some(node)) = (values, answer["parameters"]["node"].as_str()) else {
            return Ended::Senseless(format!("{status}: {answer}"));
        };
        let is_right = self.model.forecast(&call.window).is_some_and(|own| own == values);
        Ended::Answered(Told { node: node.to_owned(), is_right })
    }
}

fn request(call: &Call) -> Request<Body> {
    let body = json!({
        "id": call.number.to_string(),
        "parameters": {"timeout": u64::try_from(call.timeout.as_micros()).unwrap_or(u64::MAX)},
        "inputs": [{"name": "series", "shape": [1, call.window.len(), 1], "datatype": "FP32", "data": call.window}],
    });
    let mut request = Request::new(Body::from(body.to_string()));
    *request.method_mut() = axum::http::Method::POST;
    if let Ok(path) = format!("/v2/models/{NAME}/infer").parse() {
        *request.uri_mut() = path;
    }
    request
}
