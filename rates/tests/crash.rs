//! The real binary and a PostgreSQL of its own, killed at random moments while batches arrive.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

const ROUNDS: usize = 6;
const CLIENTS: usize = 3;
const ROWS: i64 = 3000;

/// A PostgreSQL cluster in a directory of its own, reached by its socket there.
struct Cluster {
    directory: tempfile::TempDir,
    programs: PathBuf,
}

impl Cluster {
    /// None, with the reason printed, where the tests run on a server that is not `db/private_postgres.sh`'s.
    fn start() -> Option<Self> {
        let Some((_, programs)) = std::env::vars().find(|(name, _)| name == "PRIVATE_POSTGRES_BIN") else {
            eprintln!(
                "skipped: this test kills a PostgreSQL of its own and needs the programs that `make test` finds"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let cluster = Self { directory, programs: programs.into() };
        if is_root() {
            // PostgreSQL refuses to run as root.
            run(Command::new("chown").arg("postgres").arg(cluster.directory.path()));
        }
        let data = cluster.data();
        run(cluster
            .program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "rates", "-A", "trust", "-E", "UTF8"]));
        cluster.up();
        Some(cluster)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        }
    }

    fn up(&self) {
        let options = format!("-c listen_addresses='' -k {}", self.directory.path().display());
        let log = self.directory.path().join("log");
        let mut command = self.program("pg_ctl");
        command.arg("-D").arg(self.data()).arg("-l").arg(log).args(["-w", "-o", &options, "start"]);
        // The server would hold a pipe open.
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
    }

    fn stop(&self, mode: &str) {
        run(self.program("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-m", mode, "stop"]));
    }

    async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .username("rates")
            .database("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    fn rates(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rates"));
        command
            .args(arguments)
            .env_clear()
            .env("DB_HOST", self.directory.path())
            .env("DB_NAME", "postgres")
            .env("DB_USER", "rates")
            .env("PORT", "0")
            .env("RUST_LOG", "info")
            .env("RATES__SERVER__METRICS_PORT", "0")
            .env("RATES__BATCHES__PER_MINUTE_BY_KEY", "100000")
            .env("RATES__BATCHES__PER_MINUTE_BY_ADDRESS", "100000")
            // All suppliers of this test are one.
            .env("RATES__BATCHES__UPLOADS_BY_SUPPLIER", "16")
            .env("RATES__BATCHES__MAX_ATTEMPTS", "1000");
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.program("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]).output();
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// `rates serve`, on a port that it chose.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    fn start(cluster: &Cluster) -> Self {
        let mut child = cluster.rates(&["serve"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines
            .find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                Some(line["message"].as_str()?.strip_prefix("listening on http://0.0.0.0:")?.to_owned())
            })
            .expect("the server says where it listens");
        // Read on, or the server would wait for room in the pipe.
        std::thread::spawn(move || {
            lines.filter(|line| line.contains("\"ERROR\"")).for_each(|line| println!("{line}"));
        });
        Self { child, url: format!("http://127.0.0.1:{address}") }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows that no other batch has.
fn content(number: u64) -> String {
    let mut text = String::from("orig_code,dest_code,day,price\n");
    for row in 0..ROWS {
        writeln!(text, "CNSGH,NLRTM,2021-01-{:02},{}", row % 28 + 1, number + 1).unwrap();
    }
    text
}

/// Returns the status, and the id of the batch if it is stored.
async fn post(
    client: &reqwest::Client,
    url: &str,
    key: &str,
    number: u64,
    replaces: Option<i64>,
) -> reqwest::Result<(u16, Option<i64>)> {
    let query = replaces.map(|batch| format!("?replaces={batch}")).unwrap_or_default();
    let mut request = client
        .post(format!("{url}/prices{query}"))
        .bearer_auth(key)
        .header("content-type", "text/csv")
        .header("idempotency-key", format!("batch {number}"))
        .body(content(number));
    if number.is_multiple_of(4) {
        request = request.header("prefer", "respond-async");
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let body: serde_json::Value = serde_json::from_slice(&response.bytes().await?).unwrap();
    Ok((status, body["id"].as_i64().filter(|_| body["state"] == "done")))
}

/// A batch that was sent.
#[derive(Clone, Copy)]
struct Sent {
    replaces: Option<i64>,
    acknowledged: bool,
}

/// The batches that were sent, by number.
type SentBatches = Arc<Mutex<BTreeMap<u64, Sent>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_batches_are_durable_and_whole_whatever_is_killed() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let Some(cluster) = Cluster::start() else {
        return;
    };
    run(&mut cluster.rates(&["migrate"]));
    let mut connection = cluster.connect().await;
    sqlx::raw_sql(
        "insert into regions values ('asia', 'Asia', null), ('europe', 'Europe', null);
         insert into ports values ('CNSGH', 'Shanghai', 'asia'), ('NLRTM', 'Rotterdam', 'europe')",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let key = run(&mut cluster.rates(&["key", "create", "acme"])).stdout;
    let key = String::from_utf8(key).unwrap().trim().to_owned();
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let client = reqwest::Client::new();
    let batches = SentBatches::default();
    let mut service = Service::start(&cluster);

    for round in 0..ROUNDS {
        let clients: Vec<_> = (0..CLIENTS as u64)
            .map(|lane| {
                let (client, url, key, batches) =
                    (client.clone(), service.url.clone(), key.clone(), Arc::clone(&batches));
                tokio::spawn(async move {
                    let mut last = None;
                    for number in (0..).map(|step| (round as u64) * 100_000 + step * CLIENTS as u64 + lane) {
                        // Every other one corrects the one before. Nothing else does, whatever becomes of it.
                        let replaces = if number.is_multiple_of(2) { None } else { last.take() };
                        let mut sent = Sent { replaces, acknowledged: false };
                        batches.lock().unwrap().insert(number, sent);
                        match post(&client, &url, &key, number, replaces).await {
                            Ok((200..=202, stored)) => {
                                last = stored;
                                sent.acknowledged = true;
                                batches.lock().unwrap().insert(number, sent);
                            }
                            Ok((503, _)) => {}
                            Ok((other, _)) => panic!("batch {number}: {other}"),
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        // Not synchronisation: the moment of the kill is random.
        tokio::time::sleep(Duration::from_millis(random.u64(20..900))).await;
        match round % 3 {
            0 => drop(service.child.kill()),
            1 => cluster.stop("immediate"),
            _ => {}
        }
        for client in clients {
            // The third kind of failure: the clients disappear in the middle of a request.
            client.abort();
            if let Err(error) = client.await {
                assert!(error.is_cancelled(), "{error}");
            }
        }
        if round % 3 == 1 {
            cluster.up();
        }
        if round % 3 == 0 {
            service = Service::start(&cluster);
        }
        settle(&cluster, &client, &service.url).await;
        check_batches(&cluster, &batches).await;
    }

    let sent: BTreeMap<u64, Sent> = batches.lock().unwrap().clone();
    let acknowledged = sent.values().filter(|batch| batch.acknowledged).count();
    let corrections = sent.values().filter(|batch| batch.replaces.is_some()).count();
    println!("{acknowledged} batches acknowledged over {ROUNDS} failures; {corrections} were corrections");
    assert!(acknowledged > ROUNDS, "batches were acknowledged between the failures");
    assert!(corrections > 0, "some corrected others");

    // Clients without an answer send again: in the end each batch is stored exactly once.
    for (number, Sent { replaces, .. }) in sent {
        let (status, _) = post(&client, &service.url, &key, number, replaces).await.unwrap();
        assert!((200..=202).contains(&status), "batch {number}: {status}");
        batches.lock().unwrap().insert(number, Sent { replaces, acknowledged: true });
    }
    settle(&cluster, &client, &service.url).await;
    check_batches(&cluster, &batches).await;
    run(&mut cluster.rates(&["verify"]));
}

/// Waits until the service is ready and no batch is queued.
async fn settle(cluster: &Cluster, client: &reqwest::Client, url: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let ready = || async {
        client.get(format!("{url}/readyz")).send().await.is_ok_and(|response| response.status() == 200)
    };
    while !ready().await {
        assert!(Instant::now() < deadline, "the service is ready again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut connection = cluster.connect().await;
    // Statements of clients that are gone may still run, and may still commit.
    let busy = "select (select count(*) from jobs) + (select count(*) from pg_stat_activity
                where application_name = 'rates batches' and state <> 'idle')";
    while sqlx::query_scalar::<_, i64>(busy).fetch_one(&mut connection).await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "no batch is queued for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn check_batches(cluster: &Cluster, sent: &SentBatches) {
    let mut connection = cluster.connect().await;
    let batches: Vec<(String, String, i64, bool)> = sqlx::query_as(
        "select idempotency_key, state, (select count(*) from prices where batch_id = b.id),
                exists (select from batches r where r.replaces = b.id)
         from batches b",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for (key, state, prices, is_replaced) in &batches {
        let whole = if *is_replaced { ("withdrawn", 0) } else { ("done", ROWS) };
        assert_eq!((state.as_str(), *prices), whole, "{key} is whole, or gone with its correction");
    }
    for (number, Sent { acknowledged, .. }) in sent.lock().unwrap().iter() {
        let found = batches.iter().filter(|(key, ..)| *key == format!("batch {number}")).count();
        assert!(found == 1 || !acknowledged, "batch {number} was acknowledged and is there {found} times");
    }
    let prices: i64 =
        sqlx::query_scalar("select count(*) from prices").fetch_one(&mut connection).await.unwrap();
    let stored: i64 = batches.iter().map(|(_, _, prices, _)| prices).sum();
    assert_eq!(prices, stored, "no price without its batch");
    let kept: Option<i64> = sqlx::query_scalar(
        "select sum(price_count)::bigint from daily_rates 
         where origin = (select id from places where name = 'asia')
           and destination = (select id from places where name = 'europe')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(kept.unwrap_or(0), prices, "the rollup has them all");
}
