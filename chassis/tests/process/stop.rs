//! A stop, as the clients of a process see it, and how long it takes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use chassis::testing::{Process, http1, http1::send};

use super::{LONG_DRAIN, sample, wait_until_closed, wait_until_in_flight};

/// Long enough on a busy machine, and far below the times that must not be waited for.
const SOON: Duration = Duration::from_secs(15);

/// A client that keeps its connection, as a load balancer does.
struct KeepAlive {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    /// Answers that asked to close the connection.
    closed: usize,
}

impl KeepAlive {
    fn new(process: &Process) -> Self {
        Self { address: process.address.parse().unwrap(), connection: None, closed: 0 }
    }

    /// Sends a GET and reads the status of its answer.
    fn get(&mut self, path: &str) -> std::io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect_timeout(&self.address, SOON)?),
        };
        connection.get_ref().set_read_timeout(Some(SOON))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            head.push(line);
        }
        connection.read_exact(&mut vec![0; length])?;
        if head.iter().any(|line| line == "connection: close") {
            self.closed += 1;
        } else {
            self.connection = Some(connection);
        }
        Ok(head[0].split(' ').nth(1).unwrap().parse().unwrap())
    }
}

#[test]
fn no_request_fails_while_a_load_balancer_notices_the_stop() {
    let process = Process::start(sample(&[("SAMPLE__SERVER__LAME_DUCK_SECONDS", "3")]));
    let is_ready = AtomicBool::new(true);
    let mut closed = 0;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (is_ready, mut client) = (&is_ready, KeepAlive::new(&process));
                scope.spawn(move || {
                    let mut requests = 0;
                    while is_ready.load(Ordering::Relaxed) {
                        let status = client.get("/");
                        assert!(matches!(status, Ok(200)), "request {requests} of {worker}: {status:?}");
                        requests += 1;
                        // The connection is idle for a while, or not at all.
                        thread::sleep(Duration::from_millis(worker * 3));
                    }
                    client.closed
                })
            })
            .collect();
        let mut checks = KeepAlive::new(&process);
        assert!(matches!(checks.get("/readyz"), Ok(200)));
        process.signal("-TERM");
        let deadline = Instant::now() + SOON;
        loop {
            match checks.get("/readyz") {
                Ok(503) => break,
                Ok(200) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                other => panic!("{other:?}\n{}", process.log()),
            }
        }
        // Other load balancers notice it later.
        thread::sleep(Duration::from_millis(500));
        is_ready.store(false, Ordering::Relaxed);
        for worker in workers {
            closed += worker.join().unwrap();
        }
    });
    assert!(closed > 8, "{closed} answers asked to close the connection");
    let log = process.end().expect(0);
    assert!(log.contains("\"closed\""), "{log}");
}

#[test]
fn what_waits_to_be_accepted_when_the_port_closes_is_answered() {
    let process = Process::start(sample(&[]));
    // Nothing is accepted while the process stands still.
    process.signal("-STOP");
    let address = process.address.parse().unwrap();
    let clients: Vec<_> = (0..300)
        .map(|number| {
            let mut client = TcpStream::connect_timeout(&address, SOON)
                .unwrap_or_else(|error| panic!("connection {number}: {error}"));
            client.set_read_timeout(Some(SOON)).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            client
        })
        .collect();
    process.signal("-TERM");
    process.signal("-CONT");
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut answer = String::new();
        let read = client.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "connection {number}: {read:?} {answer}");
    }
    process.end().expect(0);
}

#[test]
fn an_idle_connection_is_answered_until_no_request_is_in_flight() {
    let variables =
        [("SAMPLE__SERVER__REQUEST_TIMEOUT_SECONDS", "2"), ("SAMPLE__SERVER__DRAIN_SECONDS", "20")];
    let process = Process::start(sample(&variables));
    let mut idle = KeepAlive::new(&process);
    assert_eq!(idle.get("/").unwrap(), 200);
    let hanging = send(&process.address, "/hanging");
    wait_until_in_flight(&process);
    process.signal("-TERM");
    wait_until_closed(&process);
    // Until the port refuses connections, so that the drain has begun.
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(&process.address).is_ok() {
        assert!(Instant::now() < deadline, "{}", process.log());
    }
    assert_eq!(idle.get("/").unwrap(), 200);
    assert_eq!(idle.closed, 1);
    assert!(http1::read(hanging).starts_with("HTTP/1.1 503"));
    process.end().expect(0);
}

/// How many descriptors the process has open.
fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

#[test]
fn a_client_that_reads_nothing_is_closed() {
    let process = Process::start(sample(&[("SAMPLE__SERVER__WRITE_TIMEOUT_SECONDS", "1")]));
    let before = descriptors(&process);
    for path in ["/large", "/large-stream"] {
        let client = send(&process.address, path);
        let deadline = Instant::now() + SOON;
        while descriptors(&process) == before {
            assert!(Instant::now() < deadline, "{path} was not accepted");
        }
        while descriptors(&process) > before {
            assert!(Instant::now() < deadline, "{path} is still being written");
            thread::sleep(Duration::from_millis(20));
        }
        drop(client);
    }
    let deadline = Instant::now() + SOON;
    while !http1::get(&process.metrics_address, "/metrics").contains("http_requests_in_flight 0") {
        assert!(Instant::now() < deadline, "its request is still in flight");
    }
}

#[test]
fn a_client_that_reads_nothing_delays_no_stop_and_is_not_work_that_was_cut() {
    for path in ["/large", "/large-stream"] {
        let process = Process::start(sample(&LONG_DRAIN));
        let mut client = send(&process.address, path);
        // The answer has begun.
        client.read_exact(&mut [0; 100]).unwrap();
        let started = Instant::now();
        process.signal("-TERM");
        let log = process.end().expect(0);
        assert!(started.elapsed() < SOON, "{path}: {:?}\n{log}", started.elapsed());
        drop(client);
    }
}

#[test]
fn only_sigterm_waits_for_load_balancers_and_a_second_signal_ends_that() {
    let variables = [("SAMPLE__SERVER__LAME_DUCK_SECONDS", "60")];
    let process = Process::start(sample(&variables));
    let started = Instant::now();
    process.signal("-INT");
    process.end().expect(0);
    let process = Process::start(sample(&variables));
    process.signal("-TERM");
    wait_until_closed(&process);
    assert!(http1::get(&process.address, "/").contains("\r\nconnection: close\r\n"));
    process.signal("-INT");
    process.end().expect(75);
    assert!(started.elapsed() < 2 * SOON, "{:?}", started.elapsed());
}

#[test]
fn what_does_not_close_delays_no_stop() {
    let process = Process::start(sample(&[("SAMPLE_TASK_END", "open")]));
    let started = Instant::now();
    process.signal("-TERM");
    let log = process.end().expect(75);
    assert!(log.contains("cutting off what has not closed"), "{log}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}
