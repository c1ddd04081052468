//! Finds lanes in the list, and places at the ends of lanes.

use std::collections::{HashMap, HashSet};

use utoipa::ToSchema;

use super::{LaneList, Sort, Summary};
use crate::{
    lanes::query::Role,
    places::{Catalogue, Pair, PlaceId},
};

/// Which kind of places lanes are between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Kind {
    /// Every lane, also those between a port and a region.
    All,
    /// Both ends are ports.
    Ports,
    /// Both ends are regions.
    Regions,
}

/// Which lanes are looked for.
#[derive(Debug)]
pub(crate) struct LaneFilter {
    pub(crate) kind: Kind,
    /// Exactly this origin.
    pub(crate) origin: Option<PlaceId>,
    /// Exactly this destination.
    pub(crate) destination: Option<PlaceId>,
    /// For each word the places that have it; one of the ends has.
    pub(crate) words: Vec<HashSet<PlaceId>>,
}

/// What begins or ends in a place.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// The number of lanes.
    pub(crate) lanes: usize,
    /// The number of their prices.
    pub(crate) prices: i64,
}

impl LaneFilter {
    /// All lanes of this kind.
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, origin: None, destination: None, words: Vec::new() }
    }

    fn has(&self, (origin, destination): Pair, catalogue: &Catalogue) -> bool {
        let is_port = [origin, destination].map(|end| catalogue.is_port(end));
        self.origin.is_none_or(|wanted| wanted == origin)
            && self.destination.is_none_or(|wanted| wanted == destination)
            && self.words.iter().all(|places| places.contains(&origin) || places.contains(&destination))
            && match self.kind {
                Kind::All => true,
                Kind::Ports => is_port == [true, true],
                Kind::Regions => is_port == [false, false],
            }
            // A place that went since the list was read.
            && ![origin, destination].iter().any(|end| catalogue.code(*end).is_empty())
    }
}

impl Summary {
    /// The places of the lane.
    pub(crate) fn pair(&self) -> Pair {
        (PlaceId(self.origin), PlaceId(self.destination))
    }
}

impl LaneList {
    /// The lanes that pass the filter, in this order; those without a value are last.
    pub(crate) fn find<'a>(
        &'a self,
        filter: &LaneFilter,
        catalogue: &Catalogue,
        sort: Sort,
        is_ascending: bool,
    ) -> impl Iterator<Item = &'a Summary> {
        self.sorted(sort, is_ascending).filter(move |summary| filter.has(summary.pair(), catalogue))
    }

    /// The places that are this end of a lane with prices whose other end is this place, or else any port: so a price counts
    /// once.
    pub(crate) fn ends(
        &self,
        role: Role,
        other: Option<PlaceId>,
        catalogue: &Catalogue,
    ) -> HashMap<PlaceId, Traffic> {
        let mut ends: HashMap<PlaceId, Traffic> = HashMap::new();
        for summary in self.all() {
            let (origin, destination) = summary.pair();
            let (end, facing) = match role {
                Role::Origin => (origin, destination),
                Role::Destination => (destination, origin),
            };
            if other.map_or_else(|| catalogue.is_port(facing), |other| other == facing) {
                let traffic = ends.entry(end).or_default();
                traffic.lanes += 1;
                traffic.prices += summary.prices;
            }
        }
        ends
    }
}
