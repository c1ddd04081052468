//! Suppliers, who may write, and the keys that identify them. If so configured, reads need a key as well.

mod key;
pub mod limits;
pub(crate) mod sql;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use chassis::{Problem, edge::ClientAddress};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use subtle::ConstantTimeEq;

use crate::app::App;

pub(crate) use key::Secret;

/// The supplier whose key came with the request.
#[derive(Debug, Clone)]
pub(crate) struct Supplier {
    pub(crate) name: String,
    key: i64,
}

impl Supplier {
    /// Finds the supplier by the key in the request. It queries the database each time, so that revoking a key takes
    /// effect at once. Wrong keys are counted by the client's address, whatever the method; a request without any is no
    /// guess.
    async fn authenticate(app: &App, client: ClientAddress, headers: &HeaderMap) -> Result<Self, Problem> {
        let authorization = headers
            .get(header::AUTHORIZATION)
            .ok_or_else(|| unauthorized("A key is required; send the header Authorization: Bearer KEY."))?;

        app.wrong_keys.check(client.0)?;
        let supplier = Self::find(app, authorization).await;
        if supplier.as_ref().is_err_and(|problem| problem.status() == StatusCode::UNAUTHORIZED) {
            app.wrong_keys.count(client.0);
        }
        supplier
    }

    async fn find(app: &App, authorization: &HeaderValue) -> Result<Self, Problem> {
        let (id, secret) = authorization
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, key)| key::parse(key.trim()))
            .ok_or_else(|| {
                unauthorized("The Authorization header has no key of this service; it must be: Bearer KEY.")
            })?;
        let pool = &app.database.primary;
        let row = pool.retry(|| sql::find(pool, id)).await?;
        // One message for all reasons, so that it does not reveal which numbers exist.
        let row = row
            .filter(|row| bool::from(row.secret_hash.ct_eq(&secret.hash())) && row.valid)
            .ok_or_else(|| unauthorized("The key is unknown, revoked or expired."))?;
        // Once a minute: an update for every request would cost more than the request. If it fails, the next request
        // tries again.
        if row.use_is_due
            && let Err(error) = sql::record_use(pool, id).await
        {
            tracing::warn!(key = id, error = %error, "cannot record the use of a key");
        }
        Ok(Self { name: row.supplier, key: id })
    }

    /// Checks the key once more: an upload may last longer than its key.
    pub(crate) async fn check_key(&self, connection: &mut sqlx::PgConnection) -> Result<(), Problem> {
        let row = sql::find(connection, self.key).await?;
        row.filter(|row| row.valid)
            .map(drop)
            .ok_or_else(|| unauthorized("The key was revoked or expired during the upload."))
    }
}

impl FromRequestParts<App> for Supplier {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let is_write = !matches!(parts.method, Method::GET | Method::HEAD);
        let client = ClientAddress::of(&parts.extensions);
        if is_write {
            app.limits.check_address(client.0)?;
        }
        let supplier = Self::authenticate(app, client, &parts.headers).await?;
        if is_write {
            app.limits.check_key(supplier.key)?;
        }
        Ok(supplier)
    }
}

/// A layer that answers reads with 401 unless they have a key. The router adds it only where that is configured,
/// because a layer costs a read more than its handler does.
pub(crate) async fn require_key(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    Supplier::authenticate(&app, ClientAddress::of(request.extensions()), request.headers()).await?;
    Ok(next.run(request).await)
}

/// The same for a route that is open but shows data to some clients only.
pub(crate) async fn check_reader(
    app: &App,
    client: ClientAddress,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    if app.api.reads_need_key {
        Supplier::authenticate(app, client, headers).await?;
    }
    Ok(())
}

fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED)
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
