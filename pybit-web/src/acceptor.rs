//! Connections: accepted without a busy loop, answered without delay, closed when nothing moves.
//!
//! poem 3.1's own server retries a failed accept at once (a server without free file descriptors then burns a whole core),
//! leaves Nagle's algorithm on, has no timeout for a request that never ends, and goes on with a held request whose
//! client is gone, as it polls a connection that has failed once more; so connections are served here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use poem::Endpoint;
use poem::http::uri::Scheme;
use poem::http::{Request, Response};
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections, so many at once.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    local: LocalAddr,
    seats: Arc<Semaphore>,
    idle: Duration,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, most: usize, idle: Duration) -> io::Result<Self> {
        let local = LocalAddr(listener.local_addr()?.into());
        Ok(Self { listener, local, seats: Arc::new(Semaphore::new(most)), idle })
    }

    async fn next(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Door {
    /// Answers every connection with `app` until `stopping`, then lets the requests that run end within `rest`.
    ///
    /// A request whose connection is gone is dropped where it waits.
    pub(crate) async fn serve(
        &self,
        app: impl Endpoint + 'static,
        stopping: &CancellationToken,
        rest: Duration,
    ) {
        let app = Arc::new(app);
        let open = GracefulShutdown::new();
        let hurry = CancellationToken::new();
        let _hurry_on_exit = hurry.clone().drop_guard();
        while let Some(accepted) = stopping.run_until_cancelled(self.accept()).await {
            let Ok((connection, remote)) = accepted else { break };
            let served = open.watch(self.answered(connection, remote, &app));
            let hurry = hurry.clone();
            tokio::spawn(async move {
                if let Some(Err(error)) = hurry.run_until_cancelled(served).await {
                    tracing::debug!(%error, "a connection broke off");
                }
            });
        }
        if tokio::time::timeout(rest, open.shutdown()).await.is_err() {
            tracing::warn!("connections that do not end are closed");
        }
    }

    async fn accept(&self) -> io::Result<(Connection, RemoteAddr)> {
        let seat = Arc::clone(&self.seats).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, remote) = self.next().await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
        }
        let connection = Connection {
            stream,
            idle: self.idle,
            deadline: Box::pin(tokio::time::sleep(self.idle)),
            _seat: seat,
        };
        Ok((connection, RemoteAddr(remote.into())))
    }

    /// HTTP/1 alone: a connection then is one request at a time, and `most` bounds those too. The head of a request must
    /// arrive within the time that a connection may be idle, however steadily it drips.
    fn answered<E: Endpoint + 'static>(
        &self,
        connection: Connection,
        remote: RemoteAddr,
        app: &Arc<E>,
    ) -> impl hyper_util::server::graceful::GracefulConnection<Error: std::fmt::Display + Send>
    + Send
    + use<E> {
        let (app, local) = (Arc::clone(app), self.local.clone());
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (app, local, remote) = (Arc::clone(&app), local.clone(), remote.clone());
            async move {
                let request = (request, local, remote, Scheme::HTTP).into();
                let answer: Response<BoxBody<Bytes, io::Error>> =
                    app.get_response(request).await.into();
                Ok::<_, Infallible>(answer)
            }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle)
            .serve_connection(TokioIo::new(connection), service)
    }
}

/// A connection that breaks off when neither side has moved a byte for too long.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    _seat: OwnedSemaphorePermit,
}

impl Connection {
    /// Passes an outcome on; while there is none, watches the clock.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            let next = Instant::now() + self.idle;
            self.deadline.as_mut().reset(next);
            return outcome;
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watched(cx, outcome)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
