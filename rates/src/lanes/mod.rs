//! The rates of a lane: what is asked, how it is read and kept, and the forms it is written in.

pub mod cache;
pub mod chart;
pub mod json;
pub mod query;
pub mod reader;
pub mod sql;
pub mod version;
