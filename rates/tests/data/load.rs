use std::{io::Write, path::Path};

use rates::{
    batches::parse::ParsedContent,
    load::{LoadError, Loaded, Mode, load_file},
};
use sqlx::PgPool;
use tempfile::NamedTempFile;

use crate::support::{Instance, rules};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql");

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

async fn load(pool: &PgPool, path: &Path, mode: Mode) -> Result<Loaded, LoadError> {
    load_file(&mut pool.acquire().await.unwrap(), path, mode, rules()).await
}

/// The faults for which a file of prices is not loaded.
async fn faults(pool: &PgPool, text: &str, mode: Mode) -> ParsedContent {
    match load(pool, file(text.as_bytes()).path(), mode).await {
        Err(LoadError::Faults(content)) => content,
        other => panic!("{text}: {other:?}"),
    }
}

async fn count(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from prices").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_sample_is_loaded_and_answers(pool: PgPool) {
    let loaded = load(&pool, Path::new(SAMPLE), Mode::IntoEmpty).await.unwrap();
    assert_eq!((loaded.regions, loaded.ports), (47, 120));
    assert_eq!(i64::try_from(loaded.prices).unwrap(), count(&pool).await);
    let instance = Instance::new(&pool);
    for year in ["2016", "2021"] {
        let answer = instance
            .rates("CNGGZ", "EETLL", &format!("{year}-01-01"), &format!("{year}-01-31"))
            .await
            .expect(200)
            .json();
        assert!(answer["rates"].as_array().unwrap().iter().any(|rate| rate["price"].is_number()), "{answer}");
    }
}

/// The server's pool keeps one plan for all; percentiles between continents would take a hundred times as long by it.
#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn percentiles_of_continents_over_ten_years_are_no_long_read(pool: PgPool) {
    load(&pool, Path::new(SAMPLE), Mode::IntoEmpty).await.unwrap();
    sqlx::query("analyze").execute(&pool).await.unwrap();
    let options = pool.connect_options().as_ref().clone();
    let options = options.options([("plan_cache_mode", "force_generic_plan"), ("statement_timeout", "2000")]);
    let as_served = sqlx::postgres::PgPoolOptions::new().connect_with(options).await.unwrap();
    let days = "date_from=2012-01-01&date_to=2021-12-31&orig_code=asia&dest_code=europe";
    let answer = Instance::new(&as_served).get(&format!("/rates?{days}&statistics=full")).await.expect(200);
    assert!(answer.json()["rates"].as_array().unwrap().iter().any(|rate| rate["median"].is_number()));
    as_served.close().await;
}

