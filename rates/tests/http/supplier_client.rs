//! What tests of uploads share: the requests of suppliers and what the database holds afterwards.

use std::{io::Write, time::Duration};

use axum::body::Body;
use chassis::Stop;
use flate2::{Compression, write::GzEncoder};
use http::Request;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{Answer, Instance};

pub const CSV: &str = "text/csv";
pub const JSON: &str = "application/json";
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
pub const NDJSON: &str = "application/x-ndjson";

/// Three prices on two days and two lanes, of the ports in suppliers.sql.
pub const ROWS: &str = "orig_code,dest_code,day,price\nCNSGH,NLRTM,2021-01-01,100\n\
                        CNSGH,NLRTM,2021-01-01,200\nCNSGH,GBFXT,2021-01-02,300\n";

impl Instance {
    /// Posts prices as the supplier acme.
    pub async fn post(&self, content_type: &str, body: impl Into<Body>) -> Answer {
        self.post_with(content_type, body, &[]).await
    }

    pub async fn post_with(
        &self,
        content_type: &str,
        body: impl Into<Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.post_to("/prices", content_type, body, headers).await
    }

    pub async fn post_to(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::post(path)
            .header("content-type", content_type)
            .header("authorization", "Bearer rates_1_one");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn ask(&self, method: &str, path: &str, key: &str) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

/// What only answers about batches are expected to be.
pub trait ExpectFaults {
    /// 422 with exactly these faults: row, field and code.
    fn expect_faults(self, faults: &[(Option<u64>, &str, &str)]) -> Value;
}

impl ExpectFaults for Answer {
    #[track_caller]
    fn expect_faults(self, faults: &[(Option<u64>, &str, &str)]) -> Value {
        let fields: Vec<_> = faults.iter().map(|(_, field, code)| (*field, *code)).collect();
        let body = self.expect_problem(422, &fields);
        let errors = body["errors"].as_array().unwrap();
        let rows: Vec<_> = errors.iter().map(|error| error["row"].as_u64()).collect();
        assert_eq!(rows, faults.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), "{body}");
        assert!(
            errors.iter().all(|error| error["detail"].as_str().is_some_and(|text| !text.is_empty())),
            "{body}"
        );
        assert_eq!(body["total"], faults.len(), "{body}");
        body
    }
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

pub async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()
}

pub async fn count_prices(pool: &PgPool) -> i64 {
    count(pool, "select count(*) from prices").await
}

/// Works until no batch is queued.
pub async fn work_off(instance: &Instance, pool: &PgPool) {
    work_until(instance, pool, "select count(*) from jobs where queue = 'batches'").await;
}

/// Delivers messages until none waits.
pub async fn work_hooks_off(instance: &Instance, pool: &PgPool) {
    let waiting = "select count(*) from jobs where queue = 'hooks'";
    run_until(|stop| instance.app.hook_workers().run(2, stop), pool, waiting).await;
}

/// Runs a worker until this query counts nothing; gives up after a minute.
pub async fn work_until(instance: &Instance, pool: &PgPool, waiting: &str) {
    run_until(|stop| instance.app.batch_workers().run(1, stop), pool, waiting).await;
}

async fn run_until<F>(work: impl FnOnce(Stop) -> F, pool: &PgPool, waiting: &str)
where
    F: Future<Output = ()> + Send + 'static,
{
    let stop = Stop::default();
    let worker = tokio::spawn(work(stop.clone()));
    let jobs_done = async {
        while count(pool, waiting).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), jobs_done)
        .await
        .expect("the worker is done within a minute");
    stop.begin();
    worker.await.unwrap();
}
