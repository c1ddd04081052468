//! The state that handlers share, and the one question they ask of it.

use std::sync::Arc;

use axum::body::Bytes;
use chassis::{Problem, problem::FieldError};
use chrono::NaiveDate;
use http::HeaderValue;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

use crate::{
    batches::{outcomes::Outcomes, worker::Bell},
    body,
    cache::{Answer, Cache, Key},
    chart,
    database::{self, Database},
    form::Form,
    params::{PlaceName, RatesQuery, WrongRatesQuery},
    places::{Catalogue, CatalogueStore},
    reader::Shared,
    settings::{ApiSettings, BatchSettings, CacheSettings},
    sql::{self, rates::Lane, version::DataVersion},
    suppliers::limits::WriteLimits,
    version::{Freshness, State},
};

/// What every handler has; cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

/// See [`App`].
#[derive(Debug)]
pub struct Inner {
    /// Where the data is.
    pub database: Database,
    /// Which state of it is the newest.
    pub freshness: Freshness,
    /// Answers made before.
    pub cache: Cache,
    /// What a request may ask for.
    pub api: ApiSettings,
    /// How prices come in.
    pub batches: BatchSettings,
    /// How often one may write.
    pub limits: WriteLimits,
    /// How batches ended.
    pub outcomes: Outcomes,
    /// Rings when a batch waits.
    pub bell: Bell,
    catalogues: CatalogueStore,
    /// `Cache-Control` of answers.
    pub cache_control: HeaderValue,
    /// How long an old answer may stand in for a database that is away, in seconds.
    stale_seconds: f64,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// How an answer was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the cache, and as new as the data.
    Hit,
    /// Read now.
    Miss,
    /// From the cache, while the database is away; older data for all that is known.
    Stale {
        /// For how long it may have been outdated.
        seconds: u64,
    },
}