/// The request that the README shows has the answer that the README shows.
#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_answer_in_the_readme_is_the_answer(pool: PgPool) {
    let readme = include_str!("../../../README.md");
    let uri =
        readme.split("curl 'http://localhost:3000").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let body = readme.split("```json\n").nth(1).and_then(|rest| rest.split('\n').next()).unwrap();
    load(&pool, Path::new(SAMPLE), Mode::IntoEmpty).await.unwrap();
    assert_eq!(Instance::new(&pool).get(uri).await.expect(200).text(), body);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn existing_prices_are_kept_added_to_or_replaced(pool: PgPool) {
    let path = Path::new(SAMPLE);
    let once = load(&pool, path, Mode::IntoEmpty).await.unwrap().prices.cast_signed();
    assert!(matches!(load(&pool, path, Mode::IntoEmpty).await, Err(LoadError::NotEmpty)));
    assert_eq!(count(&pool).await, once);
    load(&pool, path, Mode::Append).await.unwrap();
    assert_eq!(count(&pool).await, 2 * once);
    let small = file(
        b"COPY public.ports (code, name, parent_slug) FROM stdin;\nAAAAA\tA\tr\n\\.\n\
          COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\nAAAAA\tAAAAA\t2021-01-01\t1\n\\.\n\
          COPY public.regions (slug, name, parent_slug) FROM stdin;\nr\tR\t\\N\n\\.\n",
    );
    load(&pool, small.path(), Mode::Replace).await.unwrap();
    assert_eq!(count(&pool).await, 1);
    let instance = Instance::new(&pool);
    assert_eq!(instance.get("/ports").await.json()["ports"].as_array().unwrap().len(), 1);
    assert_eq!(instance.rates("r", "r", "2021-01-01", "2021-01-01").await.json()["rates"][0]["count"], 1);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn csv_is_read_whatever_the_order_of_its_columns_and_gzipped_too(pool: PgPool) {
    let before = count(&pool).await;
    let csv =
        b"price,day,dest_code,orig_code\r\n5,2022-01-01,\"EETLL\",CNGGZ\r\n 6 ,2022-01-01,EETLL,CNGGZ\r\n";
    load(&pool, file(csv).path(), Mode::Append).await.unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(csv).unwrap();
    load(&pool, file(&packed.finish().unwrap()).path(), Mode::Append).await.unwrap();
    assert_eq!(count(&pool).await, before + 4);
    let answer = Instance::new(&pool).rates("CNGGZ", "EETLL", "2022-01-01", "2022-01-01").await.json();
    assert_eq!(answer["rates"][0]["price"], 5.5);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_file_with_a_fault_loads_nothing(pool: PgPool) {
    let before = count(&pool).await;
    for mode in [Mode::Append, Mode::Replace] {
        let header = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2022-01-01,5\n";
        for (row, field, code) in [
            ("CNGGX,EETLL,2022-01-01,5\n", "orig_code", "unknown"),
            ("CNGGZ,EETLL,2022-02-30,5\n", "day", "not_a_day"),
            ("CNGGZ,EETLL,infinity,5\n", "day", "malformed"),
            ("CNGGZ,EETLL,2022-01-01,0\n", "price", "out_of_range"),
            ("CNGGZ,EETLL,2022-01-01,5.5\n", "price", "malformed"),
            ("CNGGZ,EETLL,2022-01-01,99999999999\n", "price", "out_of_range"),
            ("CNGGZ,EETLL,2022-01-01\n", "row", "wrong_column_count"),
            ("CNGGZ,EETLL,2022-01-01,\"5\t6\"\n", "price", "malformed"),
            ("CNGGZ,EETLL,2022-01-01,\\N\n", "price", "malformed"),
        ] {
            let content = faults(&pool, &format!("{header}{row}"), mode).await;
            let faults: Vec<_> =
                content.faults.iter().map(|fault| (fault.row, &*fault.field, &*fault.code)).collect();
            assert_eq!(faults, [(Some(3), field, code)], "{row}");
        }
        assert_eq!(count(&pool).await, before, "{mode:?}");
    }
    for header in ["orig_code,dest_code,day\n", "orig_code|dest_code|day|price\n"] {
        let content = faults(&pool, header, Mode::Append).await;
        assert_eq!((&*content.faults[0].field, content.total_faults), ("header", 1), "{content:?}");
    }
    for (content, part) in [
        ("", "neither a plain pg_dump"),
        ("hello\n", "nor CSV with the header orig_code,dest_code,day,price"),
        (
            "COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\nCNGGZ\tEETLL\t2022-01-01\t5\n",
            "it is incomplete",
        ),
    ] {
        let error = load(&pool, file(content.as_bytes()).path(), Mode::Append).await.expect_err(content);
        assert!(error.to_string().contains(part), "{content}: {error}");
    }
    assert!(matches!(load(&pool, Path::new("/nowhere"), Mode::Append).await, Err(LoadError::Input(_))));
    assert_eq!(count(&pool).await, before);
}

/// `rates push` numbers the rows of this file in the same way.
#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn all_faults_of_a_file_are_counted_and_the_first_hundred_listed_by_row(pool: PgPool) {
    let before = count(&pool).await;
    let mut text = String::from("orig_code,dest_code,day,price\n");
    for row in 1..=150 {
        text.push_str(if row % 2 == 0 { "CNGGZ,XXXXX,2022-01-01,5\n" } else { "CNGGZ,EETLL,x,5\n" });
    }
    let content = faults(&pool, &text, Mode::Append).await;
    assert_eq!((content.rows, content.total_faults), (150, 150));
    let rows: Vec<_> = content.faults.iter().filter_map(|fault| fault.row).collect();
    assert_eq!(rows, (2..=101).collect::<Vec<_>>());
    assert!(content.faults[1].detail.contains("XXXXX"), "{:?}", content.faults[1]);
    assert_eq!(count(&pool).await, before);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn a_replacement_withdraws_the_batches_whose_prices_it_deletes(pool: PgPool) {
    sqlx::raw_sql(
        "insert into suppliers values ('acme');
         insert into batches (supplier, state, content_sha256, content_bytes, rows, prices, days, lanes, data_version,
                              ended_at)
         values ('acme', 'done', sha256('x'), 1, 1, 1, 1, 1, 1, now());
         insert into prices values ('CNGGZ', 'EETLL', '2021-01-09', 5, 1)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let csv = file(b"orig_code,dest_code,day,price\nCNGGZ,EETLL,2022-01-01,5\n");
    assert_eq!(load(&pool, csv.path(), Mode::Replace).await.unwrap().prices, 1);
    assert_eq!(count(&pool).await, 1);
    let (state, is_newest): (String, bool) =
        sqlx::query_as("select state, batches.data_version = version from batches, data_version")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(state, "withdrawn", "its prices are gone");
    assert!(is_newest, "this version is the first without them");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn prices_are_loaded_even_if_the_statistics_cannot_be_updated(pool: PgPool) {
    let before = count(&pool).await;
    // VACUUM needs this lock, too; storing prices does not.
    let mut locked = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table prices in share update exclusive mode").execute(&mut *locked).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("set lock_timeout = '200ms'").execute(&mut *connection).await.unwrap();
    let csv = file(b"orig_code,dest_code,day,price\nCNGGZ,EETLL,2022-01-01,5\n");
    load_file(&mut connection, csv.path(), Mode::Append, rules()).await.unwrap();
    locked.rollback().await.unwrap();
    assert_eq!(count(&pool).await, before + 1);
}

#[sqlx::test(migrations = false)]
async fn a_database_without_the_schema_is_refused(pool: PgPool) {
    assert!(matches!(load(&pool, Path::new(SAMPLE), Mode::IntoEmpty).await, Err(LoadError::NotMigrated)));
}
