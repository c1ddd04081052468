//! A minimal HTTP client: a socket, and text.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a GET and leaves the answer to [`read`].
#[must_use]
pub fn send(address: &str, path: &str) -> TcpStream {
    send_with(address, path, "")
}

/// The same with more headers, each ending with `\r\n`.
#[must_use]
pub fn send_with(address: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a server");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a server that reads");
    stream
}

/// Head and body of the answer.
#[must_use]
pub fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    answer
}

/// Sends a GET and reads the answer.
#[must_use]
pub fn get(address: &str, path: &str) -> String {
    read(send(address, path))
}
