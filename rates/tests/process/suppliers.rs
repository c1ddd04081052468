//! What a supplier and an operator type: keys are made, used and revoked, a file is pushed.

use std::{net::TcpListener, process::Output};

use sqlx::PgPool;

use super::{command, serve, url};

pub(super) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Runs the binary on a blocking thread, as the server of the test needs this one.
pub(super) async fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command(variables);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_file_is_pushed_with_a_key_until_the_key_is_revoked(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    let server = serve(&database);
    let address = format!("http://{}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    std::fs::write(
        &file,
        "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-02-01,100\nCNGGZ,EETLL,2021-02-01,200\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let prices = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from prices where batch_id is not null")
            .fetch_one(&pool)
            .await
            .unwrap()
    };

    let made = run(&database, &["key", "create", "acme", "--expires", "2031-01-31"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout).trim().to_owned();
    assert!(key.starts_with("rates_"), "nothing but the key is on standard output: {key:?}");
    let listed = text(&run(&database, &["key", "list"]).await.stdout);
    assert!(listed.contains("acme") && listed.contains("2031-01-31"), "{listed}");
    assert!(!listed.contains(key.rsplit('_').next().unwrap()), "the secret is told once");

    let push = async |key: &str, arguments: &[&str]| {
        run(&[("RATES_KEY", key)], &[&["push", "--url", &address], arguments].concat()).await
    };
    let pushed = push(&key, &[file]).await;
    assert_eq!(pushed.status.code(), Some(0), "{}", text(&pushed.stderr));
    assert_eq!(prices().await, 2);
    let again = push(&key, &[file]).await;
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(prices().await, 2, "the same file is the same batch");
    let used = text(&run(&database, &["key", "list"]).await.stdout);
    assert_ne!(used, listed, "it says when the key was last used");

    let wrong = folder.path().join("wrong.csv");
    std::fs::write(&wrong, "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-02-30,100\n").unwrap();
    let refused = push(&key, &[wrong.to_str().unwrap()]).await;
    assert_eq!(refused.status.code(), Some(65), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("2021-02-30"), "{}", text(&refused.stderr));
    assert_eq!(push(&key, &["no_such.csv"]).await.status.code(), Some(66));

    let number = key.split('_').nth(1).unwrap();
    assert!(run(&database, &["key", "revoke", number]).await.status.success());
    assert_eq!(push(&key, &[file]).await.status.code(), Some(64), "a revoked key opens nothing");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn an_expired_key_and_an_unreachable_server_have_exit_codes(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    let server = serve(&database);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    std::fs::write(&file, "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-02-01,100\n").unwrap();
    let file = file.to_str().unwrap();
    let made = run(&database, &["key", "create", "acme", "--expires", "2031-01-31"]).await;
    let key = text(&made.stdout).trim().to_owned();
    sqlx::raw_sql("update api_keys set expires_at = now() - interval '1 second'")
        .execute(&pool)
        .await
        .unwrap();
    let address = format!("http://{}", server.address);
    let pushed = run(&[("RATES_KEY", &key)], &["push", "--url", &address, file]).await;
    assert_eq!(pushed.status.code(), Some(64), "{}", text(&pushed.stderr));
    drop(server);
    let nobody = run(&[("RATES_KEY", &key)], &["push", "--url", &address, "--attempts", "1", file]).await;
    assert_eq!(nobody.status.code(), Some(69), "{}", text(&nobody.stderr));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = std::thread::spawn(move || drop(listener.accept()));
    let broken = run(&[("RATES_KEY", &key)], &["push", "--url", &address, "--attempts", "1", file]).await;
    hangs_up.join().unwrap();
    assert_eq!(broken.status.code(), Some(75), "{}", text(&broken.stderr));
    let no_header = ["push", "--url", &address, "--idempotency-key", "two\nlines", file];
    let refused = run(&[("RATES_KEY", &key)], &no_header).await;
    assert!(text(&refused.stderr).contains("cannot send the request"), "{}", text(&refused.stderr));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_supplier_is_told_what_was_stored_and_how_to_undo_it(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    let server = serve(&database);
    let address = format!("http://{}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    std::fs::write(
        &file,
        "orig_code;dest_code;day;price\nCNGGZ;EETLL;2021-01-09;100\nCNGGZ;SESTO;2021-01-09;200\n\
         CNGGZ;EETLL;2021-01-09;9900\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let created = run(&database, &["key", "create", "acme"]).await;
    let key = text(&created.stdout).trim().to_owned();
    let push = async |arguments: &[&str]| {
        run(&[("RATES_KEY", &key)], &[&["push", "--url", &address, file], arguments].concat()).await
    };

    let checked = text(&push(&["--dry-run"]).await.stdout);
    assert!(
        checked.contains("has no fault (3 rows, 3 prices, 1 day, 2 lanes); nothing was stored"),
        "{checked}"
    );
    let stored = async || {
        let count = "select count(*) from prices where batch_id is not null";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap()
    };
    assert_eq!(stored().await, 0);
    let first = text(&push(&[]).await.stdout);
    assert!(first.contains("is stored (3 rows, 3 prices, 1 day, 2 lanes)"), "{first}");
    assert!(first.contains("1 warning:\n  row 4, price: 9900 is far from the mean"), "{first}");
    let undo = first.split_once("To withdraw it: ").unwrap().1;
    assert!(undo.contains("-X DELETE") && undo.contains(&format!("{address}/batches/")), "{first}");
    let again = text(&push(&[]).await.stdout);
    assert!(again.contains("nothing was stored twice"), "{again}");

    let taken = run(&database, &["batches", "withdraw", "1"]).await;
    assert_eq!(text(&taken.stdout), "Batch 1 is withdrawn; its prices are deleted.\n", "{taken:?}");
    assert_eq!(run(&database, &["batches", "withdraw", "1"]).await.status.code(), Some(65));
    assert_eq!(run(&database, &["batches", "show", "2"]).await.status.code(), Some(65));
    let withdrawn = push(&[]).await;
    assert_eq!(withdrawn.status.code(), Some(65), "{}", text(&withdrawn.stderr));
    let again = format!("rates push {file} --url {address}/ --idempotency-key again-after-1");
    assert!(text(&withdrawn.stderr).contains(&again), "{}", text(&withdrawn.stderr));
    let anew = push(&["--idempotency-key", "again-after-1"]).await;
    assert_eq!(anew.status.code(), Some(0), "{}", text(&anew.stderr));

    let replaced = push(&["--idempotency-key", "better", "--replace", "2"]).await;
    let message = text(&replaced.stdout);
    assert!(message.contains("Batch 3 is stored in place of batch 2 (3 rows"), "{}", text(&replaced.stderr));
    assert_eq!(stored().await, 3);
    let missing = push(&["--idempotency-key", "best", "--replace", "9"]).await;
    assert_eq!(missing.status.code(), Some(65), "{}", text(&missing.stderr));
    assert!(text(&missing.stderr).contains("There is no batch 9 to replace"), "{}", text(&missing.stderr));
    let listed = text(&run(&database, &["batches", "list"]).await.stdout);
    let states: Vec<_> = listed.lines().skip(1).map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(states, ["done", "withdrawn", "withdrawn"], "{listed}");
    let shown = text(&run(&database, &["batches", "show", "3"]).await.stdout);
    assert!(shown.contains("replaces   2\n") && shown.contains("row 4, price: 9900"), "{shown}");
}

#[tokio::test]
async fn an_address_that_is_no_rates_server_is_sent_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    std::fs::write(&file, "orig_code,dest_code,day,price\n").unwrap();
    let push = async |url: &str| {
        run(&[("RATES_KEY", "rates_1_x")], &["push", "--url", url, file.to_str().unwrap()]).await
    };
    let without_scheme = push("localhost:3622").await;
    assert_eq!(without_scheme.status.code(), Some(64), "{}", text(&without_scheme.stderr));
    assert!(
        text(&without_scheme.stderr).contains("did you mean http://localhost:3622?"),
        "{without_scheme:?}"
    );

    for answer in [
        "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nnot found",
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let other = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        });
        let pushed = push(&url).await;
        assert_eq!(pushed.status.code(), Some(64), "{answer}: {}", text(&pushed.stderr));
        let message = text(&pushed.stderr);
        assert!(message.contains("does not look like a rates server; check --url"), "{message}");
        drop(other.await);
    }
    let no_key = run(&[], &["push", "--url", "http://localhost:1", file.to_str().unwrap()]).await;
    assert_eq!(no_key.status.code(), Some(64), "{}", text(&no_key.stderr));
    assert!(text(&no_key.stderr).contains("RATES_KEY"), "{}", text(&no_key.stderr));
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn a_wrong_key_is_not_created_and_keys_are_listed_under_a_header(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    for (arguments, part) in [
        (&["key", "create", "Acme Lines"][..], "for example acme-lines"),
        (&["key", "create", "acme", "--expires", "2020-01-31"], "in the past"),
    ] {
        let refused = run(&database, arguments).await;
        assert_eq!(refused.status.code(), Some(64), "{}", text(&refused.stderr));
        let message = text(&refused.stderr);
        assert!(message.contains(part) && !message.contains("constraint"), "{message}");
    }
    let list = async || text(&run(&database, &["key", "list"]).await.stdout);
    let header = ["NUMBER", "SUPPLIER", "SCOPE", "CREATED", "EXPIRES", "LAST", "USED", "STATE"];
    assert_eq!(list().await.split_whitespace().collect::<Vec<_>>(), header);
    run(&database, &["key", "create", "acme"]).await;
    let listed = list().await;
    let line: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((line[0], line[1], line[2], line[6]), ("1", "acme", "write", "valid"), "{listed}");
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn a_key_is_rotated_while_the_old_one_is_still_valid(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    run(&database, &["key", "create", "desk", "--scope", "read"]).await;
    let created = run(&database, &["key", "rotate", "1", "--expires", "2031-01-31"]).await;
    assert!(text(&created.stdout).starts_with("rates_2_"), "{}", text(&created.stderr));
    let ends = "select count(*) from api_keys
                where id = 1 and expires_at between now() + interval '6 days' and now() + interval '7 days'";
    let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap();
    assert_eq!(count(ends).await, 1);
    let same = "select count(*) from api_keys where id = 2 and supplier = 'desk' and scope = 'read'
                and expires_at = '2031-01-31Z'";
    assert_eq!(count(same).await, 1);
    run(&database, &["key", "rotate", "1", "--overlap", "30"]).await;
    assert_eq!(count(ends).await, 1, "it never lives longer by being rotated");
    run(&database, &["key", "rotate", "2", "--overlap", "0"]).await;
    let refused = run(&database, &["key", "rotate", "2"]).await;
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
    assert!(text(&refused.stderr).contains("key 2 is not valid"), "{}", text(&refused.stderr));
    assert_eq!(count("select count(*) from api_keys").await, 4);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_row_has_the_same_number_whether_a_file_is_pushed_or_loaded(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    let server = serve(&database);
    let address = format!("http://{}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    std::fs::write(
        &file,
        "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-02-01,100\nCNGGZ,XXXXX,2021-02-30,100\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let created = run(&database, &["key", "create", "acme"]).await;
    let key = text(&created.stdout).trim().to_owned();
    let pushed = run(&[("RATES_KEY", &key)], &["push", "--url", &address, file]).await;
    let loaded = run(&database, &["load", "--append", file]).await;
    for output in [pushed, loaded] {
        assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
        let message = text(&output.stderr);
        assert!(message.contains("row 3, day:"), "{message}");
        assert!(message.contains("row 3, dest_code: there is no port XXXXX"), "{message}");
    }
}
