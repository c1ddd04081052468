//! The form of the page: what was typed, what is wrong with it, and what may have been meant.

use chassis::problem::FieldError;

use super::{
    query::PageQuery,
    view::{Names, View},
};
use crate::places::Catalogue;

/// The form, with the lanes that it names.
#[derive(Default)]
pub(super) struct Form {
    pub(super) lanes: Vec<LaneFields>,
    pub(super) from: DayField,
    pub(super) to: DayField,
    pub(super) faults: Vec<Fault>,
}

/// The two fields of a lane.
#[derive(Default)]
pub(super) struct LaneFields {
    pub(super) number: usize,
    pub(super) origin: Field,
    pub(super) destination: Field,
    /// The same page without this lane, where there are several.
    pub(super) without: Option<String>,
}

/// A field of a place: what was typed or its code, and its name.
#[derive(Default)]
pub(super) struct Field {
    pub(super) value: String,
    pub(super) name: String,
    pub(super) wrong: bool,
}

/// A field of a day.
#[derive(Default)]
pub(super) struct DayField {
    pub(super) value: String,
    pub(super) wrong: bool,
}

/// A fault of the form.
pub(super) struct Fault {
    pub(super) text: String,
    /// The page as it would be with a place that may have been meant.
    pub(super) meant: Vec<Link>,
}

/// A link, perhaps to what the page shows already.
pub(super) struct Link {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) current: bool,
}

impl LaneFields {
    pub(super) fn is_wrong(&self) -> bool {
        self.origin.wrong || self.destination.wrong
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self { text: error.detail, meant: Vec::new() }
    }
}

impl Form {
    /// The form of this query; the codes of its lanes if all places exist.
    pub(super) fn new(query: &PageQuery<'_>, catalogue: &Catalogue) -> (Self, Vec<Names>) {
        let day = |text: &str| DayField { value: text.to_owned(), wrong: false };
        let faults = query.faults.iter().cloned().map(Fault::from).collect();
        let mut form = Self { from: day(&query.from), to: day(&query.to), faults, ..Self::default() };
        let typed: Vec<Names> = query
            .lanes
            .iter()
            .map(|(origin, destination)| (origin.trim().to_owned(), destination.trim().to_owned()))
            .collect();
        let view = View::new(typed, (&query.from, &query.to), query);
        for index in 0..view.lanes.len() {
            let origin = form.place(&view, catalogue, index, |lane| &mut lane.0, "origin");
            let destination = form.place(&view, catalogue, index, |lane| &mut lane.1, "destination");
            let without = (view.lanes.len() > 1).then(|| view.without(index).href());
            form.lanes.push(LaneFields { number: index + 1, origin, destination, without });
        }
        let lanes = form.lanes.iter().filter(|lane| !lane.is_wrong());
        let lanes = lanes.map(|lane| (lane.origin.value.clone(), lane.destination.value.clone())).collect();
        (form, lanes)
    }

    /// The field of one end of a lane; adds a fault if it is not a place.
    fn place(
        &mut self,
        view: &View,
        catalogue: &Catalogue,
        index: usize,
        end: fn(&mut Names) -> &mut String,
        which: &str,
    ) -> Field {
        let text = end(&mut view.lanes[index].clone()).clone();
        let of_lane = if index > 0 { format!(" of lane {}", index + 1) } else { String::new() };
        let (detail, meant): (String, Vec<String>) = match catalogue.matches(&text).as_slice() {
            [place] => {
                let value = (*place).to_owned();
                return Field { name: catalogue.place_name(place), value, wrong: false };
            }
            [] if text.is_empty() => (format!("The {which}{of_lane} is missing."), Vec::new()),
            [] => {
                let nearest = catalogue.search(&text, 3).into_iter().map(|place| place.code).collect();
                (format!("There is no port or region “{text}” for the {which}{of_lane}."), nearest)
            }
            several => {
                let meanings = several.iter().map(|place| (*place).to_owned()).collect();
                (format!("There are several places “{text}” for the {which}{of_lane}."), meanings)
            }
        };
        let link = |place: String| {
            let text = catalogue.label(&place);
            let mut meant = view.clone();
            *end(&mut meant.lanes[index]) = place;
            Link { text, href: meant.href(), current: false }
        };
        self.faults.push(Fault { text: detail, meant: meant.into_iter().map(link).collect() });
        Field { value: text, name: String::new(), wrong: true }
    }
}
