//! Handlers, a module for each area; `router` says which path leads where.

pub mod answer;
pub(crate) mod batches;
pub(crate) mod explorer;
pub(crate) mod openapi;
pub(crate) mod places;
pub(crate) mod prices;
pub(crate) mod rates;
pub mod router;
