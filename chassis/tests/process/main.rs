//! A process of a service: how it ends, and the commands that every service has.

mod stop;

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use chassis::testing::{
    Ended, Process, command, http1,
    http1::{read, send},
};

const LONG_DRAIN: [(&str, &str); 2] =
    [("SAMPLE__SERVER__REQUEST_TIMEOUT_SECONDS", "60"), ("SAMPLE__SERVER__DRAIN_SECONDS", "61")];

fn sample(variables: &[(&str, &str)]) -> Command {
    command(env!("CARGO_BIN_EXE_sample"), "sample", variables)
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    chassis::testing::run(sample(variables).args(arguments))
}

/// Waits until the process takes no more connections, which is when a stop has begun.
fn wait_until_closed(process: &Process) {
    process.wait_for_log("\"stopping\"");
}

/// Waits until a request is in flight, which is once the metrics say so.
fn wait_until_in_flight(process: &Process) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !http1::get(&process.metrics_address, "/metrics").contains("http_requests_in_flight 1") {
        assert!(Instant::now() < deadline, "no request in flight:\n{}", process.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_it_with_0_and_what_it_does_is_finished_first() {
    for signal in ["-TERM", "-INT"] {
        let process = Process::start(sample(&[]));
        assert!(http1::get(&process.address, "/").ends_with("\r\nhello"));
        assert!(http1::get(&process.address, "/metrics").starts_with("HTTP/1.1 404"));
        assert!(http1::get(&process.metrics_address, "/metrics").contains("build_info{"));
        process.signal(signal);
        let log = process.end().expect(0);
        assert!(log.contains("the task has ended") && log.contains("\"closed\""), "{log}");
        assert!(log.ends_with("\"stopped\",\"target\":\"chassis::process\"}\n"), "{log}");
    }
}

#[test]
fn a_second_signal_cuts_off_what_hangs_and_the_exit_code_tells() {
    for path in ["/hanging", "/hanging-body"] {
        let process = Process::start(sample(&LONG_DRAIN));
        let hanging = send(&process.address, path);
        wait_until_in_flight(&process);
        process.signal("-TERM");
        wait_until_closed(&process);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!process.log().contains("cutting off"), "{}", process.log());
        process.signal("-TERM");
        let log = process.end().expect(75);
        assert!(log.contains("cutting off what has not ended"), "{log}");
        assert!(!log.contains("\"closed\""), "what was cut off may still use it: {log}");
        drop(hanging);
    }
}

#[test]
fn a_stop_takes_no_longer_than_it_may() {
    let variables = [
        ("SAMPLE__SERVER__REQUEST_TIMEOUT_SECONDS", "0.2"),
        ("SAMPLE__SERVER__DRAIN_SECONDS", "0.4"),
        ("SAMPLE_TASK_END", "late"),
    ];
    let process = Process::start(sample(&variables));
    process.signal("-TERM");
    let log = process.end().expect(75);
    assert!(log.contains("the task has ended"), "it was told that the stop is forced: {log}");
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let variables =
        [("SAMPLE__SERVER__REQUEST_TIMEOUT_SECONDS", "1"), ("SAMPLE__SERVER__DRAIN_SECONDS", "20")];
    let process = Process::start(sample(&variables));
    let hanging = send(&process.address, "/hanging");
    wait_until_in_flight(&process);
    process.signal("-TERM");
    wait_until_closed(&process);
    assert!(http1::get(&process.metrics_address, "/readyz").starts_with("HTTP/1.1 503"));
    let answer = read(hanging);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    process.end().expect(0);
}

#[test]
fn a_task_that_ends_by_itself_ends_the_process_with_1() {
    for (end, reason) in [("early", "the task \\\"task\\\" ended by itself"), ("panic", "a task died")] {
        let log = run(&["serve"], &[("SAMPLE_TASK_END", end)]).expect(1);
        assert!(log.contains(reason), "{log}");
    }
}

#[test]
fn work_runs_the_tasks_and_has_the_metrics_port_alone() {
    let mut work = sample(&[]);
    work.arg("work");
    let process = Process::start(work);
    assert_eq!(process.address, "");
    assert!(http1::get(&process.metrics_address, "/healthz").starts_with("HTTP/1.1 200"));
    let port = process.metrics_address.rsplit_once(':').unwrap().1;
    let variables = [("SAMPLE__SERVER__METRICS_PORT", port), ("PORT", "1")];
    run(&["healthcheck", "--work"], &variables).expect(0);
    run(&["healthcheck"], &variables).expect(1);
    process.signal("-TERM");
    let log = process.end().expect(0);
    assert!(log.contains("\"serves\":false"), "{log}");
}

#[test]
fn healthcheck_tells_whether_the_process_is_there() {
    let process = Process::start(sample(&[]));
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let (public, private) = (port(&process.address), port(&process.metrics_address));
    let variables = [("PORT", public.as_str()), ("SAMPLE__SERVER__METRICS_PORT", &private)];
    run(&["healthcheck"], &variables).expect(0);
    drop(process);
    run(&["healthcheck"], &variables).expect(1);
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let log = run(&["serve"], &[("PORT", &address.port().to_string())]).expect(1);
    assert!(log.contains(&format!("cannot listen on {address}; choose another server.port")), "{log}");
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let log = run(&["serve"], &[("PORT", &port), ("SAMPLE__TELEMETRY__LOG_FORMAT", "text")]).expect(1);
    assert!(log.contains("cannot listen on") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn http_1_1_needs_exactly_one_valid_host() {
    let process = Process::start(sample(&[]));
    for (version, hosts, expected) in [
        ("1.1", "host: example.com:80\r\n", "200"),
        ("1.1", "host: [::1]\r\n", "200"),
        ("1.1", "host:\r\n", "200"),
        ("1.1", "", "400"),
        ("1.1", "host: a\r\nhost: a\r\n", "400"),
        ("1.1", "host: a\r\nhost: b\r\n", "400"),
        ("1.1", "host: user@a\r\n", "400"),
        ("1.1", "host: a b\r\n", "400"),
        ("1.0", "", "200"),
    ] {
        let mut stream = TcpStream::connect(&process.address).unwrap();
        write!(stream, "GET / HTTP/{version}\r\n{hosts}connection: close\r\n\r\n").unwrap();
        let answer = read(stream);
        assert!(answer.starts_with(&format!("HTTP/{version} {expected}")), "{hosts:?}: {answer}");
        assert_eq!(answer.contains("application/problem+json"), expected == "400", "{hosts:?}: {answer}");
    }
}

#[test]
fn every_service_has_the_commands_that_tell_what_it_is() {
    let version = run(&["--version"], &[]).expect(0);
    assert_eq!(version, format!("sample {}\n", chassis::VERSION));
    let openapi: serde_json::Value = serde_json::from_str(&run(&["openapi"], &[]).expect(0)).unwrap();
    assert_eq!(openapi["info"]["title"], "Sample");
    assert_eq!(openapi["info"]["version"], env!("CARGO_PKG_VERSION"));
    let config = run(&["config"], &[]).expect(0);
    assert!(config.contains("server.port") && config.contains("\"0\"  # PORT"), "{config}");
    let table = run(&["config", "--markdown"], &[]).expect(0);
    assert!(table.contains("| `server.port` | `3001` | `PORT` | The port to listen on;"), "{table}");
    assert!(table.contains("| `task.end` | `stop` | `SAMPLE_TASK_END` | How the task ends:"), "{table}");
    let completions = run(&["completions", "bash"], &[]).expect(0);
    assert!(completions.contains("_sample()") && completions.contains("healthcheck"), "{completions}");
    let folder = tempfile::tempdir().unwrap();
    run(&["man", folder.path().to_str().unwrap()], &[]).expect(0);
    for page in ["sample.1", "sample-serve.1", "sample-say.1"] {
        let text = fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let help = run(&["--help"], &[]).expect(0);
    for part in ["Misbehaves", "For tests.", "$SAMPLE_CONFIG_DIR", "/etc/sample", "say", "Exit codes: 0"] {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
}

#[test]
fn a_command_of_the_service_ends_as_it_says() {
    assert_eq!(run(&["say", "word"], &[]).expect(0), "word\n");
    assert_eq!(run(&["say", "no"], &[]).expect(65), "sample: \"no\" is no word\n");
    let started = Instant::now();
    assert_eq!(run(&["say", "hanging"], &[]).expect(0), "hanging\n");
    assert!(started.elapsed() < Duration::from_secs(10), "it waits for no thread that hangs");
    assert!(run(&["say"], &[]).expect(64).contains("<WORD>"));
    let faults = run(&["config"], &[("PORT", "x"), ("SAMPLE__TASK__START", "x")]).expect(64);
    assert!(faults.starts_with("sample: the configuration has 2 faults:\n"), "{faults}");
}

#[test]
fn settings_are_found_in_the_named_folder_and_else_in_the_working_directory() {
    let [named, working] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let write = |folder: &Path, name: &str, end: &str| {
        fs::write(folder.join(name), format!("[task]\nend = '{end}'\n")).unwrap();
    };
    write(working.path(), "sample.toml", "working");
    let end = |variables: &[(&str, &str)]| {
        let mut command = sample(variables);
        let text = chassis::testing::run(command.current_dir(&working).arg("config")).expect(0);
        let line = text.lines().find(|line| line.starts_with("task.end ")).unwrap().to_owned();
        line.split('"').nth(1).unwrap().to_owned()
    };
    assert_eq!(end(&[]), "working");
    let folder = named.path().to_str().unwrap();
    write(named.path(), "sample.toml", "named");
    assert_eq!(end(&[("SAMPLE_CONFIG_DIR", folder)]), "named");
    assert_eq!(end(&[("APP_ENV", "production")]), "working");
    write(named.path(), "sample.production.toml", "production");
    assert_eq!(end(&[("SAMPLE_CONFIG_DIR", folder), ("APP_ENV", "production")]), "production");
    assert_eq!(end(&[("SAMPLE_CONFIG_DIR", folder), ("SAMPLE_TASK_END", "flat")]), "flat");
}
