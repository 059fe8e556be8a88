//! Accepts connections, and ends when it is told to: what is under way is finished first.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::connection::{Patience, serve};
use super::service::Service;
use super::tls::Tls;
use crate::log;

/// After a connection could not be accepted, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(50);
/// For so long nothing is heard of a client before it is asked for; and between two such questions, which are so many.
const ASK_AFTER: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(15);
const ASKED: u32 = 4;
/// For a client the system keeps so many bytes that have not been sent, beside those that have not arrived: else it takes megabytes at once, and a client who reads
/// steadily looks like one who has stopped.
const AHEAD: u32 = 32 * 1024;

/// Serves all who come, until `stop`. All connections are over when `over` has no sender any more.
pub(super) async fn listen(
    listener: TcpListener,
    service: Arc<Service>,
    patience: Patience,
    tls: Option<Tls>,
    mut stop: watch::Receiver<bool>,
    over: mpsc::Sender<()>,
) {
    let told = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => begin(stream, &service, patience, tls.clone(), &told, &over),
            // The client has gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn begin(
    stream: TcpStream,
    service: &Arc<Service>,
    patience: Patience,
    tls: Option<Tls>,
    stop: &watch::Receiver<bool>,
    over: &mpsc::Sender<()>,
) {
    // All are at work, and one more would make all of them slower.
    let Some(seat) = service.seats.take() else { return };
    // Answers are written at once and whole; where that is refused, they are a bit later.
    let _ = stream.set_nodelay(true);
    // Where the system does not do this, who is gone is missed later.
    let _ = miss_who_is_gone(&stream, patience.write);
    let _ = take_little_ahead(&stream);
    let (service, stop, over) = (Arc::clone(service), stop.clone(), over.clone());
    let mut told = stop.clone();
    tokio::spawn(async move {
        match tls {
            None => serve(&service, stream, &seat, patience, stop).await,
            Some(tls) => {
                let shaken = tokio::select! {
                    shaken = timeout(patience.head, tls.accept(stream)) => shaken.ok().and_then(Result::ok),
                    () = seat.leave.notified() => None,
                    _ = told.wait_for(|stop| *stop) => None,
                };
                // What goes wrong before that is the client's affair.
                if let Some(stream) = shaken {
                    serve(&service, stream, &seat, patience, stop).await;
                }
            }
        }
        service.seats.give_back(&seat);
        drop(over);
    });
}

/// Has the system end the connection of a client whose machine is gone, or sleeps: it says nothing any more, and what is written to it waits, for a quarter of an hour
/// and more.
fn miss_who_is_gone(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    #[cfg(not(any(target_os = "haiku", target_os = "nto", target_os = "openbsd")))]
    {
        sockopt::set_tcp_keepidle(stream, ASK_AFTER)?;
        sockopt::set_tcp_keepintvl(stream, ASK_AGAIN)?;
        sockopt::set_tcp_keepcnt(stream, ASKED)?;
    }
    // Whoever has something on its way to him is not asked: that has to arrive.
    let after = patience.max(ASK_AFTER + ASKED * ASK_AGAIN).as_millis();
    unacknowledged(stream, u32::try_from(after).unwrap_or(u32::MAX))
}

/// How long what was sent may not arrive, in milliseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unacknowledged(stream: &TcpStream, millis: u32) -> io::Result<()> {
    Ok(sockopt::set_tcp_user_timeout(stream, millis)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unacknowledged(_: &TcpStream, _: u32) -> io::Result<()> {
    Ok(())
}

/// Has the socket take about what the client takes, and no less often: whoever waits for it to take more sees how quickly that is. What is on its way is not bounded,
/// so that it goes no more slowly.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn take_little_ahead(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(AHEAD)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn take_little_ahead(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_send_buffer_size(8 * AHEAD as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpSocket;
    use tokio::runtime::{Builder, Runtime};

    /// Both ends of a connection, the second that of a client.
    fn connected() -> (Runtime, TcpStream, TcpStream) {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (server, client) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let client = TcpSocket::new_v4().expect("a socket");
            // Else it grows with what is read at once.
            client.set_recv_buffer_size(64 * 1024).expect("it can");
            let client = client.connect(address).await.expect("it listens");
            (listener.accept().await.expect("one").0, client)
        });
        (runtime, server, client)
    }

    #[test]
    fn a_socket_takes_more_whenever_its_client_has_taken_some() {
        /// That is two seconds for one who reads 80 KiB/s.
        const SOME: usize = 160 * 1024;
        let (runtime, server, client) = connected();
        take_little_ahead(&server).expect("it can");
        let mut buffer = [0; 4096];
        runtime.block_on(async {
            for step in 0..20 {
                while server.try_write(&[0; 1 << 16]).is_ok() {}
                let mut taken = 0;
                while taken < SOME {
                    tokio::select! {
                        biased;
                        _ = server.writable() => break,
                        _ = client.readable() => taken += client.try_read(&mut buffer).unwrap_or(0),
                    }
                }
                let writable = timeout(Duration::from_secs(10), server.writable()).await;
                assert!(writable.is_ok(), "step {step}");
            }
        });
    }

    #[test]
    fn the_system_looks_whether_a_client_is_still_there() {
        let (_runtime, stream, _client) = connected();
        miss_who_is_gone(&stream, Duration::from_secs(1)).expect("it can");
        assert!(sockopt::socket_keepalive(&stream).expect("an option"));
        #[cfg(target_os = "linux")]
        {
            assert_eq!(sockopt::tcp_keepidle(&stream).expect("an option"), ASK_AFTER);
            assert_eq!(sockopt::tcp_user_timeout(&stream).expect("an option"), 120_000);
            miss_who_is_gone(&stream, Duration::from_secs(600)).expect("it can");
            assert_eq!(sockopt::tcp_user_timeout(&stream).expect("an option"), 600_000);
        }
    }
}
