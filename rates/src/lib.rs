//! What does it cost to ship a container from A to B, day by day? `GET /rates` answers from PostgreSQL, for ports and
//! for whole regions.
//!
//! Start reading at [`http::router`]: it lists every route and where its handler is. The modules beside [`mod@http`]
//! have what the handlers need: [`lanes`] has the data behind `/rates`, and so on.

pub mod app;
mod background;
pub mod batches;
mod commands;
pub mod database;
mod explorer;
pub mod hooks;
pub mod http;
pub mod lanes;
pub mod load;
pub mod places;
pub mod privacy;
mod query_string;
mod reference;
pub mod retire;
mod rollup;
mod service;
pub mod settings;
pub mod statistics;
pub mod summaries;
pub mod suppliers;
mod values;

pub use service::{Rates, parts};
