//! The page for people, and its files.

pub(crate) mod assets;
pub(crate) mod page;
mod query;
mod shown;
