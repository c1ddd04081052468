//! The handlers, a module for each area.

pub(crate) mod batches;
pub(crate) mod places;
pub(crate) mod prices;
