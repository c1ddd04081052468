//! `POST /prices`.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::{Problem, problem::ProblemBody};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;

use super::{
    batches::BatchBody,
    upload_headers::{UploadHeaders, UploadParams},
};
use crate::{
    app::App,
    batches::{
        BatchError, Upload, pace,
        parse::{Content, Digest},
        spool::Spool,
        sql::{self, Batch, BatchState, Identity},
        stage_spooled, store_staged,
        worker::QueuedBatch,
    },
    suppliers::Supplier,
};

/// The prices of a batch; the array alone is accepted, too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `batches::parse` reads")]
pub(crate) struct Prices {
    prices: Vec<Price>,
}

/// A price on a day.
#[derive(ToSchema)]
#[expect(dead_code, clippy::struct_field_names, reason = "describes the body that `batches::parse` reads")]
pub(crate) struct Price {
    /// UN/LOCODE.
    #[schema(examples("CNGGZ"))]
    orig_code: String,
    /// UN/LOCODE.
    #[schema(examples("EETLL"))]
    dest_code: String,
    day: NaiveDate,
    /// US dollars.
    #[schema(minimum = 1, maximum = 2_147_483_647_i64, examples(1150))]
    price: i32,
}

/// A file of prices: CSV with the header row `orig_code,dest_code,day,price`, or NDJSON with a `Price` per line.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes the body that `batches::parse` reads")]
pub(crate) struct PriceFile(Vec<u8>);

/// The content has faults; nothing was stored.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the problem that `BatchError` becomes")]
pub(crate) struct UnacceptablePrices {
    #[serde(flatten)]
    problem: ProblemBody,
    /// The number of all faults in the rows that were read; `errors` lists the first hundred.
    #[schema(examples(150))]
    total: u64,
    /// Whether there were so many faults that the rest was not read.
    #[schema(examples(false))]
    stopped: bool,
    /// The number of rows that were read.
    #[schema(examples(100_000))]
    rows: u64,
}

/// Store a batch of prices: all of them, or none.
///
/// The content is JSON, NDJSON (an object per line) or comma-separated CSV with a header row, plain or gzip. A repeated
/// batch is answered with the first result and stored once: the same `Idempotency-Key`, or, without one, the same
/// content.
#[utoipa::path(
    post, path = "/prices", tag = "batches", security(("key" = [])), params(UploadParams),
    request_body(content(
        (Prices = "application/json"),
        (PriceFile = "application/x-ndjson", example = "{\"orig_code\":\"CNGGZ\",\"dest_code\":\"EETLL\",\"day\":\"2021-01-31\",\"price\":1150}\n"),
        (PriceFile = "text/csv", example = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-01-31,1150\n"),
    )),
    responses(
        (status = 201, description = "All prices are stored", body = BatchBody, headers(("Location" = String, description = "The batch"))),
        (status = 200, description = "The batch was sent before; this is its current state", body = BatchBody),
        (status = 202, description = "The content is queued; the batch at `Location` shows its progress", body = BatchBody),
        (status = 400, description = "The upload ended early, or a header is wrong"),
        (status = 401, description = "No valid key"),
        (status = 408, description = "The upload was too slow"),
        (status = 409, description = "The `Idempotency-Key` was already used for different content"),
        (status = 413, description = "The content is too large; split it"),
        (status = 415, description = "The media type or the encoding is not supported"),
        (status = 422, description = "The content has faults; nothing was stored", body = UnacceptablePrices, content_type = "application/problem+json"),
        (status = 429, description = "Too many writes or wrong keys, or too many uploads of this supplier at once; `Retry-After` says when to try again"),
        (status = 503, description = "Too many uploads at once, or the database is unreachable; `Retry-After` says when to try again"),
    ),
)]
pub(crate) async fn post_prices(
    State(app): State<App>,
    supplier: Supplier,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let _slot = app.uploads.enter(&supplier.name)?;
    let answer = take_batch(&app, &supplier, &headers, body).await;
    match &answer {
        Ok(response) if response.status() == StatusCode::CREATED => app.outcomes.count_done(),
        Ok(_) => {}
        Err(problem) => app.outcomes.count_problem(problem),
    }
    answer
}

/// A parsed request and its supplier.
struct Request<'a> {
    app: &'a App,
    supplier: &'a Supplier,
    headers: UploadHeaders<'a>,
}

