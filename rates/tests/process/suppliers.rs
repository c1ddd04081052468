//! What a supplier and an operator type: keys are made, used and revoked, a file is pushed.

use std::process::Output;

use sqlx::PgPool;

use super::{Server, command, url};

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Runs the binary on a blocking thread, as the server of the test needs this one.
async fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command(variables);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_key_opens_the_door_for_a_file_until_it_is_revoked(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    let server = Server::start(&database);
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
    let again = push(&key, &[file, "--async"]).await;
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
async fn an_expired_key_is_refused_and_a_server_that_is_not_there_is_told(pool: PgPool) {
    let database = url(&pool);
    let database = [("DATABASE_URL", database.as_str())];
    let server = Server::start(&database);
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
}
