//! The data: schema, loading, the rollup against the raw prices, and the cache against the data.

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod cases;
mod differential;
mod load;
mod migrations;
mod outage;
mod privacy;
mod reader;
mod replica;
mod retire;
mod rollup;
mod statistics;
mod summaries;
