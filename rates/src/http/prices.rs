//! `POST /prices`.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::{Problem, problem::ProblemBody};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use sqlx::{Connection, PgConnection};
use utoipa::{IntoParams, ToSchema};

use super::batches::BatchBody;
use crate::{
    app::App,
    batches::{
        BatchError, Upload, next_content,
        parse::{Digest, Format},
        sql::{self, Batch, BatchState, Identity},
        store_staged,
        worker::QueuedBatch,
    },
    suppliers::Supplier,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
    /// The number of all faults; `errors` lists the first hundred.
    #[schema(examples(150))]
    total: u64,
    /// The number of rows that were read.
    #[schema(examples(100_000))]
    rows: u64,
}

/// Documents the headers; [`UploadHeaders`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct UploadParams {
    /// Your name for this batch, at most 255 characters. A batch that is sent again under its name is stored once.
    #[param(rename = "Idempotency-Key", required = false, min_length = 1, max_length = 255)]
    idempotency_key: String,
    /// `respond-async`: answer as soon as the content is queued, and process it in the background.
    #[param(rename = "Prefer", required = false, example = "respond-async")]
    prefer: String,
    /// `gzip` if the content is compressed.
    #[param(rename = "Content-Encoding", required = false, example = "gzip")]
    content_encoding: String,
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
        (PriceFile = "application/x-ndjson"),
        (PriceFile = "text/csv", example = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-01-31,1150\n"),
    )),
    responses(
        (status = 201, description = "All prices are stored", body = BatchBody, headers(("Location" = String, description = "The batch"))),
        (status = 200, description = "The batch was sent before; this is what has become of it", body = BatchBody),
        (status = 202, description = "The content is queued; the batch at `Location` shows its progress", body = BatchBody),
        (status = 400, description = "The upload ended early, or a header is wrong"),
        (status = 401, description = "No valid key"),
        (status = 409, description = "The `Idempotency-Key` belongs to other content"),
        (status = 413, description = "The content is too large; split it"),
        (status = 415, description = "The media type or the encoding is not supported"),
        (status = 422, description = "The content has faults; nothing was stored", body = UnacceptablePrices, content_type = "application/problem+json"),
        (status = 429, description = "Too many writes; `Retry-After` says when to try again"),
        (status = 503, description = "The database is away"),
    ),
)]
pub(crate) async fn post_prices(
    State(app): State<App>,
    supplier: Supplier,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = take_batch(&app, &supplier, &headers, body).await;
    match &answer {
        Ok(response) if response.status() == StatusCode::CREATED => app.outcomes.count_done(),
        Ok(_) => {}
        Err(problem) => app.outcomes.count_problem(problem),
    }
    answer
}

/// What a request asks for, and by whom.
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
    let upload = Upload {
        pieces: body.into_data_stream(),
        gzip: request.headers.gzip,
        limit: app.batches.body_limit_bytes as u64,
    };
    let mut connection = app.database.for_batch().await?;
    let mut transaction = connection.begin().await?;
    let outcome = if request.headers.respond_async {
        request.queue(&mut transaction, upload).await?
    } else {
        request.store(&mut transaction, upload).await?
    };
    if matches!(outcome, Outcome::Repeated(_)) {
        transaction.rollback().await?;
    } else {
        transaction.commit().await.map_err(BatchError::Database)?;
    }
    match &outcome {
        Outcome::Queued(_) => app.queue.wake(),
        // The next read on this instance must include what it just acknowledged.
        Outcome::Stored(Batch { data_version: Some(version), .. }) => app.freshness.observe(*version),
        _ => {}
    }
    Ok(outcome.into_response())
}

impl Request<'_> {
    /// Checks and stores the prices while the client waits.
    async fn store(
        &self,
        transaction: &mut PgConnection,
        upload: Upload<BodyDataStream>,
    ) -> Result<Outcome, Problem> {
        let content = upload.stage(&mut *transaction, self.headers.format, Arc::default()).await?;
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

    /// Stores the content as it is, for a worker to process in the background.
    async fn queue(
        &self,
        transaction: &mut PgConnection,
        upload: Upload<BodyDataStream>,
    ) -> Result<Outcome, Problem> {
        let content = next_content(&mut *transaction).await?;
        let digest = upload.store(&mut *transaction, content).await?;
        self.supplier.check_key(&mut *transaction).await?;
        if let Some(first) = self.find_first(&mut *transaction, digest).await? {
            return Ok(Outcome::Repeated(first));
        }
        let batch = sql::insert(&mut *transaction, self.identity(digest), BatchState::Queued).await?;
        let format = self.headers.format.name().to_owned();
        let queued = QueuedBatch { batch: batch.id, content, format };
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
                .kind("idempotency-key-reused", "Idempotency-Key used for other content")
                .detail(format!(
                    "Batch {} has this Idempotency-Key and other content; send this content under another key.",
                    first.id
                ))),
            first => Ok(first),
        }
    }
}

/// How a request went well.
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

/// What the headers of an upload say.
struct UploadHeaders<'a> {
    format: Format,
    gzip: bool,
    idempotency_key: Option<&'a str>,
    respond_async: bool,
}

impl<'a> UploadHeaders<'a> {
    fn parse(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let respond_async = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"));
        Ok(Self {
            format: parse_content_type(text(headers, &header::CONTENT_TYPE).unwrap_or_default())?,
            gzip: is_gzip(text(headers, &header::CONTENT_ENCODING))?,
            idempotency_key: text(headers, &IDEMPOTENCY_KEY).map(check_idempotency_key).transpose()?,
            respond_async,
        })
    }
}

/// The value of a header; one that is not text becomes `?`, which no header accepts.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?").trim())
}

fn parse_content_type(content_type: &str) -> Result<Format, Problem> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    Format::ALL
        .into_iter()
        .find(|format| media_type.trim().eq_ignore_ascii_case(format.media_type()))
        .filter(|_| charset.is_none_or(|name| name.trim_matches('"').eq_ignore_ascii_case("utf-8")))
        .ok_or_else(|| {
            let supported = Format::ALL.map(Format::media_type).join(", ");
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail(format!("Content-Type must be one of {supported}, in UTF-8."))
        })
}

fn is_gzip(content_encoding: Option<&str>) -> Result<bool, Problem> {
    match content_encoding {
        None => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(false),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(_) => Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail("Content-Encoding must be gzip or absent.")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))),
    }
}

fn check_idempotency_key(key: &str) -> Result<&str, Problem> {
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if (1..=255).contains(&key.len()) && is_visible {
        Ok(key)
    } else {
        Err(Problem::new(StatusCode::BAD_REQUEST)
            .detail("Idempotency-Key must be 1 to 255 visible ASCII characters."))
    }
}
