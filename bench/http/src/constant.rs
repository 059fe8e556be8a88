//! What HTTP itself costs: an axum handler that returns a constant, as long as what the daemon answers.

use std::io::Write;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use crate::server::VALUE;

/// Serves until it is killed; says where on stdout.
pub(crate) fn serve(threads: usize) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_io()
        .build()
        .map_err(said)?;
    runtime.block_on(async {
        let body = format!("{{\"key\":\"user:123\",\"value\":{VALUE}}}");
        let body: &'static str = body.leak();
        let handler = get(move || async move { ([(CONTENT_TYPE, "application/json")], body) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(said)?;
        println!("http://{}/", listener.local_addr().map_err(said)?);
        std::io::stdout().flush().map_err(said)?;
        axum::serve(listener, Router::new().route("/", handler))
            .await
            .map_err(said)
    })
}
