use std::{collections::BTreeSet, fmt::Write, path::Path, time::Duration};

use chassis::postgres::pending_migrations;
use rates::{
    database::MIGRATOR,
    load::{Mode, load_file},
};
use sqlx::{Executor, PgPool};

use crate::support::rules;

const SAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql"));

/// The schema as a set of facts: columns, constraints, indexes, triggers, functions.
async fn schema(pool: &PgPool) -> BTreeSet<String> {
    let facts = "
        select format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
            from information_schema.columns where table_schema = 'public'
        union all select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
            from pg_constraint where connamespace = 'public'::regnamespace
        union all select 'index ' || indexdef from pg_indexes where schemaname = 'public'
        union all select 'trigger ' || pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
        union all select 'function ' || pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
        union all select format('view %s %s', viewname, definition) from pg_views where schemaname = 'public'";
    sqlx::query_scalar(facts).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// The sample as psql would load it: its COPY blocks as INSERTs, since the simple protocol cannot copy.
async fn load_as_psql_does(pool: &PgPool) {
    let mut statements = String::new();
    let mut table = None;
    let mut rows = 0;
    for line in SAMPLE.lines() {
        match table {
            None if line.starts_with("COPY ") => {
                let (head, _) = line.split_once(" FROM stdin").unwrap();
                table = Some(head.replacen("COPY", "insert into", 1));
            }
            None => {
                statements.push_str(line);
                statements.push('\n');
            }
            Some(_) if line == "\\." => (table, rows) = (None, 0),
            // A part of the prices is as good as all.
            Some(_) if rows >= 5000 => {}
            Some(ref head) => {
                rows += 1;
                let values: Vec<String> = line
                    .split('\t')
                    .map(|field| {
                        if field == "\\N" {
                            "null".into()
                        } else {
                            format!("'{}'", field.replace('\'', "''"))
                        }
                    })
                    .collect();
                writeln!(statements, "{head} values ({});", values.join(",")).unwrap();
            }
        }
    }
    let mut connection = pool.acquire().await.unwrap();
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements))).await.unwrap();
    // The dump left an empty search_path behind; the connection must not go back to the pool with it.
    connection.close_on_drop();
}

#[sqlx::test(migrations = false)]
async fn a_loaded_database_and_an_empty_one_end_at_the_same_schema(pool: PgPool) {
    load_as_psql_does(&pool).await;
    MIGRATOR.run(&pool).await.unwrap();
    let loaded = schema(&pool).await;
    let answered: i64 = sqlx::query_scalar("select sum(price_count) from daily_rates where origin in (select port from port_places) and destination in (select port from port_places)").fetch_one(&pool).await.unwrap();
    assert_eq!(answered, 5000, "the prices of the dump are in the rollup");
    pool.execute("drop schema public cascade; create schema public").await.unwrap();
    MIGRATOR.run(&pool).await.unwrap();
    let empty = schema(&pool).await;
    let differing: Vec<_> = loaded.symmetric_difference(&empty).collect();
    assert!(differing.is_empty() && empty.len() > 50, "{differing:#?}");
}

#[sqlx::test(migrations = false)]
async fn migrating_twice_at_once_and_back_works(pool: PgPool) {
    assert_eq!(
        pending_migrations(&pool, &MIGRATOR).await.unwrap().len(),
        MIGRATOR.iter().filter(|m| m.migration_type.is_up_migration()).count()
    );
    let before = schema(&pool).await;
    let (one, two, three) = tokio::join!(MIGRATOR.run(&pool), MIGRATOR.run(&pool), MIGRATOR.run(&pool));
    one.and(two).and(three).unwrap();
    assert!(pending_migrations(&pool, &MIGRATOR).await.unwrap().is_empty());
    let migrated = schema(&pool).await;
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(schema(&pool).await, migrated);
    MIGRATOR.undo(&pool, 0).await.unwrap();
    let undone: BTreeSet<_> =
        schema(&pool).await.into_iter().filter(|fact| !fact.contains("_sqlx_migrations")).collect();
    assert_eq!(undone, before);
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(schema(&pool).await, migrated);
}

