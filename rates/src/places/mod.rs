//! Places: ports and the tree of regions, kept in memory because every request names two of them.

mod model;
mod search;
pub(crate) mod sql;
mod store;

pub(crate) use model::RegionRow;
pub use model::{Catalogue, Pair, Place, PlaceId, PlaceKind, Port, Region};
pub(crate) use store::CatalogueStore;
