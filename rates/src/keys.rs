//! Keys: who writes, and, where so configured, who reads.
//!
//! A key is `rates_NUMBER_SECRET`. The number finds it; of the secret only a hash is kept.

use axum::extract::{FromRequestParts, Request, State};
use axum::{middleware::Next, response::Response};
use chassis::{Problem, edge::ClientAddress};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{app::App, sql};

const PREFIX: &str = "rates_";

/// The random part of a key.
pub(crate) struct Secret(String);

impl Secret {
    /// A new one, of the system's randomness.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The key as its owner sends it.
    pub(crate) fn key(&self, id: i64) -> String {
        format!("{PREFIX}{id}_{}", self.0)
    }
}

/// A key's number and its secret.
fn parse(key: &str) -> Option<(i64, Secret)> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    Some((id.parse().ok()?, Secret(secret.to_owned())))
}

/// The supplier whose key came with the request.
#[derive(Debug, Clone)]
pub(crate) struct Supplier {
    pub(crate) name: String,
    key: i64,
}

impl Supplier {
    /// By a key that is there, neither revoked nor expired. Asked of the database each time, so that a key ends when
    /// it is revoked.
    async fn of_key(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .ok_or_else(|| unauthorized("A key is needed: Authorization: Bearer KEY."))?;
        let (id, secret) = bearer
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, key)| parse(key.trim()))
            .ok_or_else(|| unauthorized("This is not a key; Authorization: Bearer KEY is needed."))?;
        let pool = &app.database.primary;
        let row = chassis::postgres::retry(pool, || sql::keys::find(pool, id)).await?;
        // One answer for every way to be wrong: it tells nothing about keys that are there.
        let row = row
            .filter(|row| bool::from(row.secret_hash.ct_eq(&secret.hash())) && row.valid)
            .ok_or_else(|| unauthorized("The key is unknown, revoked or expired."))?;
        Ok(Self { name: row.supplier, key: id })
    }

    /// Whether the key still holds: a long upload asks at its end.
    pub(crate) async fn still_valid(&self, connection: &mut sqlx::PgConnection) -> Result<(), Problem> {
        let row = sql::keys::find(connection, self.key).await?;
        row.filter(|row| row.valid)
            .map(drop)
            .ok_or_else(|| unauthorized("The key was revoked or expired meanwhile."))
    }
}

impl FromRequestParts<App> for Supplier {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let writes = !matches!(parts.method, Method::GET | Method::HEAD);
        if writes {
            app.limits.write_from(ClientAddress::of(&parts.extensions).0)?;
        }
        let supplier = Self::of_key(app, &parts.headers).await?;
        if writes {
            app.limits.write_by_key(supplier.key)?;
        }
        sql::keys::touch(&app.database.primary, supplier.key).await?;
        Ok(supplier)
    }
}

/// Before a read, where reads need a key and nowhere else: a layer costs a read more than its handler does.
pub(crate) async fn for_reads(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    Supplier::of_key(&app, request.headers()).await?;
    Ok(next.run(request).await)
}

/// The same for a route that tells data only to some.
pub(crate) async fn check_read(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    if app.api.reads_need_key {
        Supplier::of_key(app, headers).await?;
    }
    Ok(())
}

fn unauthorized(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED)
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made_and_every_key_is_another() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        let (id, read) = parse(&one.key(17)).unwrap();
        assert_eq!((id, read.hash()), (17, one.hash()));
        assert_ne!(one.hash(), two.hash());
        for wrong in ["", "rates_", "rates_x_1", "rates_1", "1_2"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
