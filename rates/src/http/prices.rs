//! `POST /prices`.

use std::{error::Error, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chassis::{Problem, problem::ProblemBody};
use chrono::{NaiveDate, Utc};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;

use super::{
    batches::{BatchBody, acknowledge},
    upload_headers::{UploadHeaderParams, UploadHeaders},
    upload_query::{UploadQuery, UploadQueryParams},
};
use crate::{
    app::App,
    batches::{
        BatchError, StagedSummary, Upload, not_replaceable, pace,
        parse::{Digest, Format, ParsedContent},
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

/// A price on a day, or on each day of a window.
#[derive(ToSchema)]
#[expect(dead_code, clippy::struct_field_names, reason = "describes the body that `batches::parse` reads")]
pub(crate) struct Price {
    /// UN/LOCODE.
    #[schema(examples("CNGGZ"))]
    orig_code: String,
    /// UN/LOCODE.
    #[schema(examples("EETLL"))]
    dest_code: String,
    /// At most as many days in the future as configured: 400 by default.
    day: Option<NaiveDate>,
    /// In place of `day`: the first day of a window.
    valid_from: Option<NaiveDate>,
    /// In place of `day`: the last day of a window.
    valid_to: Option<NaiveDate>,
    /// US dollars, at most as configured: 1,000,000 by default.
    #[schema(minimum = 1, maximum = 2_147_483_647_i64, examples(1150))]
    price: i32,
}

/// A file of prices: CSV (separated by commas, semicolons or tabs) whose first row names the columns `orig_code`,
/// `dest_code`, `price` and `day` (or `valid_from` and `valid_to`) in any order; a workbook (XLSX) whose first sheet is such
/// a table; or NDJSON with a `Price` per line.
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
/// The content is JSON, NDJSON (an object per line), or CSV or XLSX with a header row, plain or gzip. A repeated
/// batch is answered with the first result and stored once: the same `Idempotency-Key`, or, without one, the same
/// content.
#[utoipa::path(
    post, path = "/prices", tag = "batches", security(("key" = []), ("login" = [])), params(UploadHeaderParams, UploadQueryParams),
    request_body(content(
        (Prices = "application/json", example = json!([{"orig_code": "CNGGZ", "dest_code": "EETLL", "day": "2021-01-31", "price": 1150}])),
        (PriceFile = "application/x-ndjson", example = "{\"orig_code\":\"CNGGZ\",\"dest_code\":\"EETLL\",\"day\":\"2021-01-31\",\"price\":1150}\n"),
        (PriceFile = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (PriceFile = "text/csv", example = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-01-31,1150\n"),
    )),
    responses(
        (status = 201, description = "All prices are stored", body = BatchBody, headers(("Location" = String, description = "The batch"))),
        (status = 200, description = "The batch was sent before, and this is its current state; or, after a dry run, the content has no fault", body = BatchBody),
        (status = 202, description = "The content is queued; the batch at `Location` shows its progress", body = BatchBody),
        (status = 400, description = "The upload ended early, or a header or parameter is wrong"),
        (status = 401, description = "No valid key"),
        (status = 403, description = "The key may not write, or the batch to replace belongs to another supplier"),
        (status = 404, description = "There is no batch to replace"),
        (status = 408, description = "The upload was too slow"),
        (status = 409, description = "The `Idempotency-Key` was already used for different content, or the batch to replace has no prices"),
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
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = UploadQuery::parse(&query.unwrap_or_default())?;
    let _slot = app.uploads.enter(&supplier.name)?;
    let is_dry_run = query.dry_run;
    let answer = take_batch(&app, &supplier, query, &headers, body).await;
    match &answer {
        _ if is_dry_run => {}
        Ok(response) if response.status() == StatusCode::CREATED => app.outcomes.count_done(),
        Ok(_) => {}
        Err(problem) => app.outcomes.count_problem(problem),
    }
    answer
}

/// A parsed request and its supplier.
struct BatchUpload<'a> {
    app: &'a App,
    supplier: &'a Supplier,
    query: UploadQuery,
    headers: UploadHeaders<'a>,
}

async fn take_batch(
    app: &App,
    supplier: &Supplier,
    query: UploadQuery,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let request = BatchUpload { app, supplier, query, headers: UploadHeaders::parse(headers)? };
    let period = Duration::from_secs_f64(app.batch_settings.upload_period_seconds);
    let rules = app.rules.clone().of_supplier(&supplier.name);
    let upload = Upload {
        pieces: pace::paced(body.into_data_stream(), app.batch_settings.upload_bytes_per_second, period),
        gzip: request.headers.gzip,
        rules,
    };
    // Receive everything first: a slow client must not hold a connection.
    let mut spool = Spool::new(&app.pieces);
    // A dry run leaves nothing for a worker, so the client waits for its result.
    let received = if request.headers.respond_async && !request.query.dry_run {
        let digest = upload.spool_content(&mut spool).await?;
        Received::Unparsed { digest, content_id: spool.store_all().await? }
    } else if request.headers.format == Format::Xlsx {
        let (content, rows) = read_workbook(app, upload, &mut spool).await?;
        spool = rows;
        Received::Rows(content)
    } else {
        Received::Rows(upload.spool_rows(request.headers.format, &mut spool).await?)
    };
    let mut connection = app.database.batches.acquire().await?;
    // The connection is closed afterwards: if the client disconnects, it may still be in COPY or in a long statement. A new
    // one costs little compared with a batch.
    let mut transaction = connection.unlimited().begin().await?;
    let outcome = match received {
        Received::Unparsed { digest, content_id } => {
            request.queue(&mut transaction, digest, content_id).await?
        }
        Received::Rows(content) => request.store(&mut transaction, content, &spool).await?,
    };
    if matches!(outcome, Outcome::Repeated(_) | Outcome::Checked(_)) {
        transaction.rollback().await?;
    } else {
        if matches!(outcome, Outcome::Queued(_)) {
            // Before the commit, which may happen without an answer.
            spool.keep();
        }
        transaction.commit().await.map_err(BatchError::Database)?;
    }
    match &outcome {
        Outcome::Queued(_) => app.batch_queue.wake(),
        Outcome::Stored(batch) => acknowledge(app, batch).await,
        _ => {}
    }
    Ok(outcome.into_response())
}

/// Receives a workbook into a spool and, when all of it is there and no other is being read, its rows into another.
async fn read_workbook<'a, S, E>(
    app: &'a App,
    upload: Upload<S>,
    file: &mut Spool<'a>,
) -> Result<(ParsedContent, Spool<'a>), BatchError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let rules = upload.rules.clone();
    upload.spool_content(file).await?;
    let (file, primary) = (&*file, &app.database.primary);
    let pieces = stream::try_unfold(0, |index| async move {
        let piece = file.piece(primary, index).await?;
        Ok::<_, sqlx::Error>(piece.map(|piece| (piece, index + 1)))
    });
    // The semaphore is never closed.
    let _turn = app.workbook_turn.acquire().await;
    let mut rows = Spool::new(&app.pieces);
    let upload = Upload { pieces: Box::pin(pieces), gzip: false, rules };
    Ok((upload.spool_rows(Format::Xlsx, &mut rows).await?, rows))
}

/// What a client has sent, in a spool.
enum Received {
    /// Rows, to be stored while the client waits.
    Rows(ParsedContent),
    /// Content that is stored under this id, for a worker.
    Unparsed { digest: Digest, content_id: i64 },
}

impl BatchUpload<'_> {
    /// Checks and stores the prices while the client waits.
    async fn store(
        &self,
        transaction: &mut PgConnection,
        mut content: ParsedContent,
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
        self.check_replaced(&mut *transaction).await?;
        let privacy = self.app.api_settings.privacy();
        if self.query.dry_run {
            let summary = StagedSummary::of_staged(transaction, privacy).await?;
            return Ok(Outcome::Checked(self.checked(&content, summary)));
        }
        let (identity, replaces) = (self.identity(content.digest), self.query.replaces);
        let batch = sql::insert(&mut *transaction, identity, replaces, BatchState::Storing).await?;
        let stored = store_staged(self.app, transaction, batch.id, replaces, content.rows).await?;
        Ok(Outcome::Stored(stored))
    }

    /// The result of a dry run.
    fn checked(&self, content: &ParsedContent, summary: StagedSummary) -> Batch {
        let now = Utc::now();
        let bytes = content.digest.bytes.cast_signed();
        Batch {
            id: 0,
            supplier: self.supplier.name.clone(),
            state: BatchState::Checked,
            content_sha256: content.digest.sha256.to_vec(),
            content_bytes: bytes,
            checked_bytes: bytes,
            rows: content.rows.cast_signed(),
            prices: Some(content.prices.cast_signed()),
            days: Some(summary.extent.days),
            lanes: Some(summary.extent.lanes),
            data_version: None,
            replaces: self.query.replaces,
            warnings: summary.warnings,
            total_warnings: summary.total_warnings,
            problem: None,
            created_at: now,
            ended_at: Some(now),
            withdrawn_at: None,
        }
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
        self.check_replaced(&mut *transaction).await?;
        let (identity, replaces) = (self.identity(digest), self.query.replaces);
        let batch = sql::insert(&mut *transaction, identity, replaces, BatchState::Queued).await?;
        let (supplier, format) = (batch.supplier.clone(), self.headers.format);
        let queued = QueuedBatch { batch: batch.id, supplier, content, format, replaces };
        self.app.batch_queue.put(transaction, &queued.payload()).await?;
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
        let seconds = self.app.batch_settings.same_content_seconds;
        let first = sql::find_same(transaction, self.identity(digest), seconds).await?;
        match first {
            Some(first) if first.content_sha256 != digest.sha256 => Err(Problem::new(StatusCode::CONFLICT)
                .kind("idempotency-key-reused", "Idempotency-Key used for different content")
                .detail(format!(
                    "Batch {} already uses this Idempotency-Key for different content; use another Idempotency-Key.",
                    first.id
                ))),
            // As a success this would hide that the other batch still has its prices.
            Some(first) if self.query.replaces.is_some() && first.replaces != self.query.replaces => {
                Err(Problem::new(StatusCode::CONFLICT).detail(format!(
                    "Batch {} has the same content or Idempotency-Key, and does not replace this batch; to store the \
                     content again, use another Idempotency-Key.",
                    first.id
                )))
            }
            first => Ok(first),
        }
    }

    /// Checks that the batch to replace is one of this supplier that has prices.
    async fn check_replaced(&self, transaction: &mut PgConnection) -> Result<(), Problem> {
        let Some(id) = self.query.replaces else {
            return Ok(());
        };
        let batch = sql::find(transaction, id).await?;
        let batch = batch.ok_or_else(|| Problem::not_found(format!("There is no batch {id} to replace.")))?;
        if batch.supplier != self.supplier.name {
            return Err(Problem::new(StatusCode::FORBIDDEN)
                .detail(format!("Batch {id} belongs to another supplier; only its own may replace it.")));
        }
        if batch.state == BatchState::Done { Ok(()) } else { Err(not_replaceable(id)) }
    }
}

/// The successful outcomes of a request.
enum Outcome {
    Stored(Batch),
    Queued(Batch),
    Repeated(Batch),
    /// A dry run without a fault: nothing is stored.
    Checked(Batch),
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let is_queued = matches!(self, Self::Queued(_));
        let (status, batch) = match self {
            Self::Stored(batch) => (StatusCode::CREATED, batch),
            Self::Queued(batch) => (StatusCode::ACCEPTED, batch),
            Self::Repeated(batch) => (StatusCode::OK, batch),
            Self::Checked(batch) => return Json(BatchBody::from(batch)).into_response(),
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
