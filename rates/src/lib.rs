//! What does a container cost per day between two places? `GET /rates` answers from PostgreSQL, for ports and for
//! whole regions.
//!
//! Start reading at [`router`]: it lists every route. A route `x` has its handler in `routes::x`, its SQL in `sql::x`
//! and its test in `tests/routes/x.rs`.

pub mod app;
pub mod batches;
pub mod body;
pub mod cache;
pub mod catalogue;
mod chart;
pub mod commands;
pub mod database;
pub mod form;
mod keys;
pub mod load;
pub mod params;
pub mod reader;
pub mod router;
mod routes;
pub mod settings;
mod sql;
pub mod version;
