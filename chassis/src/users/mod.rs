//! Users who may change data, by HTTP basic authentication: the section `[auth]`, the check of a request, and the
//! command that makes users.

mod command;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{Argon2, PasswordVerifier, password_hash::phc::PasswordHash};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use utoipa::{
    IntoResponses, Modify,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

pub use command::UserCommand;

use crate::{
    Exit, Failure, Problem,
    edge::ClientAddress,
    exit::OrFail,
    rate_limit::{RateLimit, network},
    settings::{Flat, ServerSettings},
};

/// The defaults, for [`crate::settings::Settings::DEFAULTS`].
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The flat variables, for [`crate::settings::Settings::FLAT`].
pub const FLAT: &[Flat] = &[
    Flat::new("AUTH_USERS", "auth.users"),
    Flat::new("AUTH_USERS_FILE", "auth.users_file"),
    Flat::new("AUTH_ALLOW_ANONYMOUS", "auth.allow_anonymous"),
];

/// The section `[auth]`. Meanings and defaults stand in `defaults.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    users: SecretString,
    users_file: PathBuf,
    allow_anonymous: bool,
    attempts_per_minute: NonZeroU32,
}

/// Who may change data; everybody where there are no users.
pub struct Users {
    /// In PHC format, by name.
    hashes: HashMap<String, String>,
    /// Digests of correct logins, at most one of each user: to verify a password takes some 20 ms of a processor.
    known: Mutex<HashSet<[u8; 32]>>,
    /// Part of each digest, so that a copy of this memory does not help to guess passwords.
    salt: [u8; 32],
    attempts: RateLimit<IpAddr>,
    /// How many passwords are verified at a time: one for each processor, since each needs 19 MiB.
    verifying: Semaphore,
}

impl Users {
    /// The users that the settings name. Without any, a server that other machines can reach is refused, unless the
    /// settings allow it.
    pub fn new(settings: &AuthSettings, server: &ServerSettings) -> Result<Self, Failure> {
        let mut entries = settings.users.expose_secret().to_owned();
        if !settings.users_file.as_os_str().is_empty() {
            let path = settings.users_file.display();
            let more = std::fs::read_to_string(&settings.users_file);
            let more = more.or_fail(Exit::Usage, || format!("auth.users_file: cannot read {path}"))?;
            entries = format!("{entries}\n{more}");
        }
        let mut users = HashMap::new();
        for (number, entry) in entries.split_whitespace().enumerate() {
            let user = entry.split_once(':').filter(|(_, hash)| PasswordHash::new(hash).is_ok());
            let (name, hash) = user.ok_or_else(|| {
                let fault = format!(
                    "auth.users: entry {} is not NAME:$argon2id$…; make one with `user add`",
                    number + 1
                );
                Failure::new(Exit::Usage, fault)
            })?;
            users.insert(name.to_owned(), hash.to_owned());
        }
        if users.is_empty() && !server.host.is_loopback() && !settings.allow_anonymous {
            let fault = format!(
                "auth.users: there are none, and other machines can reach server.host ({}): make users with `user add`, \
                 listen on 127.0.0.1, or set auth.allow_anonymous",
                server.host
            );
            return Err(Failure::new(Exit::Usage, fault));
        }
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).or_fail(Exit::Failure, || "the system has no random numbers")?;
        Ok(Self {
            hashes: users,
            known: Mutex::default(),
            salt,
            attempts: RateLimit::per_minute(settings.attempts_per_minute),
            verifying: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
        })
    }

    /// These routes, for users alone; see [`Refusals`].
    pub fn protect<S: Clone + Send + Sync + 'static>(self: &Arc<Self>, routes: Router<S>) -> Router<S> {
        let users = Arc::clone(self);
        routes.route_layer(from_fn(move |request: Request, next: Next| {
            let users = Arc::clone(&users);
            async move {
                let (head, body) = request.into_parts();
                users.check(&head).await?;
                Ok::<_, Problem>(next.run(Request::from_parts(head, body)).await)
            }
        }))
    }

    async fn check(&self, request: &Parts) -> Result<(), Problem> {
        // A browser sends a remembered login with forms of other sites, too.
        let site = request.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        if site.is_some_and(|site| site == "cross-site") {
            return Err(Problem::new(StatusCode::FORBIDDEN).detail("A page of another site may not do this."));
        }
        if self.hashes.is_empty() {
            return Ok(());
        }
        let given = request.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let (name, password) = given
            .and_then(login)
            .ok_or_else(|| unauthorized("This needs a user and a password (HTTP basic authentication)."))?;
        let mut digest = Sha256::new_with_prefix(self.salt);
        digest.update(format!("{name}:{password}"));
        let digest: [u8; 32] = digest.finalize().into();
        if self.is_known(&digest) {
            return Ok(());
        }
        let _permit = self.verifying.acquire().await.map_err(Problem::internal)?;
        // Another request with the same login may have verified it meanwhile.
        if self.is_known(&digest) {
            return Ok(());
        }
        let address = network(ClientAddress::of(&request.extensions).0);
        self.attempts.check(&address, "logins from this address")?;
        let user = self.hashes.get(&name);
        // An unknown name takes as long as a wrong password, so that nobody learns names from it.
        let hash = user.or_else(|| self.hashes.values().next()).cloned().unwrap_or_default();
        let verify = move || {
            let hash = PasswordHash::new(&hash);
            hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        };
        let is_right = tokio::task::spawn_blocking(verify).await.map_err(Problem::internal)?;
        if user.is_none() || !is_right {
            return Err(unauthorized("The user or the password is wrong."));
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        Ok(())
    }

    fn is_known(&self, digest: &[u8; 32]) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}

/// The refusals of requests without a user, for descriptions of APIs.
#[derive(IntoResponses)]
pub enum Refusals {
    /// No user, or a wrong password
    #[response(status = 401)]
    Unauthorized,
    /// Sent by a page of another site
    #[response(status = 403)]
    Forbidden,
    /// Too many logins from this address
    #[response(status = 429)]
    TooMany,
}

/// Adds the security scheme `user` to the description of an API.
pub struct Login;

impl Modify for Login {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        openapi.components.get_or_insert_default().add_security_scheme("user", basic);
    }
}

/// Name and password of an `Authorization` header.
fn login(header: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn unauthorized(detail: &'static str) -> Problem {
    let challenge = HeaderValue::from_static("Basic realm=\"users\", charset=\"UTF-8\"");
    Problem::new(StatusCode::UNAUTHORIZED).detail(detail).header(header::WWW_AUTHENTICATE, challenge)
}
