//! What was read for a query: its lane, and the wider lanes that its answer is made from.

use super::{
    element::PlacedElement,
    lane::Lane,
    query::{RatesQuery, Widen},
};
use crate::places::Pair;

/// The lane of a query, and the lanes that its answer is made from.
#[derive(Debug)]
pub struct FoundLane {
    /// The places of the query.
    pub(crate) pair: Pair,
    /// Nearest first; never empty. Several only if each element is of the first that has enough prices for it.
    pub(crate) sources: Vec<(Pair, Lane)>,
}

impl FoundLane {
    /// The elements of the query's range, in its order.
    pub(crate) fn elements(&self, query: &RatesQuery<'_>) -> Vec<PlacedElement> {
        let mut sources = self.sources.iter().map(|(pair, lane)| {
            let placed = |element| PlacedElement { element, pair: *pair };
            lane.elements(query).into_iter().map(placed)
        });
        let mut elements: Vec<PlacedElement> = sources.next().into_iter().flatten().collect();
        for wider in sources {
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
            self.sources.retain(|(pair, _)| used.contains(pair));
            return;
        }
        let has_mean = |(_, lane): &(Pair, Lane)| lane.elements(query).iter().any(|one| one.mean.is_some());
        let chosen = self.sources.iter().position(has_mean).unwrap_or(0);
        self.sources.swap(0, chosen);
        self.sources.truncate(1);
    }
}
