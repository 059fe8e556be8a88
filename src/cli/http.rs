//! What the command line says about HTTP.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rustcache::transport::http::{Options, Tls, Token};

use super::{length, size, some_time};

/// Where a token may stand, other than in a file. Not on the command line, which every user of the machine can read.
const TOKEN: &str = "RUSTCACHE_HTTP_TOKEN";

#[derive(Debug, Clone, Args)]
pub(crate) struct Http {
    // Not by a variable: it would change what a program that is started to serve stdin does.
    /// Serve HTTP at this address, such as 127.0.0.1:8000, or at a port of this machine alone. stdin and stdout are served by --stdio only.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    http: Option<SocketAddr>,

    /// Serve stdin and stdout, which is done without --http in any case: both are one cache, and end with the input.
    #[arg(long)]
    stdio: bool,

    /// Ask for the token that is in this file, or in the variable RUSTCACHE_HTTP_TOKEN. Needed for an address that other machines can reach.
    #[arg(long, value_name = "FILE", env = "RUSTCACHE_HTTP_TOKEN_FILE")]
    http_token_file: Option<PathBuf>,

    /// Speak TLS, with this certificate (PEM, those that vouch for it after it).
    #[arg(long, value_name = "FILE", env = "RUSTCACHE_HTTP_CERT")]
    http_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", env = "RUSTCACHE_HTTP_KEY")]
    http_key: Option<PathBuf>,

    /// A name that requests may have in Host, beside localhost and addresses; may be given several times. Not looked at when there is a token.
    #[arg(
        long,
        value_name = "NAME",
        env = "RUSTCACHE_HTTP_ALLOW_HOST",
        value_delimiter = ','
    )]
    http_allow_host: Vec<String>,

    /// The longest body of a request [default: the longest value, or what fits into the cache if that is less, and 64kib].
    #[arg(long, value_name = "SIZE", env = "RUSTCACHE_HTTP_MAX_BODY", value_parser = size)]
    http_max_body: Option<u64>,

    /// The most memory that the bodies and long answers under way may take together.
    #[arg(long, value_name = "SIZE", env = "RUSTCACHE_HTTP_MAX_MEMORY", default_value = "256mib", value_parser = size)]
    http_max_memory: u64,

    /// Connections at the same time. One more ends one that is idle.
    #[arg(long, value_name = "N", env = "RUSTCACHE_HTTP_MAX_CONNECTIONS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    http_max_connections: u32,

    /// How long a request may take to come, and how long a client may take nothing of the answer.
    #[arg(long, value_name = "DURATION", env = "RUSTCACHE_HTTP_TIMEOUT", default_value = "30s", value_parser = some_time)]
    http_timeout: Duration,

    /// How long a connection may be idle, and the headers of a request may take.
    #[arg(long, value_name = "DURATION", env = "RUSTCACHE_HTTP_IDLE_TIMEOUT", default_value = "30s", value_parser = some_time)]
    http_idle_timeout: Duration,

    /// Threads that serve HTTP; beside them as many, but two at least, do what takes long.
    #[arg(long, value_name = "N", env = "RUSTCACHE_HTTP_THREADS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    http_threads: u16,
}

impl Http {
    pub(crate) fn scheme(&self) -> &'static str {
        if self.http_cert.is_some() { "https" } else { "http" }
    }

    pub(crate) fn serves_stdio(&self) -> bool {
        self.stdio || self.http.is_none()
    }

    /// How to serve HTTP, if that is asked for.
    ///
    /// # Errors
    /// A line that says what is wrong with the token.
    pub(crate) fn options(&self, max_value: u64) -> Result<Option<Options>, String> {
        let Some(address) = self.http else { return Ok(None) };
        let by_default = Options::new(address, length(max_value));
        Ok(Some(Options {
            token: self.token()?,
            tls: self.tls()?,
            allowed_hosts: self.http_allow_host.clone(),
            max_body: self.http_max_body.map_or(by_default.max_body, length),
            max_memory: length(self.http_max_memory),
            max_connections: length(self.http_max_connections.into()),
            timeout: self.http_timeout,
            idle_timeout: self.http_idle_timeout,
            threads: self.http_threads.into(),
            ..by_default
        }))
    }

    fn tls(&self) -> Result<Option<Tls>, String> {
        match (&self.http_cert, &self.http_key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => match Tls::read(certificate, key) {
                Ok(tls) => Ok(Some(tls)),
                Err(error) => Err(error.to_string()),
            },
            (Some(_), None) => {
                Err("--http-cert needs --http-key, the private key of that certificate".to_owned())
            }
            (None, Some(_)) => {
                Err("--http-key needs --http-cert, the certificate that it belongs to".to_owned())
            }
        }
    }

    fn token(&self) -> Result<Option<Token>, String> {
        if let Some(path) = &self.http_token_file {
            let token =
                Token::read(path).map_err(|error| format!("the token in {}: {error}", path.display()))?;
            return Ok(Some(token));
        }
        match std::env::var_os(TOKEN) {
            None => Ok(None),
            Some(text) => {
                let token = Token::new(&text.to_string_lossy());
                token
                    .map(Some)
                    .map_err(|error| format!("the token in {TOKEN}: {error}"))
            }
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let wrong = |why: &str| format!("{why}: write an address and a port, such as 127.0.0.1:8000");
    let mut addresses = text
        .to_socket_addrs()
        .map_err(|error| wrong(&error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_with_a_port_or_a_port_of_this_machine() {
        for (text, wanted) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("8000", "127.0.0.1:8000"),
            ("[::1]:0", "[::1]:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            assert_eq!(
                address(text).map(|address| address.to_string()),
                Ok(wanted.to_owned())
            );
        }
        for text in ["", "127.0.0.1", "70000", "127.0.0.1:70000", ":8000"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
