//! A real streaming replica that stops following and follows again.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rates::database::Database;
use sqlx::{
    Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::support::Instance;

/// A copy of the whole server of `pool`, streaming from it; stopped and removed when it is dropped.
struct Replica {
    programs: PathBuf,
    directory: tempfile::TempDir,
}

impl Replica {
    /// None, with the reason printed, where the tests run on a server that is not `db/private_postgres.sh`'s.
    fn start(primary: &PgConnectOptions) -> Option<Self> {
        let programs =
            std::env::vars().find(|(name, _)| name == "PRIVATE_POSTGRES_BIN").map(|(_, value)| value);
        let (Some(programs), Some(socket)) = (programs, primary.get_socket()) else {
            eprintln!("skipped: a replica needs the private server of `make test`");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("rates-replica.").tempdir_in("/tmp").unwrap();
        let replica = Self { programs: programs.into(), directory };
        if is_root() {
            assert!(
                Command::new("chown")
                    .arg("postgres")
                    .arg(replica.directory.path())
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let data = replica.data();
        let socket = socket.to_str().unwrap();
        replica.run("pg_basebackup", &["-h", socket, "-U", "rates", "-D", &data, "-R", "--checkpoint=fast"]);
        // A replica must allow at least as many connections as its primary.
        let options = format!(
            "-c listen_addresses= -c max_connections=500 -c jit=off -c unix_socket_directories={}",
            replica.directory.path().display()
        );
        let log = format!("{}/log", replica.directory.path().display());
        replica.run("pg_ctl", &["start", "-D", &data, "-w", "-s", "-l", &log, "-o", &options]);
        Some(replica)
    }

    fn data(&self) -> String {
        format!("{}/data", self.directory.path().display())
    }

    fn socket(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.command(program, arguments);
        let status = command.stdout(std::process::Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?}");
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments);
        command
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may not have started; a panic while panicking would hide why.
        let _ = self.command("pg_ctl", &["stop", "-D", &self.data(), "-m", "immediate", "-w", "-s"]).status();
    }
}

fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0"
}

async fn price(instance: &Instance) -> i64 {
    let answer = instance.rates("asia", "europe", "2021-03-01", "2021-03-01").await.expect(200).json();
    answer["rates"][0]["price"].as_i64().unwrap()
}

async fn set_price(pool: &PgPool, price: i32) -> i64 {
    sqlx::query("update prices set price = $1 where day = '2021-03-01'")
        .bind(price)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query_scalar("select version from data_version").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_replica_answers_and_one_that_lags_never_with_older_data(pool: PgPool) {
    pool.execute("insert into prices select 'CNGGZ', 'EETLL', '2021-03-01', 1 from generate_series(1, 3)")
        .await
        .unwrap();
    let Some(server) = Replica::start(&pool.connect_options()) else {
        return;
    };
    let options = (*pool.connect_options()).clone().socket(server.socket());
    let connect = async |name| {
        PgPoolOptions::new()
            .max_connections(3)
            .connect_with(options.clone().application_name(name))
            .await
            .unwrap()
    };
    let (reads, replica) = (connect("reads").await, connect("test").await);
    let recovering: bool =
        sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&replica).await.unwrap();
    assert!(recovering, "it is a replica");

    let database = Database::of(pool.clone()).with_replicas(vec![reads.clone()]);
    let instance = Instance::with(database, &[]).listening().await;
    assert_eq!(price(&instance).await, 1);
    let asked_now = "select count(*) from pg_stat_activity where application_name = 'reads' and query like '%daily_rates%'";
    let asked: i64 = sqlx::query_scalar(asked_now).fetch_one(&replica).await.unwrap();
    assert!(asked > 0, "the replica was asked");

    replica.execute("select pg_wal_replay_pause()").await.unwrap();
    for price_set in 2..12 {
        let version = set_price(&pool, price_set).await;
        instance.app.lanes.freshness.acknowledge(version).await;
        for _cold_then_warm in 0..2 {
            assert_eq!(price(&instance).await, i64::from(price_set), "while the replica lags");
        }
    }
    replica.execute("select pg_wal_replay_resume()").await.unwrap();
    let newest: i64 = sqlx::query_scalar("select version from data_version").fetch_one(&pool).await.unwrap();
    let follows = "select version from data_version";
    let patience = Instant::now() + Duration::from_mins(1);
    while sqlx::query_scalar::<_, i64>(follows).fetch_one(&replica).await.unwrap() < newest {
        assert!(
            Instant::now() < patience,
            "the replica does not follow; its log is in {:?}",
            server.socket()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(price(&instance).await, 11, "when it follows again");
    reads.close().await;
    replica.close().await;
}
