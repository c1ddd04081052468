//! What the tests of `rates` share.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use axum::body::Body;
pub use chassis::testing::Answer;
use chassis::testing::Client;
use http::Request;
use prometheus_client::registry::Registry;
use rates::{Rates, app::App, batches::parse::Rules, database::Database, settings::Settings};
use sqlx::PgPool;
use tokio::{task::JoinHandle, time::Duration};

pub mod receiver;

/// Begins a statement: `lane_prices` are the prices from the place $1 to the place $2 with their suppliers, as the tables of
/// a dump and batches have them.
#[macro_export]
macro_rules! with_lane_prices {
    ($rest:literal) => {
        concat!(
            "with recursive below_origin as (
                 select slug from regions where slug = $1
                 union select r.slug from regions r join below_origin b on r.parent_slug = b.slug
             ), below_destination as (
                 select slug from regions where slug = $2
                 union select r.slug from regions r join below_destination b on r.parent_slug = b.slug
             ), lane_prices as (
                 select day, price, coalesce(supplier, 'a dump') as supplier
                 from prices left join batches on batches.id = batch_id
                 where orig_code in (select code from ports where code = $1 or parent_slug in (table below_origin))
                   and dest_code in (select code from ports where code = $2 or parent_slug in (table below_destination))
             ) ",
            $rest
        )
    };
}

/// Settings as they are with these variables and no others.
#[track_caller]
pub fn settings(variables: &[(&str, &str)]) -> Settings {
    chassis::testing::settings::<Rates>(variables).service
}

/// The rules of content as they are by default.
pub fn rules() -> Rules {
    settings(&[]).batches.rules()
}

/// An instance of the service over a database, without a socket.
pub struct Instance {
    pub app: App,
    pub client: Client,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Instance {
    /// Its connection would keep the test's database from being removed.
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

impl Instance {
    pub fn new(pool: &PgPool) -> Self {
        Self::with(Database::of(pool.clone()), &[])
    }

    pub fn with(database: Database, variables: &[(&str, &str)]) -> Self {
        let loaded = chassis::testing::settings::<Rates>(variables);
        let app = App::new(database, &loaded.service);
        let mut registry = Registry::default();
        app.register_metrics(&mut registry);
        let parts = rates::parts(app.clone(), &loaded.service);
        let client = Client::new::<Rates>(parts, &loaded.shell, registry);
        Self { app, client, listening: None }
    }

    /// The same, listening to changes of the data. Returns when it does.
    pub async fn listening(mut self) -> Self {
        let app = self.app.clone();
        self.listening = Some(tokio::spawn(async move { app.lanes.listen().await }));
        self.until(|instance| instance.app.lanes.freshness.current().is_some()).await;
        self
    }

    /// Loses the connection that listens for changes.
    pub async fn stop_listening(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
        self.app.lanes.freshness.lose_connection();
    }

    /// Waits for a state that must come by itself; gives up after ten seconds.
    pub async fn until(&self, state: impl Fn(&Self) -> bool) {
        let reached = async {
            while !state(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), reached).await;
        in_time.expect("the state was not reached within ten seconds");
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.client.get(uri).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        self.client.send(request).await
    }

    /// What the metrics port says of this instance.
    pub async fn metrics(&self) -> String {
        self.client.metrics().await
    }

    /// The rates of a lane.
    pub async fn rates(&self, origin: &str, destination: &str, from: &str, to: &str) -> Answer {
        self.get(&format!("/rates?date_from={from}&date_to={to}&orig_code={origin}&dest_code={destination}"))
            .await
    }
}