async fn take_batch(
    app: &App,
    supplier: &Supplier,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = Request { app, supplier, headers: UploadHeaders::parse(headers)? };
    let period = Duration::from_secs_f64(app.batches.upload_period_seconds);
    let upload = Upload {
        pieces: pace::paced(body.into_data_stream(), app.batches.upload_bytes_per_second, period),
        gzip: request.headers.gzip,
        limit: app.batches.body_limit_bytes as u64,
    };
    // All of it is there before a connection is taken for the batch: the client may send for as long as it may.
    let mut spool = Spool::new(&app.pieces);
    let received = if request.headers.respond_async {
        let digest = upload.spool_content(&mut spool).await?;
        Received::Content { digest, number: spool.store_all().await? }
    } else {
        Received::Rows(upload.spool_rows(request.headers.format, &mut spool).await?)
    };
    let mut connection = app.database.for_batch().await?;
    let mut transaction = connection.unlimited().begin().await?;
    let outcome = match received {
        Received::Content { digest, number } => request.queue(&mut transaction, digest, number).await?,
        Received::Rows(content) => request.store(&mut transaction, content, &spool).await?,
    };
    if matches!(outcome, Outcome::Repeated(_)) {
        transaction.rollback().await?;
    } else {
        if matches!(outcome, Outcome::Queued(_)) {
            // Before the commit, which may happen without an answer.
            spool.keep();
        }
        transaction.commit().await.map_err(BatchError::Database)?;
    }
    match &outcome {
        Outcome::Queued(_) => app.queue.wake(),
        // The next read on this instance must include what it just acknowledged.
        Outcome::Stored(Batch { data_version: Some(version), .. }) => {
            app.lanes.freshness.acknowledge(*version).await;
        }
        _ => {}
    }
    Ok(outcome.into_response())
}

/// What a client has sent, in a spool.
enum Received {
    /// Rows, to be stored while the client waits.
    Rows(Content),
    /// Content under this number, for a worker.
    Content { digest: Digest, number: i64 },
}

impl Request<'_> {
    /// Checks and stores the prices while the client waits.
    async fn store(
        &self,
        transaction: &mut PgConnection,
        mut content: Content,
        spool: &Spool<'_>,
    ) -> Result<Outcome, Problem> {
        stage_spooled(&mut *transaction, spool, &mut content).await?;
        self.supplier.check_key(&mut *transaction).await?;
        // Before the search for an earlier batch: content with faults cannot repeat one that was stored, because a port
        // cannot be deleted while prices name it.
        let content = content.accept()?;
        if let Some(first) = self.find_first(&mut *transaction, content.digest).await? {
            return Ok(Outcome::Repeated(first));
        }
        let identity = self.identity(content.digest);
        let batch = sql::insert(&mut *transaction, identity, BatchState::Processing).await?;
        let stored = store_staged(transaction, batch.id, content.rows).await;
        Ok(Outcome::Stored(stored.map_err(BatchError::Database)?))
    }

    /// Leaves the stored content to a worker, to process it in the background.
    async fn queue(
        &self,
        transaction: &mut PgConnection,
        digest: Digest,
        content: i64,
    ) -> Result<Outcome, Problem> {
        self.supplier.check_key(&mut *transaction).await?;
        if let Some(first) = self.find_first(&mut *transaction, digest).await? {
            return Ok(Outcome::Repeated(first));
        }
        let batch = sql::insert(&mut *transaction, self.identity(digest), BatchState::Queued).await?;
        let queued = QueuedBatch { batch: batch.id, content, format: self.headers.format };
        self.app.queue.put(transaction, &queued.payload()).await?;
        Ok(Outcome::Queued(batch))
    }

    fn identity(&self, digest: Digest) -> Identity<'_> {
        Identity { supplier: &self.supplier.name, idempotency_key: self.headers.idempotency_key, digest }
    }

    /// The batch that this one repeats; 409 if it has the same name and other content.
    async fn find_first(
        &self,
        transaction: &mut PgConnection,
        digest: Digest,
    ) -> Result<Option<Batch>, Problem> {
        let seconds = self.app.batches.same_content_seconds;
        let first = sql::find_same(transaction, self.identity(digest), seconds).await?;
        match first {
            Some(first) if first.content_sha256 != digest.sha256 => Err(Problem::new(StatusCode::CONFLICT)
                .kind("idempotency-key-reused", "Idempotency-Key used for different content")
                .detail(format!(
                    "Batch {} already uses this Idempotency-Key for different content; use another Idempotency-Key.",
                    first.id
                ))),
            first => Ok(first),
        }
    }
}

/// The successful outcomes of a request.
enum Outcome {
    Stored(Batch),
    Queued(Batch),
    Repeated(Batch),
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let is_queued = matches!(self, Self::Queued(_));
        let (status, batch) = match self {
            Self::Stored(batch) => (StatusCode::CREATED, batch),
            Self::Queued(batch) => (StatusCode::ACCEPTED, batch),
            Self::Repeated(batch) => (StatusCode::OK, batch),
        };
        let location = format!("/batches/{}", batch.id);
        let body = Json(BatchBody::from(batch));
        let mut response = (status, [(header::LOCATION, location)], body).into_response();
        if is_queued {
            let applied = HeaderName::from_static("preference-applied");
            response.headers_mut().insert(applied, HeaderValue::from_static("respond-async"));
        }
        response
    }
}
