//! The agent check of HAProxy: whoever connects is told in one line how this gateway is, and the connection ends.
//!
//! HAProxy asks every second or so (`agent-check`), and takes the words at once: `drain` sends no new requests here while those
//! under way are answered, which a failing health check cannot say; `down` does the same for a gateway that is not to leave but has nobody
//! who could answer, and that comes back as one that was away. It is a port of its own because HAProxy wants the line
//! without a protocol around it. (HAProxy configuration manual, "agent-check".)

use spinwell_runtime::health::{Health, Readiness};
use spinwell_runtime::shutdown::Shutdown;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// How long somebody who asked may take to hear the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait where the operating system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers at `listener` until `stop`.
pub async fn serve(listener: TcpListener, health: Health, mut stop: Shutdown) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => return,
        };
        match accepted {
            Ok((mut stream, _)) => {
                let line = line(health.readiness());
                tokio::spawn(async move {
                    // Whoever does not listen is not waited for.
                    let _ = timeout(PATIENCE, async {
                        stream.write_all(line.as_bytes()).await?;
                        stream.shutdown().await
                    })
                    .await;
                });
            }
            Err(error) => {
                tracing::warn!(?error, "a connection of an agent check cannot be accepted just now");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What HAProxy is told. `up` and `ready` take back what was said before: only an agent can. A reason stands behind a blank and `#`; HAProxy
/// knows no word `down#`, and goes by what was said before then.
fn line(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Starting => "down #starting\n",
        Readiness::Ready => "up ready\n",
        Readiness::CutOff => "down #no node can be reached\n",
        Readiness::Leaving | Readiness::Stopping => "drain\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_runtime::health::Phase;
    use spinwell_runtime::shutdown;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn everybody_who_connects_is_told_how_the_gateway_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, health) = (listener.local_addr().unwrap(), Health::default());
        let (stop, stops) = shutdown::channel();
        let served = tokio::spawn(serve(listener, health.clone(), stops));
        let states = [
            (Phase::Starting, false, "down #starting\n"),
            (Phase::Ready, false, "up ready\n"),
            (Phase::Ready, true, "down #no node can be reached\n"),
            (Phase::Ready, false, "up ready\n"),
            (Phase::Leaving, true, "drain\n"),
            (Phase::Stopping, false, "drain\n"),
        ];
        for (phase, is_cut_off, wanted) in states {
            health.advance(phase);
            health.set_cut_off(is_cut_off);
            let mut told = String::new();
            TcpStream::connect(address).await.unwrap().read_to_string(&mut told).await.unwrap();
            assert_eq!(told, wanted);
        }
        stop.pull();
        served.await.unwrap();
    }
}
