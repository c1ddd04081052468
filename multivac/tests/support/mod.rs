//! What the tests of `multivac` share.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::time::{Duration, Instant};

use chassis::testing::redis::Redis;
use multivac::{Multivac, backend::Backend, settings::Settings};
use sqlx::PgPool;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Settings as they are with these variables and no others.
#[track_caller]
pub fn settings(variables: &[(&str, &str)]) -> Settings {
    chassis::testing::settings::<Multivac>(variables).service
}

/// Where queue and store are in a test, and what must live as long.
pub struct Place {
    pub name: &'static str,
    variables: Vec<(String, String)>,
    pub redis: Option<Redis>,
    _folder: tempfile::TempDir,
}

impl Place {
    /// A file of the test's own.
    pub fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/multivac.redb").display().to_string();
        let variables = vec![("MULTIVAC_FILE".to_owned(), file)];
        Self { name: "file", variables, redis: None, _folder: folder }
    }

    /// The database of this pool, which has the schema.
    pub fn postgres(pool: &PgPool) -> Self {
        let variables = vec![("DATABASE_URL".to_owned(), url(pool))];
        Self { name: "postgres", variables, redis: None, _folder: tempfile::tempdir().unwrap() }
    }

    /// The same with the queue in a Redis server of the test's own; none where it is not installed.
    pub fn redis(pool: &PgPool) -> Option<Self> {
        let redis = Redis::start(&[])?;
        let mut place = Self::postgres(pool);
        place.variables.push(("REDIS_URL".to_owned(), redis.url()));
        Some(Self { name: "redis", redis: Some(redis), ..place })
    }

    /// Every combination.
    pub fn all(pool: &PgPool) -> Vec<Self> {
        [Some(Self::file()), Some(Self::postgres(pool)), Self::redis(pool)].into_iter().flatten().collect()
    }

    pub fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub fn is_file(&self) -> bool {
        self.name == "file"
    }

    /// Opens it in this process.
    pub async fn open(&self) -> Backend {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Backend::open(&settings(&self.variables())).await {
                Ok(backend) => return backend,
                // A file is closed by its thread, or with the process that had it.
                Err(failure) => assert!(Instant::now() < deadline, "{failure}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn url(pool: &PgPool) -> String {
    let options = pool.connect_options();
    let name = options.get_database().unwrap();
    let user = options.get_username();
    match options.get_socket() {
        Some(path) => {
            format!("postgres://{user}@localhost:{}/{name}?host={}", options.get_port(), path.display())
        }
        None if options.get_host().starts_with('/') => {
            format!("postgres://{user}@localhost:{}/{name}?host={}", options.get_port(), options.get_host())
        }
        None => format!("postgres://{user}@{}:{}/{name}", options.get_host(), options.get_port()),
    }
}

/// Waits until this is so, but not for ever.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
