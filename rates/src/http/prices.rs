//! `POST /prices`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::{Problem, problem::ProblemBody};
use chrono::NaiveDate;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sqlx::Connection;
use utoipa::ToSchema;

use super::batches::BatchBody;
use crate::{
    app::App,
    batches::{self, Incoming, parse::Format},
    keys::Supplier,
    sql::{
        self,
        batches::{Batch, Identity},
    },
};

/// Prices of a batch; the bare array will do as well.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `batches::parse` reads")]
pub(crate) struct Prices {
    prices: Vec<Price>,
}

/// One price.
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

/// How the client wants it done.
struct Wishes<'a> {
    format: Format,
    gzip: bool,
    idempotency_key: Option<&'a str>,
    respond_async: bool,
}

/// Puts in a batch of prices: all of them, or none.
///
/// The content may be JSON, NDJSON (an object a line) or CSV (with a header row), plain or gzip. Sent again with the same
/// `Idempotency-Key`, or without one with the same content, it is answered with the first result.
#[utoipa::path(
    post, path = "/prices", tag = "batches", security(("key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Your name for this batch, at most 255 characters: sent again, nothing is put in twice"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` answers as soon as the content is stored", example = "respond-async"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or none"),
    ),
    request_body(content((Prices = "application/json"), (Price = "application/x-ndjson"), (String = "text/csv", example = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-01-31,1150\n"))),
    responses(
        (status = 201, description = "All prices are in", body = BatchBody, headers(("Location" = String, description = "The batch"))),
        (status = 200, description = "This batch was sent before; this is what became of it", body = BatchBody),
        (status = 202, description = "Stored; `Location` tells how it goes on", body = BatchBody),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for other content", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Nothing is in; `errors` names the first hundred faults, `total` says how many there are", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn post_prices(
    State(app): State<App>,
    supplier: Supplier,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = take_in(&app, &supplier, &headers, body).await;
    match &answer {
        Ok(response) if response.status() == StatusCode::CREATED => app.outcomes.done(),
        Ok(_) => {}
        Err(problem) => app.outcomes.ended_by(problem),
    }
    answer
}

async fn take_in(
    app: &App,
    supplier: &Supplier,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wishes = Wishes::parse(headers)?;
    let mut connection = app.database.for_batch().await?;
    let mut transaction = connection.begin().await?;
    let incoming = Incoming {
        pieces: body.into_data_stream(),
        gzip: wishes.gzip,
        limit: app.batches.body_limit_bytes as u64,
    };
    let identity = |content_sha256, content_bytes: u64| Identity {
        supplier: &supplier.name,
        idempotency_key: wishes.idempotency_key,
        content_sha256,
        content_bytes: content_bytes.cast_signed(),
    };
    let same_content_seconds = app.batches.same_content_seconds;

    if wishes.respond_async {
        let job = sql::jobs::create(&mut transaction, wishes.format.name()).await?;
        let (bytes, sha256) = incoming.store(&mut transaction, job).await?;
        supplier.still_valid(&mut transaction).await?;
        let identity = identity(&sha256, bytes);
        let stored = async {
            if let Some(first) =
                sql::batches::find_same(&mut transaction, identity, same_content_seconds).await?
            {
                return Ok::<_, sqlx::Error>(Err(first));
            }
            let batch = sql::batches::insert(&mut transaction, identity, "queued").await?;
            sql::jobs::of_batch(&mut transaction, job, batch.id).await?;
            Ok(Ok(batch))
        };
        return match stored.await? {
            Err(first) => repeated(first, &sha256),
            Ok(batch) => {
                transaction.commit().await?;
                app.bell.ring();
                let mut response = located(StatusCode::ACCEPTED, batch);
                let applied = HeaderValue::from_static("respond-async");
                response.headers_mut().insert(HeaderName::from_static("preference-applied"), applied);
                Ok(response)
            }
        };
    }

    let content = incoming.stage(&mut transaction, wishes.format, Arc::default()).await?;
    supplier.still_valid(&mut transaction).await?;
    // A repeated request has none: the ports that a batch names cannot go while it is in.
    if content.total_faults > 0 {
        return Err(batches::unacceptable(content));
    }
    let identity = identity(&content.sha256, content.bytes);
    let first = sql::batches::find_same(&mut transaction, identity, same_content_seconds).await;
    if let Some(first) = first? {
        return repeated(first, &content.sha256);
    }
    let put_in = async {
        let batch = sql::batches::insert(&mut transaction, identity, "processing").await?;
        let batch = batches::put_in(&mut transaction, batch.id, content.rows).await?;
        transaction.commit().await?;
        Ok(batch)
    };
    let batch = put_in.await.map_err(batches::Refused::Database)?;
    if let Some(version) = batch.data_version {
        // So that the next read on this instance finds what it just acknowledged.
        app.freshness.observe(version);
    }
    Ok(located(StatusCode::CREATED, batch))
}

fn located(status: StatusCode, batch: Batch) -> Response {
    let location = format!("/batches/{}", batch.id);
    (status, [(header::LOCATION, location)], Json(BatchBody::from(batch))).into_response()
}

/// The answer to a batch that was sent before, if it is the same.
fn repeated(first: Batch, content_sha256: &[u8]) -> Result<Response, Problem> {
    if first.content_sha256 == content_sha256 {
        return Ok(located(StatusCode::OK, first));
    }
    Err(Problem::new(StatusCode::CONFLICT)
        .kind("idempotency-key-reused", "Idempotency-Key used for other content")
        .detail(format!("Batch {} has this Idempotency-Key and other content.", first.id)))
}

impl<'a> Wishes<'a> {
    fn parse(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
        let content_type = text(&header::CONTENT_TYPE).unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
        let format = Format::ALL
            .into_iter()
            .find(|format| media_type.trim().eq_ignore_ascii_case(format.media_type()))
            .filter(|_| charset.is_none_or(|name| name.trim_matches('"').eq_ignore_ascii_case("utf-8")))
            .ok_or_else(|| {
                let known = Format::ALL.map(Format::media_type).join(", ");
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                    .detail(format!("Content-Type must be one of {known}, in UTF-8."))
            })?;
        let gzip = match text(&header::CONTENT_ENCODING) {
            None => false,
            Some(coding) if coding.eq_ignore_ascii_case("identity") => false,
            Some(coding) if coding.eq_ignore_ascii_case("gzip") => true,
            Some(_) => {
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                    .detail("Content-Encoding must be gzip, or not be there.")
                    .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")));
            }
        };
        let idempotency_key = text(&HeaderName::from_static("idempotency-key"));
        if idempotency_key.is_some_and(|key| {
            !(1..=255).contains(&key.len())
                || !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        }) {
            return Err(Problem::new(StatusCode::BAD_REQUEST)
                .detail("Idempotency-Key must be 1 to 255 visible ASCII characters."));
        }
        let respond_async = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"));
        Ok(Self { format, gzip, idempotency_key, respond_async })
    }
}
