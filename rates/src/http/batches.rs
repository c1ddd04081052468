//! `GET /batches`, `GET /batches/{id}`, `GET /batches/{id}/prices` and `DELETE /batches/{id}`.

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use chassis::{
    Problem,
    extract::Path,
    problem::{FieldError, ProblemBody},
};
use chrono::{DateTime, Utc};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use utoipa::{IntoParams, ToSchema};

use super::{batch_csv, list_query::ListQuery};
use crate::{
    app::App,
    batches::sql::{self, Batch, BatchState},
    suppliers::Supplier,
};

/// A batch and its state.
#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchBody {
    /// 0 after a dry run, which makes no batch.
    #[schema(examples(17))]
    id: i64,
    #[schema(examples("acme"))]
    supplier: String,
    /// The state of the batch.
    state: BatchState,
    /// The number of its rows; while it is checked, of those that were read so far.
    rows: i64,
    /// The number of its prices, which is that of its rows unless some are for several days; null until it is done.
    #[schema(required)]
    prices: Option<i64>,
    /// On how many days it has prices; null until it is done.
    #[schema(required)]
    days: Option<i64>,
    /// On how many lanes it has prices; null until it is done.
    #[schema(required)]
    lanes: Option<i64>,
    /// SHA-256 of the content without compression, in hexadecimal.
    content_sha256: String,
    /// Size of the content in bytes, without compression.
    content_bytes: i64,
    /// How much of the content was checked so far, in bytes.
    checked_bytes: i64,
    /// The batch that this one was sent in place of.
    #[schema(required)]
    replaces: Option<i64>,
    /// Prices that look wrong, and are stored all the same: the first 20.
    warnings: Vec<FieldError>,
    /// The number of all warnings.
    total_warnings: i64,
    /// The first version of the data with its prices; after a withdrawal, the first without them.
    #[schema(required)]
    data_version: Option<i64>,
    /// Why it failed; null if it did not.
    #[schema(required, value_type = Option<ProblemBody>)]
    problem: Option<serde_json::Value>,
    created_at: DateTime<Utc>,
    /// When it was done or failed.
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    #[schema(required)]
    withdrawn_at: Option<DateTime<Utc>>,
}

impl From<Batch> for BatchBody {
    fn from(batch: Batch) -> Self {
        Self {
            id: batch.id,
            supplier: batch.supplier,
            state: batch.state,
            rows: batch.rows,
            prices: batch.prices,
            days: batch.days,
            lanes: batch.lanes,
            content_sha256: hex::encode(batch.content_sha256),
            content_bytes: batch.content_bytes,
            checked_bytes: batch.checked_bytes,
            replaces: batch.replaces,
            warnings: serde_json::from_str(&batch.warnings).unwrap_or_default(),
            total_warnings: batch.total_warnings,
            data_version: batch.data_version,
            problem: batch.problem.and_then(|problem| serde_json::from_str(&problem).ok()),
            created_at: batch.created_at,
            ended_at: batch.ended_at,
            withdrawn_at: batch.withdrawn_at,
        }
    }
}

/// A page of batches.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchPage {
    /// Newest first.
    batches: Vec<BatchBody>,
    /// The path of the next page; null on the last.
    #[schema(required)]
    next: Option<String>,
}

/// Documents the parameters of `list_batches`; [`ListQuery`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct ListBatchesParams {
    /// The most batches on a page.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: usize,
    /// Only batches older than this one; `next` of a page sets it.
    #[param(required = false)]
    after: i64,
}

/// The path of a batch.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct BatchPath {
    /// The id of the batch.
    #[param(example = 17)]
    id: i64,
}

