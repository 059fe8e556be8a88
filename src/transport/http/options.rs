//! What a server is told: where to listen, whom to let in, and its limits.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::tls::Tls;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen.
    pub address: SocketAddr,
    /// What every request has to bring, if anything.
    pub token: Option<Token>,
    /// What it is encrypted with, if it is.
    pub tls: Option<Tls>,
    /// Names that `Host` may have, beside IP addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// The longest body, in bytes.
    pub max_body: usize,
    /// What bodies and long answers may take at the same time, in bytes.
    pub max_memory: usize,
    /// Connections at the same time.
    pub max_connections: usize,
    /// How long a request, its body included, may take to come, and a client to take some of the answer.
    pub timeout: Duration,
    /// How long the headers of a request may take, and how long a connection may be idle.
    pub idle_timeout: Duration,
    /// Threads that serve; beside them as many, but two at least, do what takes long.
    pub threads: usize,
}

impl Options {
    /// The defaults, for an address and a longest value.
    pub fn new(address: SocketAddr, max_value: usize) -> Self {
        Options {
            address,
            token: None,
            tls: None,
            allowed_hosts: Vec::new(),
            max_body: max_value.saturating_add(64 * 1024),
            max_memory: 256 << 20,
            max_connections: 1024,
            timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            threads: 2,
        }
    }

    /// Whether anybody but the processes of this machine can reach it.
    pub(super) fn is_public(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }
}

/// A secret that requests show as `Authorization: Bearer …`.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

/// What is wrong with a token.
#[derive(Debug)]
pub enum TokenError {
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// It is shorter than [`Token::LEAST`], so that it could be guessed.
    TooShort(usize),
    /// It has spaces or control characters in it, or others that a header cannot carry.
    NotAToken,
}

impl Token {
    /// The fewest characters of a token.
    pub const LEAST: usize = 16;

    /// A token; spaces and line ends around it are no part of it.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::NotAToken);
        }
        if text.len() < Self::LEAST {
            return Err(TokenError::TooShort(text.len()));
        }
        Ok(Token(text.as_bytes().into()))
    }

    /// The token in a file.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Self::new(&std::fs::read_to_string(path).map_err(TokenError::Unreadable)?)
    }

    /// Whether it is this one. How long that takes tells nothing but the length of `given`.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let mut differs = usize::from(given.len() != self.0.len());
        for (at, &byte) in given.iter().enumerate() {
            // As far as the token goes, and then from its beginning on.
            differs |= usize::from(byte ^ self.0[at % self.0.len()]);
        }
        std::hint::black_box(differs) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            TokenError::TooShort(len) => write!(
                f,
                "it has {len} characters and needs at least {}: `openssl rand -hex 32` makes one",
                Token::LEAST
            ),
            TokenError::NotAToken => {
                f.write_str("it has a space, a control character or one that is not ASCII in it: `openssl rand -hex 32` makes one")
            }
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_only_itself() {
        let token = Token::new(" 0123456789abcdef\n").expect("a token");
        assert!(token.is(b"0123456789abcdef"));
        for other in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdeF",
            b"0123456789abcdef0",
            b"0123456789abcdef0123456789abcdef",
        ] {
            assert!(!token.is(other), "{other:?}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_token_that_is_easily_guessed_or_cannot_be_sent_is_refused() {
        for text in ["", "short", "0123456789 abcdef", "0123456789abcde\u{e4}"] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
    }
}
