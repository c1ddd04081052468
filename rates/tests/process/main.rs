//! The real binary: start, first answer, stop, exit codes, and what it says when it is set up wrongly.

mod hooks;
mod outage;
mod suppliers;
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Output},
    time::Duration,
};

use chassis::testing::{Ended, Process};
use serde_json::Value;
use sqlx::{Executor, PgPool};

/// The binary with a clean environment and these variables.
fn command(variables: &[(&str, &str)]) -> Command {
    chassis::testing::command(env!("CARGO_BIN_EXE_rates"), "rates", variables)
}

/// A running server with these variables.
fn serve(variables: &[(&str, &str)]) -> Process {
    let mut command = command(variables);
    command.arg("serve");
    Process::start(command)
}

fn url(pool: &PgPool) -> String {
    let options = pool.connect_options();
    let host =
        options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    let name = options.get_database().unwrap();
    let user = options.get_username();
    if host.starts_with('/') {
        format!("postgres://{user}@localhost/{name}?host={host}")
    } else {
        format!("postgres://{user}@{host}:{}/{name}", options.get_port())
    }
}

/// Sends a request and leaves the reading of its answer to the caller.
fn send(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: &str, path: &str) -> String {
    read(send(address, path))
}

const LANE: &str = "/rates?date_from=2021-01-01&date_to=2021-01-02&orig_code=CNGGZ&dest_code=EETLL";

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn it_starts_answers_and_ends_what_is_in_flight_when_it_is_told_to_stop(pool: PgPool) {
    let server = serve(&[("DATABASE_URL", &url(&pool))]);
    let first = get(&server.address, LANE);
    assert!(first.starts_with("HTTP/1.1 200") && first.contains("\"price\":1001"), "{first}");
    assert!(get(&server.metrics_address, "/metrics").contains("http_request_duration_seconds_count{"));
    assert!(get(&server.address, "/metrics").starts_with("HTTP/1.1 404"), "metrics have a port of their own");

    // The answer cannot be made while this holds its table. An idle connection must not hold up the stop.
    let mut lock = pool.begin().await.unwrap();
    lock.execute("lock table daily_rates in access exclusive mode").await.unwrap();
    let idle = TcpStream::connect(&server.address).unwrap();
    let in_flight = send(&server.address, &LANE.replace("date_from=2021-01-01", "date_from=2020-12-31"));
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.signal("-TERM");
    let address = server.address.clone();
    while TcpStream::connect(&address).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lock.rollback().await.unwrap();
    let answer = tokio::task::spawn_blocking(move || read(in_flight)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"price\":1001"), "{answer}");
    let Ended { log, code } = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"message\":\"stopped\""), "{log}");
    drop(idle);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_server_that_leaves_work_to_others_goes_on(pool: PgPool) {
    let server = serve(&[("DATABASE_URL", &url(&pool)), ("RATES__BATCHES__WORKERS", "0")]);
    for _ in 0..5 {
        let answer = get(&server.address, LANE);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.signal("-TERM");
    let Ended { log, code } = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn what_is_stuck_is_cut_at_the_deadline_and_the_exit_code_tells(pool: PgPool) {
    let server = serve(&[
        ("DATABASE_URL", &url(&pool)),
        ("RATES__SERVER__REQUEST_TIMEOUT_SECONDS", "30"),
        ("RATES__SERVER__DRAIN_SECONDS", "31"),
        ("RATES__DATABASE__STATEMENT_TIMEOUT_SECONDS", "29"),
    ]);
    let mut lock = pool.begin().await.unwrap();
    lock.execute("lock table daily_rates in access exclusive mode").await.unwrap();
    let stuck = send(&server.address, LANE);
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.signal("-TERM");
    let address = server.address.clone();
    while TcpStream::connect(&address).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A second signal is the deadline of somebody who does not want to wait for it.
    server.signal("-TERM");
    let Ended { log, code } = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(75), "{log}");
    drop(stuck);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn one_line_is_logged_for_a_request_and_secrets_never(pool: PgPool) {
    let with_password = url(&pool).replacen('@', ":hush@", 1);
    let server = serve(&[("DATABASE_URL", &with_password)]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "GET {LANE} HTTP/1.1\r\nhost: test\r\nx-request-id: mine\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    read(stream);
    server.signal("-INT");
    let Ended { log, code } = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("\"target\":\"request\"")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let line: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(line["status"], 200);
    assert_eq!(line["route"], "/rates");
    assert_eq!(line["request_id"], "mine");
    assert_eq!(line["trace_id"], trace);
    assert!(line["duration_ms"].is_number(), "{line}");
    assert!(!log.contains("hush"), "{log}");
}

#[tokio::test]
async fn without_a_database_it_starts_is_alive_and_not_ready() {
    let server = serve(&[
        ("DATABASE_URL", "postgres://rates@127.0.0.1:1/rates"),
        ("RATES__DATABASE__ACQUIRE_TIMEOUT_SECONDS", "0.3"),
    ]);
    assert!(get(&server.address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&server.address, "/readyz").starts_with("HTTP/1.1 503"));
    assert!(get(&server.address, LANE).starts_with("HTTP/1.1 503"));
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let healthcheck = |public: &str, private: &str| {
        command(&[("PORT", public), ("RATES__SERVER__METRICS_PORT", private)])
            .arg("healthcheck")
            .output()
            .unwrap()
    };
    let (public, private) = (port(&server.address), port(&server.metrics_address));
    assert_eq!(healthcheck(&public, &private).status.code(), Some(0));
    drop(server);
    let output = healthcheck(&public, &private);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[sqlx::test(migrations = false)]
async fn it_refuses_a_database_with_pending_migrations_until_they_are_applied(pool: PgPool) {
    let url = url(&pool);
    let run = |arguments: &[&str]| command(&[("DATABASE_URL", &url)]).args(arguments).output().unwrap();
    let refused = run(&["serve"]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    assert!(text(&refused).contains("rates migrate"), "{refused:?}");
    assert_eq!(run(&["migrate"]).status.code(), Some(0));
    assert_eq!(run(&["migrate"]).status.code(), Some(0));
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql");
    assert_eq!(run(&["load", sample]).status.code(), Some(0));
    assert_eq!(run(&["load", sample]).status.code(), Some(65));
    assert_eq!(run(&["load", "--if-empty", sample]).status.code(), Some(0));
    assert_eq!(run(&["verify"]).status.code(), Some(0));
    pool.execute("update daily_rates set price_sum = price_sum + 1 where origin = (select id from places where name = 'asia'); delete from daily_rates where origin = (select id from places where name = 'CNGGZ')").await.unwrap();
    let wrong = run(&["verify"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert_eq!(run(&["rebuild"]).status.code(), Some(0));
    assert_eq!(run(&["verify"]).status.code(), Some(0));
}

#[sqlx::test(migrations = false)]
async fn the_role_for_serve_has_what_it_needs_and_nothing_more(pool: PgPool) {
    let role = format!("app_{}", pool.connect_options().get_database().unwrap().trim_start_matches('_'));
    let role = &role[..role.len().min(60)];
    let url = url(&pool);
    let variables = [("DATABASE_URL", url.as_str()), ("DB_APP_USER", role), ("DB_APP_PASSWORD", "it's hush")];
    for _twice in 0..2 {
        let output = command(&variables).arg("migrate").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let mut connection = pool.acquire().await.unwrap();
    let become_app = sqlx::AssertSqlSafe(format!("set role \"{role}\""));
    connection.execute(sqlx::raw_sql(become_app)).await.unwrap();
    connection.execute("select * from daily_rates, data_version, _sqlx_migrations").await.unwrap();
    for forbidden in [
        "update prices set price = 1",
        "update daily_rates set price_sum = 1",
        "drop table prices",
        "create table x ()",
    ] {
        assert!(connection.execute(forbidden).await.is_err(), "{forbidden}");
    }
    let clean = sqlx::AssertSqlSafe(format!("reset role; drop owned by \"{role}\"; drop role \"{role}\""));
    connection.execute(sqlx::raw_sql(clean)).await.unwrap();
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_wrong_setup_is_told_in_full_with_exit_code_64() {
    for (variables, arguments, parts) in [
        (
            &[("PORT", "x"), ("RATES__CACHE__SIZE", "1"), ("DATABASE_URL", "nonsense")][..],
            &["serve"][..],
            &[
                "server.port (from PORT)",
                "there is no setting cache.size",
                "database.url (from DATABASE_URL)",
            ][..],
        ),
        (&[], &["sreve"], &["unrecognized subcommand", "serve"]),
        (&[], &["load"], &["FILE"]),
        (&[], &["load", "--append", "--replace", "x"], &["cannot be used with"]),
    ] {
        let output = command(variables).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        for part in parts {
            assert!(text(&output).contains(part), "{part} is missing in {output:?}");
        }
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let variables = [
        ("PORT", port.as_str()),
        ("DATABASE_URL", "postgres://rates@127.0.0.1:1/rates"),
        ("RATES__DATABASE__ACQUIRE_TIMEOUT_SECONDS", "0.2"),
    ];
    let output = command(&variables).arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output).contains(&port), "{output:?}");
}

#[test]
fn the_effective_configuration_tells_where_each_value_came_from_and_no_secret() {
    let variables = [("DATABASE_URL", "postgres://me:hush@db/rates"), ("DB_PASSWORD", "hush")];
    let output = command(&variables).arg("config").output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("# DATABASE_URL") && text.contains("api.max_days") && text.contains("# default"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn every_command_explains_itself() {
    for name in [
        "serve",
        "migrate",
        "load",
        "verify",
        "rebuild",
        "key",
        "push",
        "work",
        "config",
        "openapi",
        "healthcheck",
        "completions",
        "man",
    ] {
        let output = command(&[]).args([name, "--help"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        assert!(text(&output).contains("Usage: rates"), "{name}: {output:?}");
    }
}

#[test]
fn the_table_of_settings_is_the_code() {
    let table = chassis::settings::markdown::<rates::settings::Settings>();
    let is_current = include_str!("../../../docs/settings.md").contains(&table);
    assert!(is_current, "docs/settings.md is outdated: run `make settings`");
}
