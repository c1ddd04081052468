//! Places: ports and the tree of regions, kept in memory because every request names two of them.

mod model;
mod search;
pub(crate) mod sql;

pub(crate) use model::RegionRow;
pub use model::{Catalogue, Pair, Place, PlaceId, PlaceKind, Port, Region};
