//! Suppliers, who may write, and the keys that identify them. If so configured, reads need a key as well. A key has a
//! scope, which says what it may do.

mod key;
pub mod limits;
mod scope;
pub(crate) mod sql;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::{Problem, edge::ClientAddress};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use subtle::ConstantTimeEq;

use crate::app::App;

pub(crate) use key::Secret;
pub use scope::Scope;

/// The supplier whose key came with the request.
#[derive(Debug, Clone)]
pub(crate) struct Supplier {
    pub(crate) name: String,
    scope: Scope,
    key: i64,
}

impl Supplier {
    /// Finds the supplier by the key in the request. It queries the database each time, so that revoking a key takes
    /// effect at once. Wrong keys are counted by the client's address, whatever the method; a request without any is no
    /// guess.
    async fn authenticate(app: &App, client: ClientAddress, headers: &HeaderMap) -> Result<Self, Problem> {
        let authorization = headers.get(header::AUTHORIZATION).ok_or_else(|| {
            unauthorized("A key is required; send it as Authorization: Bearer KEY, or as the password.")
        })?;

        app.wrong_keys.check(client.0)?;
        let supplier = Self::find(app, authorization).await;
        if supplier.as_ref().is_err_and(|problem| problem.status() == StatusCode::UNAUTHORIZED) {
            app.wrong_keys.count(client.0);
        }
        supplier
    }

    async fn find(app: &App, authorization: &HeaderValue) -> Result<Self, Problem> {
        let (id, secret) = key_of(authorization).as_deref().and_then(key::parse).ok_or_else(|| {
            unauthorized(
                "The Authorization header has no key of this service; it must be Bearer KEY, or Basic with the key as \
                 the password.",
            )
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
        Ok(Self { name: row.supplier, scope: row.scope, key: id })
    }

    /// 403 unless the key may do what needs this scope.
    fn require(&self, needed: Scope) -> Result<(), Problem> {
        if self.scope.includes(needed) {
            return Ok(());
        }
        let (scope, needed) = (self.scope.name(), needed.name());
        Err(Problem::new(StatusCode::FORBIDDEN)
            .detail(format!("This key has the scope {scope}; a key with the scope {needed} is needed.")))
    }

    /// Whether it may see and withdraw a batch of this supplier.
    pub(crate) fn may_manage(&self, supplier: &str) -> bool {
        self.name == supplier || self.is_admin()
    }

    /// Whether it may see and withdraw the batches of all suppliers.
    pub(crate) fn is_admin(&self) -> bool {
        self.scope == Scope::Admin
    }

    /// Checks the key once more: an upload may last longer than its key.
    pub(crate) async fn check_key(&self, connection: &mut sqlx::PgConnection) -> Result<(), Problem> {
        let row = sql::find(connection, self.key).await?;
        row.filter(|row| row.valid)
            .map(drop)
            .ok_or_else(|| unauthorized("The key was revoked or expired during the upload."))
    }
}

/// For the routes of batches: a key that may write.
impl FromRequestParts<App> for Supplier {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let is_write = !matches!(parts.method, Method::GET | Method::HEAD);
        let client = ClientAddress::of(&parts.extensions);
        if is_write {
            app.write_limits.admit_address(client.0)?;
        }
        let supplier = Self::authenticate(app, client, &parts.headers).await?;
        supplier.require(Scope::Write)?;
        if is_write {
            app.write_limits.admit_key(supplier.key)?;
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
    check_reader(&app, ClientAddress::of(request.extensions()), request.headers()).await?;
    Ok(next.run(request).await)
}

/// The same for a route that is open but shows data to some clients only.
pub(crate) async fn check_reader(
    app: &App,
    client: ClientAddress,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    if app.api_settings.reads_need_key {
        let reader = Supplier::authenticate(app, client, headers).await?;
        reader.require(Scope::Read)?;
        app.read_limit.admit(reader.key)?;
    }
    Ok(())
}

/// The key in an `Authorization` header: after `Bearer`, or, as browsers and spreadsheets send it, the password of
/// `Basic`, with any user.
fn key_of(authorization: &HeaderValue) -> Option<String> {
    let (scheme, value) = authorization.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let login = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (_user, password) = login.split_once(':')?;
    Some(password.to_owned())
}

fn unauthorized(detail: &'static str) -> Problem {
    // A header each: not every client splits a list of them.
    let challenge = |text| (header::WWW_AUTHENTICATE, HeaderValue::from_static(text));
    let (bearer, basic) = (challenge("Bearer"), challenge("Basic realm=\"rates\", charset=\"UTF-8\""));
    Problem::new(StatusCode::UNAUTHORIZED).detail(detail).header(bearer.0, bearer.1).header(basic.0, basic.1)
}
