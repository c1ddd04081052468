//! The page for people, and its files.

pub(crate) mod assets;
mod form;
mod home;
pub(crate) mod page;
mod query;
mod shown;
pub(crate) mod upload;
mod view;