#[sqlx::test(migrations = false)]
async fn a_dump_may_be_loaded_before_or_after_migrating(pool: PgPool) {
    load_as_psql_does(&pool).await;
    MIGRATOR.run(&pool).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql"));
    let loaded = load_file(&mut connection, path, Mode::Replace, rules()).await.unwrap();
    assert!(loaded.prices > 50_000);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn the_checks_of_the_schema_hold(pool: PgPool) {
    pool.execute(
        "insert into suppliers (name) values ('acme');
         insert into batches (supplier, state, content_sha256, content_bytes)
         values ('acme', 'storing', sha256('content'), 1);
         update prices set batch_id = (select id from batches) where day = '2021-01-04'",
    )
    .await
    .unwrap();
    for (statement, constraint) in [
        ("insert into prices values ('CNGGZ', 'EETLL', '2021-01-01', 0)", "prices_price_positive"),
        ("insert into prices values ('CNGGZ', 'EETLL', 'infinity', 1)", "prices_day_finite"),
        ("insert into prices values ('CNGGZ', 'XXXXX', '2021-01-01', 1)", "there is no port XXXXX"),
        ("insert into ports values ('cnggz', 'x', 'asia')", "ports_code_format"),
        ("insert into ports values ('XXXXX', 'x', 'nowhere')", "ports_parent_slug_fkey"),
        ("insert into regions values ('Asia', 'x', null)", "regions_slug_format"),
        ("insert into prices values ('XXXXX', 'EETLL', '2021-01-01', 1)", "there is no port XXXXX"),
        ("update prices set dest_code = 'XXXXX'", "there is no port XXXXX"),
        ("delete from ports where code = 'CNGGZ'", "port CNGGZ has prices"),
        ("delete from ports where code = 'EETLL'", "port EETLL has prices"),
        ("update ports set code = 'XXXXX' where code = 'EETLL'", "port EETLL has prices"),
        ("truncate ports", "has prices"),
        ("delete from batches", "has prices"),
        ("update regions set parent_slug = 'china_south' where slug = 'asia'", "would be below itself"),
        ("update regions set parent_slug = slug where slug = 'asia'", "would be below itself"),
    ] {
        let error = pool.execute(statement).await.expect_err(statement).to_string();
        assert!(error.contains(constraint), "{statement}: {error}");
    }
}

/// Two transactions, of which the second waits for the first: a port goes, and a price of it comes.
#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn no_price_comes_while_its_port_goes(pool: PgPool) {
    const LOSE: &str = "delete from ports where code = 'NONEW'";
    const PRICE: &str = "insert into prices values ('NONEW', 'EETLL', '2021-01-01', 1)";
    for begin in ["begin", "begin isolation level repeatable read"] {
        for (first, second, refusal) in [(LOSE, PRICE, "there is no port"), (PRICE, LOSE, "has prices")] {
            pool.execute(
                "delete from prices where orig_code = 'NONEW'; delete from ports where code = 'NONEW'",
            )
            .await
            .unwrap();
            pool.execute("insert into ports values ('NONEW', 'New', 'baltic')").await.unwrap();
            let mut one = pool.begin().await.unwrap();
            let mut other = pool.begin_with(begin).await.unwrap();
            // From now on, repeatable reads show this state.
            other.execute("select from prices limit 1").await.unwrap();
            one.execute(first).await.unwrap();
            let waiting = tokio::spawn(async move { other.execute(second).await.map(|_| ()) });
            wait_for_a_lock(&pool).await;
            one.commit().await.unwrap();
            let error = waiting.await.unwrap().expect_err(first).to_string();
            let is_expected = error.contains(refusal) || error.contains("could not serialize access");
            assert!(is_expected, "{begin}, {first}: {error}");
        }
    }
}

async fn wait_for_a_lock(pool: &PgPool) {
    let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(pool).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn the_table_of_jobs_is_that_of_the_chassis() {
    chassis::testing::assert_makes_jobs_table(include_str!(
        "../../../db/migrations/20260101000004_jobs.up.sql"
    ));
}
