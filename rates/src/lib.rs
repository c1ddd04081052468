//! What does a container cost per day between two places? `GET /rates` answers from PostgreSQL, for ports and for
//! whole regions.
//!
//! Start reading at [`mod@http`]: it lists every route.

pub mod app;
pub mod batches;
pub mod catalogue;
pub mod commands;
pub mod database;
mod explorer;
pub mod http;
mod keys;
pub mod lanes;
pub mod load;
mod service;
pub mod settings;
mod sql;

pub use service::{Rates, parts};
