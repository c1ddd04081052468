//! Handlers; `router` says which path leads where.

pub(crate) mod messages;
pub(crate) mod openapi;