/// List your batches, newest first; with the scope admin, those of all suppliers.
#[utoipa::path(
    get, path = "/batches", tag = "batches", security(("key" = []), ("login" = [])), params(ListBatchesParams),
    responses(
        (status = 200, description = "A page of batches", body = BatchPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 401, description = "No valid key"),
        (status = 403, description = "The key may not write"),
        (status = 429, description = "Too many wrong keys from this address; `Retry-After` says when to try again"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn list_batches(
    State(app): State<App>,
    supplier: Supplier,
    RawQuery(query): RawQuery,
) -> Result<Json<BatchPage>, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["limit", "after"], app.api_settings.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let before = list.after.as_deref().map(parse_id).transpose()?;
    let limit = list.limit.unwrap_or(app.api_settings.page_limit);
    // One more than fits on the page shows whether there is another page.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let pool = &app.database.primary;
    // An admin sees those of all suppliers.
    let of = (!supplier.is_admin()).then_some(supplier.name.as_str());
    let mut batches = pool.retry(|| sql::list(pool, of, before, wanted)).await?;
    let has_more = batches.len() > limit;
    batches.truncate(limit);
    let next = batches.last().filter(|_| has_more).map(|last| {
        let limit = list.limit.map(|limit| format!("limit={limit}&")).unwrap_or_default();
        format!("/batches?{limit}after={}", last.id)
    });
    Ok(Json(BatchPage { batches: batches.into_iter().map(BatchBody::from).collect(), next }))
}

/// Get a batch: its progress, or its result.
#[utoipa::path(
    get, path = "/batches/{id}", tag = "batches", security(("key" = []), ("login" = [])), params(BatchPath),
    responses(
        (status = 200, description = "The batch", body = BatchBody),
        (status = 400, description = "The id is not a number"),
        (status = 401, description = "No valid key"),
        (status = 429, description = "Too many wrong keys from this address; `Retry-After` says when to try again"),
        (status = 403, description = "The batch belongs to another supplier, or the key may not write"),
        (status = 404, description = "There is no such batch"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn get_batch(
    State(app): State<App>,
    supplier: Supplier,
    Path(BatchPath { id }): Path<BatchPath>,
) -> Result<Json<BatchBody>, Problem> {
    let batch = find_own(&app, &supplier, id).await?;
    acknowledge(&app, &batch).await;
    Ok(Json(BatchBody::from(batch)))
}

/// Get the prices of a batch, as CSV that can be sent again.
///
/// The rows are sorted by lane, day and price. A window has become a row for each of its days.
#[utoipa::path(
    get, path = "/batches/{id}/prices", tag = "batches", security(("key" = []), ("login" = [])), params(BatchPath),
    responses(
        (status = 200, description = "The prices", content_type = "text/csv", body = String),
        (status = 400, description = "The id is not a number"),
        (status = 401, description = "No valid key"),
        (status = 403, description = "The batch belongs to another supplier, or the key may not write"),
        (status = 404, description = "There is no such batch"),
        (status = 409, description = "The batch has no prices: it is not done, failed or was withdrawn"),
        (status = 429, description = "Too many wrong keys from this address; `Retry-After` says when to try again"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn get_batch_prices(
    State(app): State<App>,
    supplier: Supplier,
    Path(BatchPath { id }): Path<BatchPath>,
) -> Result<Response, Problem> {
    let batch = find_own(&app, &supplier, id).await?;
    if batch.state != BatchState::Done {
        return Err(no_prices(batch.state));
    }
    let name = format!("attachment; filename=\"batch-{id}.csv\"");
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, &name)];
    Ok((headers, Body::from_stream(batch_csv::stream(app, &batch))).into_response())
}

/// Withdraw a batch: delete exactly its prices.
///
/// Repeated, it changes nothing and gives the same answer.
#[utoipa::path(
    delete, path = "/batches/{id}", tag = "batches", security(("key" = []), ("login" = [])), params(BatchPath),
    responses(
        (status = 200, description = "The batch is withdrawn", body = BatchBody),
        (status = 400, description = "The id is not a number"),
        (status = 401, description = "No valid key"),
        (status = 403, description = "The batch belongs to another supplier, or the key may not write"),
        (status = 404, description = "There is no such batch"),
        (status = 409, description = "The batch has no prices: it is not done, or failed"),
        (status = 429, description = "Too many writes; `Retry-After` says when to try again"),
        (status = 503, description = "The database is unreachable"),
    ),
)]
pub(crate) async fn withdraw_batch(
    State(app): State<App>,
    supplier: Supplier,
    Path(BatchPath { id }): Path<BatchPath>,
) -> Result<Json<BatchBody>, Problem> {
    let mut batch = find_own(&app, &supplier, id).await?;
    if let Some(withdrawn) = withdraw(&app, id).await? {
        batch = withdrawn;
    } else if batch.state == BatchState::Done {
        // Another request withdrew it since it was read.
        batch = find_own(&app, &supplier, id).await?;
    }
    if batch.state != BatchState::Withdrawn {
        return Err(no_prices(batch.state));
    }
    acknowledge(&app, &batch).await;
    Ok(Json(BatchBody::from(batch)))
}

fn no_prices(state: BatchState) -> Problem {
    let state = state.name();
    Problem::new(StatusCode::CONFLICT)
        .detail(format!("The batch is {state}; only one that is done has prices."))
}

/// Waits until no answer of this instance is older than this batch's change of the prices: a batch is acknowledged only then.
pub(super) async fn acknowledge(app: &App, batch: &Batch) {
    if let Some(version) = batch.data_version {
        app.lanes.freshness.acknowledge(version).await;
    }
}

async fn withdraw(app: &App, id: i64) -> Result<Option<Batch>, sqlx::Error> {
    let mut connection = app.database.batches.acquire().await?;
    let withdraw = async |connection: &mut PgConnection| {
        let mut transaction = connection.begin().await?;
        let batch = sql::withdraw(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(batch)
    };
    connection.limited(withdraw).await
}

async fn find_own(app: &App, supplier: &Supplier, id: i64) -> Result<Batch, Problem> {
    let pool = &app.database.primary;
    let batch = pool.retry(|| sql::find(pool, id)).await?;
    let batch = batch.ok_or_else(|| Problem::not_found("There is no such batch."))?;
    if !supplier.may_manage(&batch.supplier) {
        return Err(Problem::new(StatusCode::FORBIDDEN).detail("The batch belongs to another supplier."));
    }
    Ok(batch)
}

fn parse_id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| {
        let detail = "after must be the id of a batch, as `next` of a page has it";
        Problem::invalid_parameters(vec![FieldError::new("after", "malformed", detail)])
    })
}
