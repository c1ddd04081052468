//! All SQL, a module for each subject; checked against the schema when it is compiled.

pub(crate) mod batches;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod places;
pub(crate) mod prices;
pub(crate) mod rollup;
pub(crate) mod staging;
