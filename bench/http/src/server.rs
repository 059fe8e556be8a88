//! The servers that are compared, each a process of its own that ends with this one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::processor;

/// The value that is written and read.
pub(crate) const VALUE: &str = "{\"name\":\"Alice\",\"age\":30}";

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn daemon(binary: &Path, threads: u16) -> Command {
        let mut command = Command::new(binary);
        command.args(["--http", "127.0.0.1:0", "--http-threads", &threads.to_string()]);
        command
    }

    pub(crate) fn rustcache(binary: &Path, threads: u16) -> Result<Self, String> {
        let mut command = Self::daemon(binary, threads);
        Self::start(command.stderr(Stdio::piped()), &binary.display().to_string())
    }

    /// The same, with so many places for connections.
    pub(crate) fn with_places(binary: &Path, threads: u16, places: usize) -> Result<Self, String> {
        let mut command = Self::daemon(binary, threads);
        command.args(["--http-max-connections", &places.to_string()]);
        Self::start(command.stderr(Stdio::piped()), &binary.display().to_string())
    }

    pub(crate) fn constant(threads: u16) -> Result<Self, String> {
        let itself = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(itself);
        command.args(["constant", &threads.to_string()]);
        Self::start(command.stdout(Stdio::piped()), "the constant")
    }

    /// What the rival is made of, in words.
    pub(crate) fn versions(python: &Path) -> Result<String, String> {
        const TELL: &str = "import platform; from importlib.metadata import version; print('Python', platform.python_version() + ',', ', '.join(f'{name} {version(name)}' for name in ('fastapi', 'uvicorn', 'httptools', 'uvloop')))";
        let output = Command::new(python)
            .args(["-c", TELL])
            .output()
            .map_err(|error| format!("{} cannot be run: {error}", python.display()))?;
        if !output.status.success() {
            return Err(format!(
                "{} has not all of fastapi, uvicorn, httptools and uvloop: `pip install fastapi 'uvicorn[standard]'`",
                python.display()
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// One worker, as with the cache in the process it has to be.
    pub(crate) fn fastapi(python: &Path) -> Result<Self, String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/http/fastapi");
        let mut command = Command::new(python);
        command
            .args([
                "-m",
                "uvicorn",
                "app:app",
                "--port",
                "0",
                "--no-access-log",
                // Its quickest parts, without which it does not start: it would take others in their place without a word.
                "--http",
                "httptools",
                "--loop",
                "uvloop",
                "--app-dir",
            ])
            .arg(directory)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start(command.stderr(Stdio::piped()), "uvicorn")
    }

    /// Starts it, and waits until it has said where it is.
    fn start(command: &mut Command, name: &str) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Box::new(stdout),
            (None, Some(stderr)) => Box::new(stderr),
            (None, None) => return Err(format!("{name} has no output")),
        };
        let mut lines = BufReader::new(output).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let rest = line.split("http://").nth(1)?;
            let end = rest.find(|character: char| {
                !(character.is_ascii_digit() || character == '.' || character == ':')
            });
            Some(rest[..end.unwrap_or(rest.len())].to_owned())
        });
        // It would wait for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        match address {
            Some(address) => Ok(Server { child, address }),
            None => {
                let _ = child.kill();
                Err(format!("{name} does not say where it is"))
            }
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Of processor time, so far, all threads.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        processor::of(self.child.id())
    }

    /// Writes what is read.
    pub(crate) fn fill(&self) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{}: {error}", self.address);
        let body = format!("{{\"key\":\"user:123\",\"value\":{VALUE}}}");
        let mut stream = TcpStream::connect(&self.address).map_err(said)?;
        let head = "PUT /kv/insert HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).map_err(said)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(said)?;
        match answer.starts_with("HTTP/1.1 200") {
            true => Ok(()),
            false => Err(format!("{} answers {answer}", self.address)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
