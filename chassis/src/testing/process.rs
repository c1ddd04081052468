//! A process of the real binary.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with a clean environment: loopback, any free ports, and these variables.
#[must_use]
pub fn command(binary: &str, service: &str, variables: &[(&str, &str)]) -> Command {
    let upper = service.to_uppercase();
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("PORT", "0")
        .env(format!("{upper}__SERVER__METRICS_PORT"), "0")
        .env(format!("{upper}__SERVER__HOST"), "127.0.0.1")
        // No load balancer has to notice that it stops.
        .env(format!("{upper}__SERVER__LAME_DUCK_SECONDS"), "0")
        // Not the checkout, which may hold somebody's configuration.
        .current_dir(std::env::temp_dir())
        .envs(variables.iter().copied());
    command
}

/// Runs a command to its end, but not for ever. Its log is standard output, then standard error.
#[must_use]
pub fn run(command: &mut Command) -> Ended {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a binary");
    let (out, error) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let (out, error) = (read_to_end(out), read_to_end(error));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a process") {
            break Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let log = out.join().expect("a reader") + &error.join().expect("a reader");
    Ended { code: status.unwrap_or_else(|| panic!("{command:?} did not end:\n{log}")).code(), log }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A running process; killed when it is dropped.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Reads what it logs, or it would wait for ever to log more.
    reader: Option<JoinHandle<()>>,
    /// Its public address; empty for a process that only works.
    pub address: String,
    /// The same as a URL.
    pub url: String,
    /// The address of its metrics port.
    pub metrics_address: String,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// All that it logged.
    pub log: String,
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
}

impl Ended {
    /// What it logged, if it ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.log);
        self.log
    }
}

impl Process {
    /// Starts the command and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it ends before, with what it logged.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a binary");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let log = Arc::new(Mutex::new(String::new()));
        loop {
            let line = read_line(&mut lines, &log);
            assert!(!line.is_empty(), "the process ended before it listened:\n{}", text_of(&log));
            let event: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let message = text("message");
            let url = message.strip_prefix("listening on ");
            if url.is_none() && message != "working" {
                continue;
            }
            let reader = std::thread::spawn({
                let log = Arc::clone(&log);
                move || while !read_line(&mut lines, &log).is_empty() {}
            });
            return Self {
                child,
                log,
                reader: Some(reader),
                address: text("address"),
                url: url.unwrap_or_default().to_owned(),
                metrics_address: text("metrics_address"),
            };
        }
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `-TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "kill {name}");
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        text_of(&self.log)
    }

    /// Waits until it has logged this text, but not for ever.
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "{text} was not logged:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end, but not for ever. Clients that have connections must run on other threads meanwhile, to close
    /// them when they are told to.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("a process").is_none() {
            assert!(Instant::now() < deadline, "the process did not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
        Ended { log: self.log(), code: self.child.wait().expect("a process").code() }
    }
}

/// Reads a line, and appends it to the log; empty at the end.
fn read_line(lines: &mut BufReader<ChildStdout>, log: &Mutex<String>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).expect("a log in UTF-8");
    log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
    line
}

fn text_of(log: &Mutex<String>) -> String {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
