//! The access log in the combined format that web servers write and log programs read:
//!
//! ```text
//! ADDRESS - - [DAY/MONTH/YEAR:TIME ZONE] "METHOD PATH VERSION" STATUS BYTES "REFERER" "USER-AGENT"
//! ```

use std::{
    cell::RefCell,
    io::Write,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::extract::Request;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

/// A line that is not complete yet.
pub(super) struct Entry {
    line: Vec<u8>,
    tail: Vec<u8>,
    /// The answer has a length, and no body is sent.
    is_head: bool,
}

impl Entry {
    pub(super) fn new(request: &Request, client: IpAddr) -> Self {
        let mut line = Vec::with_capacity(256);
        // Writing to memory cannot fail.
        let _ = write!(line, "{client} - - [");
        put_time(&mut line, SystemTime::now());
        line.extend_from_slice(b"] \"");
        push_quoted(&mut line, request.method().as_str().as_bytes());
        line.push(b' ');
        let path = request.uri().path_and_query().map_or("*", |path| path.as_str());
        push_quoted(&mut line, path.as_bytes());
        let _ = write!(line, " {:?}\" ", request.version());
        let mut tail = Vec::with_capacity(64);
        tail.extend_from_slice(b" \"");
        put_header(&mut tail, request.headers(), &header::REFERER);
        tail.extend_from_slice(b"\" \"");
        put_header(&mut tail, request.headers(), &header::USER_AGENT);
        tail.extend_from_slice(b"\"\n");
        Self { line, tail, is_head: request.method() == Method::HEAD }
    }

    /// The same with the status of the answer.
    pub(super) fn answered(mut self, status: StatusCode) -> Self {
        let _ = write!(self.line, "{} ", status.as_u16());
        self
    }

    /// The complete line, with the number of bytes of the body that were sent.
    pub(super) fn line(mut self, bytes: u64) -> Vec<u8> {
        let _ = write!(self.line, "{}", if self.is_head { 0 } else { bytes });
        self.line.extend_from_slice(&self.tail);
        self.line
    }
}

fn put_header(line: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) {
    push_quoted(line, headers.get(name).map_or(b"-", |value| value.as_bytes()));
}

/// Escapes text of a client, so that it cannot close its quotes or begin a line, and the log stays UTF-8.
fn push_quoted(line: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' | 0..=31 | 127.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            byte => line.push(*byte),
        }
    }
}

/// A time is formatted once a second in each thread: a calendar costs more than the rest of the line.
fn put_time(line: &mut Vec<u8>, now: SystemTime) {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second || text.is_empty() {
            *last = second;
            *text = DateTime::<Utc>::from(now).format("%d/%b/%Y:%H:%M:%S %z").to_string();
        }
        line.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_line_is_in_combined_format_whatever_the_client_sends() {
        let request = Request::get("/messages/x?y=%22")
            .header(header::USER_AGENT, "me\" 200 \\ \t")
            .body(axum::body::Body::empty())
            .unwrap();
        let entry = Entry::new(&request, IpAddr::from([127, 0, 0, 1])).answered(StatusCode::OK);
        let line = String::from_utf8(entry.line(4)).unwrap();
        let (head, rest) = line.split_once('[').unwrap();
        let (time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(head, "127.0.0.1 - - ");
        assert!(time.len() == "21/Nov/2026:09:00:00 +0000".len() && time.ends_with(" +0000"), "{time}");
        assert_eq!(rest, "\"GET /messages/x?y=%22 HTTP/1.1\" 200 4 \"-\" \"me\\x22 200 \\x5C \\x09\"\n");
    }

    #[test]
    fn a_line_is_one_line_of_ascii_whatever_bytes_come() {
        let mut line = Vec::new();
        push_quoted(&mut line, &(0..=255).collect::<Vec<u8>>());
        assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)), "{line:?}");
        let agent = HeaderValue::from_bytes(b"caf\xE9 \xC3\xA9 \xE2\x80\xA8 \xC2\x85").unwrap();
        let headers = HeaderMap::from_iter([(header::USER_AGENT, agent)]);
        line.clear();
        put_header(&mut line, &headers, &header::USER_AGENT);
        assert_eq!(String::from_utf8(line).unwrap(), "caf\\xE9 \\xC3\\xA9 \\xE2\\x80\\xA8 \\xC2\\x85");
    }

    #[test]
    fn times_are_those_of_their_second() {
        for (seconds, expected) in [(0, "01/Jan/1970:00:00:00 +0000"), (86_399, "01/Jan/1970:23:59:59 +0000")]
        {
            let mut line = Vec::new();
            put_time(&mut line, UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
