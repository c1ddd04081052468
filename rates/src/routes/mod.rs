//! Handlers, a module for each area; `router` says which path leads where.

pub(crate) mod assets;
pub(crate) mod explorer;
pub(crate) mod greeting;
pub(crate) mod openapi;
pub(crate) mod rates;
