//! All SQL, a module for each subject; checked against the schema when it is compiled.

pub(crate) mod jobs;
pub(crate) mod migrations;
pub(crate) mod rates;
pub(crate) mod version;
