//! What does a container cost per day between two places? `GET /rates` answers from PostgreSQL, for ports and for
//! whole regions.
//!
//! Start reading at [`router`]: it lists every route. A route `/x` has its handler in `http::x` and its test in
//! `tests/routes/x.rs`; the SQL of a subject is in the module of the subject.

pub mod app;
pub mod batches;
pub mod body;
pub mod cache;
mod chart;
pub mod commands;
pub mod database;
pub mod form;
mod http;
pub mod load;
pub mod params;
pub mod places;
mod progress;
pub mod reader;
mod rollup;
pub mod router;
mod routes;
pub mod settings;
mod sql;
mod suppliers;
pub mod version;
