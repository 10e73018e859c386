//! The first bytes of an HTTP/2 connection.
//!
//! The library waits for them as long as it takes, and a stop does not end that wait. So they are read here,
//! with a limit on the time, and a peer that says something else is sent away at once.

use std::io::{self, Cursor};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What every HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The connection with its preface still to be read, once that has arrived.
///
/// # Errors
/// Where it does not arrive in time, or something else does.
pub(super) async fn awaited(
    mut stream: TcpStream,
    limit: Duration,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send> {
    timeout(limit, read(&mut stream)).await??;
    let (read, write) = stream.into_split();
    Ok(tokio::io::join(Cursor::new(PREFACE).chain(read), write))
}

async fn read(stream: &mut TcpStream) -> io::Result<()> {
    let mut got = [0; PREFACE.len()];
    let mut len = 0;
    while len < PREFACE.len() {
        let more = stream.read(&mut got[len..]).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        len += more;
        if got[..len] != PREFACE[..len] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not speak HTTP/2"));
        }
    }
    Ok(())
}
