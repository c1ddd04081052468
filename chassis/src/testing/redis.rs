//! A Redis server of the test's own, on a free port of this machine.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running server; killed when it is dropped.
pub struct Redis {
    child: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts a server with the settings of the compose stack and these arguments. None, with a message, if
    /// redis-server is not installed.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let port = free_port();
        let folder = tempfile::tempdir().expect("redis-server");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = match spawn(port, folder.path(), &arguments) {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("SKIPPED: redis-server is not installed (apt-get install redis-server)");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let redis = Self { child, port, folder, arguments };
        redis.wait();
        Some(redis)
    }

    /// The same as text.
    pub fn port_text(&self) -> String {
        self.port.to_string()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the server. Unlike a loss of power, this does not lose what the kernel has not written yet.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server");
        self.child.wait().expect("redis-server");
    }

    /// Starts it again over the same data.
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.arguments).expect("redis-server");
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it listens and has loaded its data. One that speaks TLS, or wants a password, answers something else.
    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let mut answer = [0; 8];
        let _ = stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer));
        answer != *b"-LOADING"
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &Path, arguments: &[String]) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(folder)
        // A later port wins: TLS has the port instead.
        .args(arguments.iter().map(|argument| argument.replace("{port}", &port.to_string())))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .expect("redis-server")
        .local_addr()
        .expect("redis-server")
        .port()
}
