//! `GET /batches`, `GET /batches/{id}` and `DELETE /batches/{id}`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use chassis::{
    Problem,
    extract::Path,
    problem::{FieldError, ProblemBody},
};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use sqlx::Connection;
use utoipa::ToSchema;

use crate::{
    app::App,
    http::list_query::ListQuery,
    keys::Supplier,
    sql::{self, batches::Batch},
};

/// A batch and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchBody {
    #[schema(examples(17))]
    id: i64,
    #[schema(examples("acme"))]
    supplier: String,
    /// `queued`, `processing`, `done`, `failed` or `withdrawn`.
    #[schema(examples("done"))]
    state: String,
    /// Its prices; of one that is being put in, those read so far.
    rows: i64,
    /// On how many days it has prices.
    #[schema(required)]
    days: Option<i64>,
    /// On how many lanes it has prices.
    #[schema(required)]
    lanes: Option<i64>,
    /// SHA-256 of its content, unzipped, in hexadecimal.
    content_sha256: String,
    /// The length of its content, unzipped.
    content_bytes: i64,
    /// The version of the data that first had its prices, or had them no more.
    #[schema(required)]
    data_version: Option<i64>,
    /// Why it failed.
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
            days: batch.days,
            lanes: batch.lanes,
            content_sha256: hex::encode(batch.content_sha256),
            content_bytes: batch.content_bytes,
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

/// Your batches, newest first.
#[utoipa::path(
    get, path = "/batches", tag = "batches", security(("key" = [])),
    params(
        ("limit" = Option<usize>, Query, description = "The most batches on a page", minimum = 1, maximum = 1000),
        ("after" = Option<i64>, Query, description = "Only batches older than this one; `next` of a page sets it"),
    ),
    responses(
        (status = 200, body = BatchPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_batches(
    State(app): State<App>,
    supplier: Supplier,
    RawQuery(query): RawQuery,
) -> Result<Json<BatchPage>, Problem> {
    let query = query.unwrap_or_default();
    let list = ListQuery::parse(&query, &["limit", "after"], app.api.page_limit)
        .map_err(Problem::invalid_parameters)?;
    let before = list
        .after
        .as_deref()
        .map(|after| {
            after.parse::<i64>().map_err(|_| {
                Problem::invalid_parameters(vec![FieldError::new(
                    "after",
                    "malformed",
                    "after is the id of a batch",
                )])
            })
        })
        .transpose()?;
    let limit = list.limit.unwrap_or(app.api.page_limit);
    let pool = &app.database.primary;
    // One more than the page tells whether there is a next one.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let mut batches =
        chassis::postgres::retry(pool, || sql::batches::list(pool, &supplier.name, before, wanted)).await?;
    let more = batches.len() > limit;
    batches.truncate(limit);
    let next = batches.last().filter(|_| more).map(|last| {
        let limit = list.limit.map(|limit| format!("limit={limit}&")).unwrap_or_default();
        format!("/batches?{limit}after={}", last.id)
    });
    Ok(Json(BatchPage { batches: batches.into_iter().map(BatchBody::from).collect(), next }))
}

/// A batch: how far it is, or what became of it.
#[utoipa::path(
    get, path = "/batches/{id}", tag = "batches", security(("key" = [])),
    params(("id" = i64, Path, description = "The batch's id", example = 17)),
    responses(
        (status = 200, body = BatchBody),
        (status = 400, description = "The id is no number", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "It is another supplier's", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_batch(
    State(app): State<App>,
    supplier: Supplier,
    Path(id): Path<i64>,
) -> Result<Json<BatchBody>, Problem> {
    own(&app, &supplier, id).await.map(BatchBody::from).map(Json)
}

/// Withdraws a batch: exactly its prices go. Withdrawn again, it stays withdrawn.
#[utoipa::path(
    delete, path = "/batches/{id}", tag = "batches", security(("key" = [])),
    params(("id" = i64, Path, description = "The batch's id", example = 17)),
    responses(
        (status = 200, body = BatchBody),
        (status = 400, description = "The id is no number", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "It is another supplier's", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It has no prices: it waits, or failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn withdraw_batch(
    State(app): State<App>,
    supplier: Supplier,
    Path(id): Path<i64>,
) -> Result<Json<BatchBody>, Problem> {
    let batch = own(&app, &supplier, id).await?;
    let withdraw = async {
        let mut connection = app.database.for_batch().await?;
        let mut transaction = connection.begin().await?;
        let batch = sql::batches::withdraw(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(batch)
    };
    let batch = match withdraw.await? {
        Some(withdrawn) => {
            if let Some(version) = withdrawn.data_version {
                app.freshness.observe(version);
            }
            withdrawn
        }
        // It was not in; or it was, and another request was faster.
        None if batch.state == "done" => own(&app, &supplier, id).await?,
        None => batch,
    };
    if batch.state != "withdrawn" {
        let state = batch.state;
        return Err(Problem::new(StatusCode::CONFLICT)
            .detail(format!("The batch is {state}; only one that is done has prices to withdraw.")));
    }
    Ok(Json(BatchBody::from(batch)))
}

async fn own(app: &App, supplier: &Supplier, id: i64) -> Result<Batch, Problem> {
    let pool = &app.database.primary;
    let batch = chassis::postgres::retry(pool, || sql::batches::find(pool, id)).await?;
    let batch = batch.ok_or_else(|| Problem::not_found("There is no such batch."))?;
    if batch.supplier != supplier.name {
        return Err(Problem::new(StatusCode::FORBIDDEN).detail("The batch is another supplier's."));
    }
    Ok(batch)
}