impl App {
    /// State over this database. Nothing is asked of it yet.
    #[must_use]
    pub fn new(
        database: Database,
        api: ApiSettings,
        cache_settings: &CacheSettings,
        batches: BatchSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            database,
            freshness: Freshness::default(),
            cache: Cache::new(cache_settings.size_bytes),
            api,
            outcomes: Outcomes::default(),
            limits: WriteLimits::new(batches.per_minute_by_key, batches.per_minute_by_address),
            bell: Bell::default(),
            batches,
            catalogues: CatalogueStore::default(),
            // The settings were checked to be a header value.
            cache_control: HeaderValue::from_str(&cache_settings.control)
                .unwrap_or(HeaderValue::from_static("no-cache")),
            stale_seconds: cache_settings.stale_seconds,
        }))
    }

    /// The finished answer to a query, if the cache holds it and it is as new as the data.
    #[must_use]
    pub fn held(&self, query: &RatesQuery<'_>, form: &Form<'_>) -> Option<Answer> {
        self.cache.get(&Key::new(self.freshness.current()?, query, form))
    }

    /// The finished answer to a query.
    pub async fn rates(&self, query: &RatesQuery<'_>, form: &Form<'_>) -> Result<(Answer, Source), Problem> {
        let version = self.freshness.current();
        if let Some(answer) = self.held(query, form) {
            return Ok((answer, Source::Hit));
        }
        // Boxed, or every hit would carry the room that a read needs, and copy it from layer to layer.
        Box::pin(self.make_rates(query, form, version)).await
    }

    async fn make_rates(
        &self,
        query: &RatesQuery<'_>,
        form: &Form<'_>,
        version: Option<i64>,
    ) -> Result<(Answer, Source), Problem> {
        let made = if let Some(version) = version {
            let key = Key::new(version, query, form);
            self.cache.get_or_make(&key, version, self.make_answer(query, form, version)).await
        } else {
            // Nothing is known of the newest version, so nothing in the cache is known to be right. While the database
            // cannot be reached at all, asking it would only make the stale answer late.
            if self.freshness.state() == State::Away
                && let Some(stale) = self.stale(query, form)
            {
                return Ok(stale);
            }
            let made = self.make_answer(query, form, 0).await;
            if let Ok(answer) = &made {
                self.cache.put(&Key::new(answer.version, query, form), answer);
            }
            made
        };
        match made {
            Err(problem) if problem.status() == http::StatusCode::SERVICE_UNAVAILABLE => {
                self.stale(query, form).ok_or(problem)
            }
            made => Ok((made?, Source::Miss)),
        }
    }

    /// Reads and writes an answer of data no older than `newest_known`.
    async fn make_answer(
        &self,
        query: &RatesQuery<'_>,
        form: &Form<'_>,
        newest_known: i64,
    ) -> Result<Answer, Problem> {
        self.cache.missed();
        let queries = chart::queries(query, form);
        let (lanes, catalogue) = self.lanes(&queries, newest_known).await?;
        let version = lanes[0].version.version;
        let body = match form {
            Form::Json => body::rates(query, &lanes[0]),
            Form::Csv => body::csv(query, &lanes[0]),
            Form::Svg(picture) => {
                chart::svg(picture, &queries, &lanes, &catalogue).map_err(Problem::internal)?
            }
        };
        Ok(Answer { body: Bytes::from(body), etag: Key::new(version, query, form).etag(), version })
    }

    /// What the answers to these queries are made of, all from one state of the data, no older than `newest_known`; or
    /// which of their places are not there.
    pub(crate) async fn lanes(
        &self,
        queries: &[RatesQuery<'_>],
        newest_known: i64,
    ) -> Result<(Vec<Lane>, Arc<Catalogue>), Problem> {
        let lanes = self.read_lanes(queries, newest_known).await?;
        let catalogue = self.catalogue_at(lanes[0].version).await?;
        let unknown: Vec<_> = queries
            .iter()
            .flat_map(|query| query.place_parameters.into_iter().zip([&query.origin, &query.destination]))
            .filter_map(|(field, place)| unknown_place(&catalogue, field, place))
            .collect();
        if unknown.is_empty() { Ok((lanes, catalogue)) } else { Err(Problem::invalid_parameters(unknown)) }
    }

    /// From a replica where there is one and it is not behind, else from the primary.
    async fn read_lanes(&self, queries: &[RatesQuery<'_>], newest_known: i64) -> Result<Vec<Lane>, Shared> {
        // Without a known version, a replica could be behind what this instance itself wrote.
        if newest_known > 0
            && let Some(replica) = self.database.replica()
        {
            match replica.lanes(queries).await {
                Ok(lanes) if lanes[0].version.version >= newest_known => return Ok(lanes),
                Ok(_) => {}
                Err(error) if chassis::postgres::is_outage(&error) => {
                    tracing::warn!(error = %error, "a read replica failed; the primary answers");
                }
                Err(error) => return Err(error),
            }
        }
        let lanes = self.database.reader.lanes(queries).await?;
        self.freshness.observe(lanes[0].version.version);
        Ok(lanes)
    }

    /// The newest day with prices of each of these lanes that has any; see [`sql::rates::newest_days`].
    pub(crate) async fn newest_days(
        &self,
        origins: &[&str],
        destinations: &[&str],
    ) -> Result<Vec<(String, String, NaiveDate)>, Problem> {
        let primary = &self.database.primary;
        chassis::postgres::retry(primary, || sql::rates::newest_days(primary, origins, destinations))
            .await
            .map_err(Problem::from)
    }

    /// What the cache still holds while the database is away.
    fn stale(&self, query: &RatesQuery<'_>, form: &Form<'_>) -> Option<(Answer, Source)> {
        let (version, outdated) = self.freshness.last_known()?;
        let allowed = outdated.as_secs_f64() < self.stale_seconds;
        let answer = allowed.then(|| self.cache.get(&Key::new(version, query, form))).flatten()?;
        Some((answer, Source::Stale { seconds: outdated.as_secs() }))
    }

    /// What is wrong with a query: to the faults of its form adds the places that are not there. While the database
    /// is away, the faults of form are told alone.
    pub async fn explain(&self, wrong: WrongRatesQuery<'_>) -> Problem {
        let mut faults = wrong.faults;
        if let Ok(catalogue) = self.catalogue().await {
            faults.extend(
                wrong.places.iter().filter_map(|(field, place)| unknown_place(&catalogue, field, place)),
            );
        }
        Problem::invalid_parameters(faults)
    }

    /// The places as they are now.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, Problem> {
        if let Some(catalogue) =
            self.freshness.current().and_then(|version| self.catalogues.known_at(version))
        {
            return Ok(catalogue);
        }
        let primary = &self.database.primary;
        let version = chassis::postgres::retry(primary, || sql::version::current(primary)).await?;
        self.freshness.observe(version.version);
        self.catalogue_at(version).await
    }

    async fn catalogue_at(&self, version: DataVersion) -> Result<Arc<Catalogue>, Problem> {
        self.catalogues.at(&self.database.primary, version).await.map_err(Problem::from)
    }

    /// Registers what only this service knows.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Instruments(self.clone())));
        self.outcomes.register(registry);
    }

    /// What `/readyz` says: the database answers and has the schema that this program was built for.
    pub async fn ready(&self) -> Result<(), String> {
        match database::pending_migrations(&self.database.primary).await {
            Ok(pending) if pending.is_empty() => Ok(()),
            Ok(pending) => Err(format!("{} migrations are pending; run `rates migrate`", pending.len())),
            Err(error) => {
                tracing::warn!(error = %error, "the database does not answer");
                Err("the database does not answer".into())
            }
        }
    }
}

fn unknown_place(catalogue: &Catalogue, field: &'static str, place: &PlaceName<'_>) -> Option<FieldError> {
    let name = place.as_ref();
    if catalogue.has(name) {
        return None;
    }
    let nearest = catalogue.nearest(name);
    let detail = if nearest.is_empty() {
        format!("there is no port or region {name}; GET /ports and GET /regions list them")
    } else {
        format!("there is no port or region {name}; did you mean {}?", nearest.join(" or "))
    };
    Some(FieldError::new(field, "unknown", detail).suggest(nearest))
}

/// Gauges read when they are asked for: they cost requests nothing.
#[derive(Debug)]
struct Instruments(App);

impl Collector for Instruments {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let app = &self.0;
        let pool = &app.database.primary;
        // The version is the microsecond clock of the last change.
        let changed = app.freshness.last_known().map_or(0, |(version, _)| version / 1_000_000);
        let age = chrono::Utc::now().timestamp() - changed;
        #[expect(clippy::cast_possible_wrap, reason = "bytes and connections are far below 2^63")]
        let gauges = [
            ("cache_bytes", "Bytes of answers in the cache", app.cache.weight() as i64),
            ("cache_hits", "Lookups that found an answer", app.cache.hits() as i64),
            ("cache_misses", "Answers that had to be made", app.cache.misses() as i64),
            ("database_connections", "Connections to the primary", i64::from(pool.size())),
            ("database_connections_idle", "Of these, idle", pool.num_idle() as i64),
            (
                "database_listening",
                "1 while changes of the data are heard of",
                i64::from(app.freshness.current().is_some()),
            ),
            ("data_age_seconds", "Time since prices or places last changed", age),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let name = format!("rates_{name}");
            let metric = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
