//! Accepts connections, and ends when it is told to: what is under way is finished first.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::connection::{Patience, serve};
use super::service::Service;
use super::tls::Tls;
use crate::log;

/// After a connection could not be accepted, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(50);

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
