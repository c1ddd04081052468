use std::{io::Write, path::Path};

use rates::load::{LoadError, Loaded, Mode, load_file};
use sqlx::PgPool;
use tempfile::NamedTempFile;

use crate::support::Instance;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql");

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

async fn load(pool: &PgPool, path: &Path, mode: Mode) -> Result<Loaded, LoadError> {
    load_file(&mut pool.acquire().await.unwrap(), path, mode).await
}

async fn count(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from prices").fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_sample_goes_in_and_answers(pool: PgPool) {
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
async fn prices_that_are_there_are_kept_added_to_or_replaced_as_told(pool: PgPool) {
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
    let csv = b"price,day,note,dest_code,orig_code\r\n5,2022-01-01,\"a, b\",EETLL,CNGGZ\r\n 6 ,2022-01-01,,EETLL,CNGGZ\r\n";
    load(&pool, file(csv).path(), Mode::Append).await.unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(csv).unwrap();
    load(&pool, file(&packed.finish().unwrap()).path(), Mode::Append).await.unwrap();
    assert_eq!(count(&pool).await, before + 4);
    let answer = Instance::new(&pool).rates("CNGGZ", "EETLL", "2022-01-01", "2022-01-01").await.json();
    assert_eq!(answer["rates"][0]["price"], 5.5);
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn of_a_file_with_a_fault_nothing_goes_in(pool: PgPool) {
    let before = count(&pool).await;
    let header = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2022-01-01,5\n";
    for (rows, part) in [
        ("CNGGX,EETLL,2022-01-01,5\n", "prices_orig_code_fkey"),
        ("CNGGZ,EETLL,2022-02-30,5\n", "date/time field value out of range"),
        ("CNGGZ,EETLL,infinity,5\n", "prices_day_finite"),
        ("CNGGZ,EETLL,2022-01-01,0\n", "prices_price_positive"),
        ("CNGGZ,EETLL,2022-01-01,5.5\n", "invalid input syntax for type integer"),
        ("CNGGZ,EETLL,2022-01-01,99999999999\n", "out of range for type integer"),
        ("CNGGZ,EETLL,2022-01-01\n", "line 3: 3 columns where 4 are due"),
        ("CNGGZ,EETLL,2022-01-01,\"5\t6\"\n", "line 3: price has a control character"),
        ("CNGGZ,EETLL,2022-01-01,\\N\n", "line 3: price has a control character"),
    ] {
        let error = load(&pool, file(format!("{header}{rows}").as_bytes()).path(), Mode::Append)
            .await
            .expect_err(rows);
        assert!(format!("{error} {error:?}").contains(part), "{rows}: {error:?}");
    }
    for (content, part) in [
        ("", "neither a plain pg_dump nor CSV"),
        ("hello\n", "neither a plain pg_dump nor CSV"),
        ("orig_code,dest_code,day\n", "the header has no column price"),
        ("orig_code,dest_code,day,price,price\n", "the header has the column price twice"),
        (
            "COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\nCNGGZ\tEETLL\t2022-01-01\t5\n",
            "it is not whole",
        ),
    ] {
        let error = load(&pool, file(content.as_bytes()).path(), Mode::Append).await.expect_err(content);
        assert!(error.to_string().contains(part), "{content}: {error}");
    }
    assert!(matches!(load(&pool, Path::new("/nowhere"), Mode::Append).await, Err(LoadError::Input(_))));
    assert_eq!(count(&pool).await, before);
}

#[sqlx::test(migrations = false)]
async fn a_database_without_the_schema_is_refused(pool: PgPool) {
    assert!(matches!(load(&pool, Path::new(SAMPLE), Mode::IntoEmpty).await, Err(LoadError::NotMigrated)));
}
