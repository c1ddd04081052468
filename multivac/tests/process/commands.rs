//! What the commands do and how they end, and what is in the log files.

use std::{io::Write, process::Stdio};

use chassis::{jobs::Job, testing::Ended};
use multivac::backend::MIGRATOR;
use sqlx::PgPool;

use crate::{
    client, command, read, serve,
    support::{Place, until},
    work,
};

fn run(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    chassis::testing::run(command(place, variables).args(arguments))
}

/// The entry that `user add` prints for this password, or how it failed.
fn add_user(arguments: &[&str], password: &str) -> (Option<i32>, String) {
    let mut command = command(&Place::file(), &[]);
    command
        .args(["user", "add"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_posts_waits_reads_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (users, login) = (path("users"), path("login"));
    for (name, password) in [("bob", "other\n"), ("alice", "old"), ("alice", "se:cret\n")] {
        assert_eq!(add_user(&[name, "--file", &users], password), (Some(0), String::new()));
    }
    std::fs::write(&login, "alice:se:cret\n").unwrap();
    assert_eq!(read(users.as_ref()).lines().count(), 2);
    assert!(!read(users.as_ref()).contains("cret"));
    let place = Place::file();
    // An address that others can reach needs users, and has them.
    let server = serve(&place, &[("AUTH_USERS_FILE", &users), ("MULTIVAC__SERVER__HOST", "0.0.0.0")]);
    let url = format!("http://127.0.0.1:{}", server.address.rsplit_once(':').unwrap().1);
    let other = client().post(format!("{url}/multivac/data")).basic_auth("bob", Some("other"));
    other.json(&serde_json::json!({"data": "of others"})).send().await.unwrap().error_for_status().unwrap();
    let none = Place::file();
    run(&none, &["check", "--url", &url, "--user-file", &login], &[("PORT", "x")]).expect(0);
    let refused = run(&none, &["check", "--url", &url], &[]).expect(1);
    assert!(refused.contains("401"), "{refused}");
    let answer = client().get(format!("{url}/multivac")).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "of others");
    server.signal("-TERM");
    server.end().expect(0);
    let backend = place.open().await;
    assert_eq!(
        (backend.queue.depth().await.unwrap().waiting, backend.queue.depth().await.unwrap().dead),
        (0, 0)
    );
    assert!(backend.store.delete_oldest().await.unwrap() && !backend.store.delete_oldest().await.unwrap());
    let gone = run(&none, &["check", "--url", &url], &[]).expect(69);
    assert!(gone.contains(&format!("no answer from {url}")), "{gone}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn check_fails_without_a_worker_and_takes_its_probe_back(pool: PgPool) {
    for place in [Some(Place::postgres(&pool)), Place::redis(&pool)].into_iter().flatten() {
        let server = serve(&place, &[]);
        let arguments = ["check", "--url", &server.url, "--timeout", "1"];
        let failed = run(&Place::file(), &arguments, &[]).expect(1);
        assert!(failed.contains("does a worker run?"), "{failed}");
        assert_eq!(place.open().await.queue.depth().await.unwrap().waiting, 0, "{}", place.name);
        let _worker = work(&place, &[]);
        run(&Place::file(), &arguments[..3], &[]).expect(0);
    }
}

#[test]
fn a_start_that_would_let_everybody_write_is_refused() {
    let place = Place::file();
    let refused = run(&place, &["serve"], &[("MULTIVAC__SERVER__HOST", "0.0.0.0")]).expect(64);
    assert!(refused.contains("auth.allow_anonymous") && refused.contains("user add"), "{refused}");
    let allowed = [("MULTIVAC__SERVER__HOST", "0.0.0.0"), ("AUTH_ALLOW_ANONYMOUS", "true")];
    let server = serve(&place, &allowed);
    server.signal("-TERM");
    server.end().expect(0);
    let wrong = run(&place, &["serve"], &[("AUTH_USERS", "alice:secret")]).expect(64);
    assert!(wrong.contains("entry 1") && !wrong.contains("secret"), "{wrong}");
}

#[test]
fn a_wrong_setup_is_told_with_exit_code_64() {
    let place = Place::file();
    let log = run(&place, &["work"], &[]).expect(64);
    assert!(log.contains("DATABASE_URL"), "{log}");
    let variables = [
        ("REDIS_URL", "redis://localhost"),
        ("MULTIVAC__WORKER__COUNT", "0"),
        ("MULTIVAC__WORKER__MAX_ATTEMPTS", "0"),
        ("MULTIVAC__REDIS__TIMEOUT_SECONDS", "10"),
    ];
    let log = run(&place, &[], &variables).expect(64);
    for part in ["redis.url (from REDIS_URL)", "worker.count", "worker.max_attempts", "redis.timeout_seconds"]
    {
        assert!(log.contains(part), "{part} is missing in {log}");
    }
    let shown = run(&place, &["config"], &[("AUTH_USERS", "alice:$argon2id$x")]).expect(0);
    assert!(!shown.contains("alice"), "{shown}");
    for (name, password, part) in
        [("a:b", "x", "contains `:`"), ("a b", "x", "white space"), ("a", "\n", "is empty")]
    {
        let (code, text) = add_user(&[name], password);
        assert!(code == Some(64) && text.contains(part), "{code:?} {text}");
    }
}

#[sqlx::test(migrations = false)]
async fn the_schema_is_made_by_migrate_and_by_nothing_else(pool: PgPool) {
    let place = Place::postgres(&pool);
    let refused = run(&place, &["serve"], &[]).expect(64);
    assert!(refused.contains("run `multivac migrate` first"), "{refused}");
    let app = [("DB_APP_USER", "multivac_app"), ("DB_APP_PASSWORD", "hush")];
    run(&place, &["migrate"], &app).expect(0);
    run(&place, &["migrate"], &app).expect(0);
    let server = serve(&place, &[]);
    server.signal("-TERM");
    server.end().expect(0);
    // The role of the service can do its work, and no more.
    let mut connection = pool.acquire().await.unwrap();
    for (statement, is_allowed) in [
        ("insert into multivac.data (job, document) values ('1', '{}')", true),
        ("delete from multivac.data", true),
        ("insert into public.jobs (queue, payload) values ('multivac', '1')", true),
        ("update public.jobs set attempts = 1", true),
        ("delete from public.jobs", true),
        ("select version from public._sqlx_migrations", true),
        ("drop table multivac.data", false),
    ] {
        sqlx::query("set role multivac_app").execute(&mut *connection).await.unwrap();
        let done = sqlx::query(statement).execute(&mut *connection).await;
        assert_eq!(done.is_ok(), is_allowed, "{statement}: {done:?}");
        sqlx::query("reset role").execute(&mut *connection).await.unwrap();
    }
    sqlx::raw_sql("drop owned by multivac_app; drop role multivac_app")
        .execute(&mut *connection)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn jobs_are_listed_shown_retried_and_dropped(pool: PgPool) {
    for place in Place::all(&pool) {
        let jobs = |arguments: &[&str]| run(&place, &[&["jobs"], arguments].concat(), &[]);
        let backend = place.open().await;
        let id = backend.queue.put("größer".to_owned()).await.unwrap();
        drop(backend);
        let list = jobs(&["list"]).expect(0);
        assert!(list.lines().count() == 2 && list.contains(&id) && list.contains("waiting"), "{list}");
        assert_eq!(jobs(&["list", "--dead"]).expect(0).lines().count(), 1);
        let shown: serde_json::Value = serde_json::from_str(&jobs(&["show", &id]).expect(0)).unwrap();
        assert_eq!(
            (&shown["data"], &shown["state"], &shown["id"]),
            (&"größer".into(), &"waiting".into(), &id.as_str().into())
        );
        assert!(jobs(&["retry", &id]).expect(66).contains("there is no dead job"), "{}", place.name);
        jobs(&["drop", &id]).expect(0);
        for gone in ["show", "drop"] {
            assert!(jobs(&[gone, &id]).expect(66).contains("there is no job"), "{}", place.name);
        }
    }
    let away =
        run(&Place::postgres(&pool), &["jobs", "list"], &[("REDIS_URL", "redis://127.0.0.1:1")]).expect(69);
    assert!(away.contains("refused"), "{away}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn server_and_worker_log_to_files_of_their_own(pool: PgPool) {
    let place = Place::postgres(&pool);
    let folder = tempfile::tempdir().unwrap();
    let logs = [("MULTIVAC_LOG_DIR", folder.path().to_str().unwrap()), ("RUST_LOG", "info")];
    let (server, worker) = (serve(&place, &logs), work(&place, &logs));
    client().get(format!("{}/multivac", server.url)).send().await.unwrap();
    for process in [server, worker] {
        process.signal("-TERM");
        let out = process.end().expect(0);
        assert!(out.contains("\"stopped\""), "standard output has it, too: {out}");
    }
    assert!(read(&folder.path().join("access.log")).contains("\"GET /multivac HTTP/1.1\" 200 40 "));
    for (name, text) in [("app.log", "listening on"), ("work.log", "\"working\"")] {
        let log = read(&folder.path().join(name));
        assert!(log.contains(text) && log.contains("\"stopped\""), "{name}: {log}");
    }
}

/// What `/metrics` says of the queue, in the server, which does not work itself.
#[sqlx::test(migrator = "MIGRATOR")]
async fn the_depth_of_the_queue_is_measured(pool: PgPool) {
    for place in [Some(Place::postgres(&pool)), Place::redis(&pool)].into_iter().flatten() {
        let backend = place.open().await;
        backend.queue.put("waits".to_owned()).await.unwrap();
        let server = serve(&place, &[]);
        let url = format!("http://{}/metrics", server.metrics_address);
        until("a job waits", async || {
            let metrics = client().get(&url).send().await.unwrap().text().await.unwrap();
            let oldest = metrics.lines().find_map(|line| line.strip_prefix("jobs_oldest_seconds "));
            let is_old = oldest.is_some_and(|seconds| seconds.parse::<f64>().unwrap() > 0.0);
            is_old && metrics.contains("jobs_waiting 1") && metrics.contains("jobs_dead 0")
        })
        .await;
        let id = backend.queue.list(1, false).await.unwrap().remove(0).job.id;
        backend.store.put(&[Job { id, payload: String::new(), attempts: 1 }]).await.unwrap();
        while backend.store.delete_oldest().await.unwrap() {}
    }
}
