//! Sheets of `LibreOffice` and pandas (`tests/sheets`), with names of columns that only their supplier uses.

use rates::database::Database;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    supplier_client::{CSV, ExpectFaults, XLSX, work_off},
    support::Instance,
};

const NAMES: [(&str, &str); 1] = [(
    "RATES__BATCHES__COLUMN_NAMES",
    "pol=orig_code, pod=dest_code, all in=price@acme, remarks=-@acme, remarks=price@other",
)];

const SHEETS: [(&str, &str, &[u8]); 6] = [
    ("libreoffice.xlsx", XLSX, include_bytes!("../sheets/libreoffice.xlsx")),
    ("libreoffice_semicolon.csv", CSV, include_bytes!("../sheets/libreoffice_semicolon.csv")),
    ("libreoffice_tab.csv", CSV, include_bytes!("../sheets/libreoffice_tab.csv")),
    ("pandas.xlsx", XLSX, include_bytes!("../sheets/pandas.xlsx")),
    ("pandas_bom.csv", CSV, include_bytes!("../sheets/pandas_bom.csv")),
    ("pandas_comma.csv", CSV, include_bytes!("../sheets/pandas_comma.csv")),
];

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn sheets_of_libreoffice_and_pandas_have_the_prices_that_they_show(pool: PgPool) {
    let instance = Instance::with(Database::of(pool.clone()), &NAMES);
    for (name, format, sheet) in SHEETS {
        for headers in [&[][..], &[("prefer", "respond-async"), ("idempotency-key", "queued")]] {
            let answer = instance.post_with(format, sheet, headers).await;
            work_off(&instance, &pool).await;
            let path = answer.header("location");
            let batch = instance.ask("GET", path, "rates_1_one").await.expect(200).json();
            assert_eq!((&batch["state"], &batch["rows"]), (&json!("done"), &json!(3)), "{name}: {batch}");
            let prices = instance.ask("GET", &format!("{path}/prices"), "rates_1_one").await.expect(200);
            assert_eq!(
                prices.text(),
                "orig_code,dest_code,day,price\nCNSGH,GBFXT,2021-02-01,975\nCNSGH,GBFXT,2021-02-03,975\n\
                 CNSGH,NLRTM,2021-01-31,1150\nCNSGH,NLRTM,2021-02-01,1150\n",
                "{name}"
            );
            instance.ask("DELETE", path, "rates_1_one").await.expect(200);
            sqlx::query("update batches set idempotency_key = null").execute(&pool).await.unwrap();
        }
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn faults_name_the_rows_that_the_sheet_shows(pool: PgPool) {
    let instance = Instance::with(Database::of(pool.clone()), &NAMES);
    sqlx::query("delete from ports where code = 'GBFXT'").execute(&pool).await.unwrap();
    for (name, format, sheet) in SHEETS {
        // LibreOffice's have an empty row 3.
        let rows = if name.starts_with("libreoffice") { [4, 5] } else { [3, 4] };
        let unknown = rows.map(|row| (Some(row), "dest_code", "unknown"));
        instance.post_to("/prices?dry_run=true", format, sheet, &[]).await.expect_faults(&unknown);
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../suppliers.sql"))]
async fn another_supplier_has_other_names(pool: PgPool) {
    let instance = Instance::with(Database::of(pool.clone()), &NAMES);
    sqlx::query("update api_keys set supplier = 'other' where id = 1").execute(&pool).await.unwrap();
    let sheet = "POL,POD,day,Remarks\nCNSGH,NLRTM,2021-01-31,5\n";
    instance.post(CSV, sheet).await.expect(201);
    let body = instance.post(CSV, SHEETS[5].2).await.expect_faults(&[(None, "header", "malformed")]);
    let detail = body["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("\"All in\" is not a column of prices"), "{detail}");
}
