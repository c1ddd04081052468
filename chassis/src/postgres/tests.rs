use std::{fs, future::pending, time::Duration};

use serde::Deserialize;
use sqlx::{ConnectOptions, PgPool, migrate::Migrator, postgres::PgConnectOptions};

use super::*;
use crate::settings::{self, Fault, Flat, Settings, ShellSettings};

#[derive(Clone, Deserialize)]
struct Example {
    database: DatabaseSettings,
}

impl Settings for Example {
    const DEFAULTS: &'static [&'static str] = &[DEFAULTS];
    const FLAT: &'static [&'static [Flat]] = &[FLAT];

    fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        self.database.faults(shell)
    }
}

fn load(pairs: &[(&str, &str)]) -> Result<DatabaseSettings, settings::Faults> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Ok(settings::load::<Example>("example", pairs)?.service.database)
}

#[test]
fn read_hosts_take_all_but_the_host_from_the_primary() {
    let by_url = [("DATABASE_URL", "postgres://me:hush@primary:6432/rates")];
    let by_parts = [
        ("DB_HOST", "primary"),
        ("DB_PORT", "6432"),
        ("DB_NAME", "rates"),
        ("DB_USER", "me"),
        ("DB_PASSWORD", "hush"),
    ];
    for primary in [&by_url[..], &by_parts] {
        let settings = load(&[primary, &[("DB_READ_HOSTS", "one, /run/two")]].concat()).unwrap();
        let replicas = settings.replicas().unwrap();
        assert_eq!(replicas.iter().map(PgConnectOptions::get_host).collect::<Vec<_>>(), ["one", "/run/two"]);
        for replica in replicas {
            assert_eq!((replica.get_port(), replica.get_username()), (6432, "me"));
            assert_eq!(replica.get_database(), Some("rates"));
            assert!(format!("{replica:?}").contains("hush"), "{replica:?}");
        }
    }
}

#[test]
fn what_needs_the_server_itself_goes_past_a_pooler() {
    let hosts = |servers: Vec<PgConnectOptions>| -> Vec<String> {
        servers.iter().map(|server| format!("{}:{}", server.get_host(), server.get_port())).collect()
    };
    let url = ("DATABASE_URL", "postgres://me:hush@pooler:6432/rates");
    let without = load(&[url]).unwrap();
    assert_eq!(hosts(without.direct().unwrap()), ["pooler:6432"]);
    let with = load(&[url, ("DATABASE_DIRECT_URL", "postgres://me:hush@one:5432,two:5433/rates")]).unwrap();
    assert_eq!(hosts(with.direct().unwrap()), ["one:5432", "two:5433"]);
    assert_eq!(hosts(with.primaries().unwrap()), ["pooler:6432"]);
    let faults = load(&[url, ("DATABASE_DIRECT_URL", "one:5432")]).err().unwrap().to_string();
    assert!(faults.contains("database.direct_url (from DATABASE_DIRECT_URL)"), "{faults}");
    assert!(!faults.contains("one:5432"), "it may hold a password: {faults}");
}

#[test]
fn read_hosts_and_a_url_of_a_socket_exclude_each_other() {
    let faults = load(&[("DATABASE_URL", "postgres://me@%2Frun/rates"), ("DB_READ_HOSTS", "one")]);
    let faults = faults.err().unwrap().to_string();
    assert!(faults.contains("database.read_hosts (from DB_READ_HOSTS)"), "{faults}");
    assert!(faults.contains("set database.read_urls instead"), "{faults}");
}

#[tokio::test]
async fn a_silent_database_is_named_as_the_cause() {
    let error = in_time(Duration::from_millis(1), pending::<Result<(), _>>()).await.unwrap_err();
    assert!(is_outage(&error));
    assert!(error.to_string().contains("the database does not answer"), "{error}");
}

#[sqlx::test(migrations = false)]
async fn migrations_at_start_may_take_longer_than_a_statement_of_a_request(database: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1_slow.sql"), "select pg_sleep(0.5)").unwrap();
    let migrator = Migrator::new(folder.path()).await.unwrap();
    let settings = load(&[
        ("DATABASE_URL", database.connect_options().to_url_lossy().as_str()),
        ("EXAMPLE__DATABASE__MIGRATE_AT_START", "true"),
        ("EXAMPLE__DATABASE__STATEMENT_TIMEOUT_SECONDS", "0.2"),
    ])
    .unwrap();
    let requests = Pool::new(&settings, settings.primary().unwrap(), 1, settings.statement_timeout_seconds);
    check_schema(&requests, &settings, &migrator, "example").await.unwrap();
    assert!(pending_migrations(&database, &migrator).await.unwrap().is_empty());
    requests.close().await;
}
