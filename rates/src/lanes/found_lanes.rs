//! What was read for queries: the lane of each, and the wider lanes that its answer is made from.

use std::sync::Arc;

use super::{
    element::PlacedElement,
    lane::{Lane, LaneRange},
    query::{Fingerprint, RatesQuery, Widen},
    store::{Found, Source},
};
use crate::places::{Catalogue, Pair};

/// Lanes that were found, and the places that they were found by.
#[derive(Debug)]
pub struct FoundLanes {
    /// In the order of the queries.
    pub(crate) lanes: Vec<FoundLane>,
    /// Where they came from.
    pub(crate) source: Source,
    pub(crate) catalogue: Arc<Catalogue>,
}

/// The lane of a query, and the lanes that its answer is made from.
#[derive(Debug)]
pub struct FoundLane {
    /// The places of the query.
    pub(crate) pair: Pair,
    /// The lanes that its answer may be made from, the nearest first; never empty. After [`Self::choose`] all of them are
    /// needed: one, or several if each element is of the first that has enough prices for it.
    pub(crate) candidates: Vec<(Pair, Lane)>,
}

impl FoundLane {
    /// The elements of the query's range, in its order.
    pub(crate) fn elements(&self, query: &RatesQuery<'_>) -> Vec<PlacedElement> {
        let mut candidates = self.candidates.iter().map(|(pair, lane)| {
            let placed = |element| PlacedElement { element, pair: *pair };
            lane.elements(query).into_iter().map(placed)
        });
        let mut elements: Vec<PlacedElement> = candidates.next().into_iter().flatten().collect();
        for wider in candidates {
            for (element, wider) in elements.iter_mut().zip(wider) {
                if element.element.mean.is_none() && wider.element.mean.is_some() {
                    *element = wider;
                }
            }
        }
        elements
    }

    /// Whether the query wants wider places, because the lane has too few prices.
    pub(crate) fn is_too_narrow(&self, query: &RatesQuery<'_>) -> bool {
        let elements = || self.elements(query).into_iter();
        match query.widen {
            Widen::No => false,
            Widen::WholeRange => elements().all(|element| element.element.mean.is_none()),
            Widen::Each => elements().any(|element| element.element.mean.is_none()),
        }
    }

    /// Keeps only the lanes that the answer is made from.
    pub(crate) fn choose(&mut self, query: &RatesQuery<'_>) {
        if query.widen == Widen::Each {
            let mut used: Vec<Pair> = self.elements(query).iter().map(|element| element.pair).collect();
            used.push(self.pair);
            self.candidates.retain(|(pair, _)| used.contains(pair));
            return;
        }
        let has_mean = |(_, lane): &(Pair, Lane)| lane.elements(query).iter().any(|one| one.mean.is_some());
        let chosen = self.candidates.iter().position(has_mean).unwrap_or(0);
        self.candidates.swap(0, chosen);
        self.candidates.truncate(1);
    }
}

impl FoundLanes {
    pub(super) fn new(ranges: &[LaneRange], found: Found, catalogue: Arc<Catalogue>) -> Self {
        let lane = |(range, lane): (&LaneRange, Lane)| FoundLane {
            pair: range.pair,
            candidates: vec![(range.pair, lane)],
        };
        Self { lanes: ranges.iter().zip(found.lanes).map(lane).collect(), source: found.source, catalogue }
    }

    pub(super) fn are_too_narrow(&self, queries: &[RatesQuery<'_>]) -> bool {
        queries.iter().zip(&self.lanes).any(|(query, lane)| lane.is_too_narrow(query))
    }

    /// Adds what answers are made of: the places and the content of the lanes. A place has a number of its own for ever.
    pub(crate) fn add_to(&self, fingerprint: &mut Fingerprint) {
        for found in &self.lanes {
            let candidates = found.candidates.iter().map(|(pair, _)| pair);
            for (origin, destination) in std::iter::once(&found.pair).chain(candidates) {
                fingerprint.add(u64::from(origin.0.cast_unsigned()));
                fingerprint.add(u64::from(destination.0.cast_unsigned()));
            }
            for (_, lane) in &found.candidates {
                lane.add_to(fingerprint);
            }
        }
    }

    /// Adds what pictures and pages are made of beside that: the names of places.
    pub(crate) fn add_names_to(&self, fingerprint: &mut Fingerprint) {
        fingerprint.add(self.catalogue.places_version.cast_unsigned());
        self.add_to(fingerprint);
    }
}
