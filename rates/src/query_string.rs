//! Parses query strings, and reports all faults at once.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use chassis::problem::FieldError;

use crate::values::{Fault, PlaceName, quoted};

pub(crate) fn parse_bool(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| ("malformed", format!("{} is neither true nor false", quoted(text))))
}

/// The lanes of a parameter that may be given several times, each as `ORIGIN:DESTINATION`.
pub(crate) fn parse_lanes<'a>(
    query: &'a str,
    parameter: &'static str,
    most: usize,
    faults: &mut Vec<FieldError>,
) -> Vec<(PlaceName<'a>, PlaceName<'a>)> {
    let mut lanes = Vec::new();
    for (_, value) in query_pairs(query).filter(|(name, _)| name == parameter) {
        let ends = value.split_once(':').and_then(|(origin, destination)| {
            let place = |text: &str| {
                PlaceName::parse(Cow::Owned(text.to_owned())).ok().filter(|_| !text.contains(':'))
            };
            Some((place(origin)?, place(destination)?))
        });
        if let Some(lane) = ends {
            lanes.push(lane);
        } else {
            let detail = format!("{} is not a lane like CNGGZ:north_europe", quoted(&value));
            faults.push(FieldError::new(parameter, "malformed", detail));
        }
    }
    if lanes.len() > most {
        let detail = format!("{} lanes are given; at most {most} can be", lanes.len());
        faults.push(FieldError::new(parameter, "too_many", detail));
    }
    lanes
}

/// The value of a parameter that has few.
macro_rules! parse_choice {
    ($choice:ident: $($name:literal => $value:ident),+) => {
        impl $choice {
            pub(crate) fn parse(text: std::borrow::Cow<'_, str>) -> Result<Self, $crate::values::Fault> {
                match &*text {
                    $($name => Ok(Self::$value),)+
                    _ => {
                        let text = $crate::values::quoted(&text);
                        Err(("malformed", format!("{text} is not one of {}", [$($name),+].join(", "))))
                    }
                }
            }
        }
    };
}

pub(crate) use parse_choice;

/// A number from `least` to `most`.
pub(crate) fn number_in<T: FromStr + PartialOrd + Display>(
    least: T,
    most: T,
) -> impl FnOnce(Cow<'_, str>) -> Result<T, Fault> {
    move |text| match text.parse() {
        Ok(number) if (&least..=&most).contains(&&number) => Ok(number),
        _ => Err(("out_of_range", format!("{} is not a number from {least} to {most}", quoted(&text)))),
    }
}

/// The names and values of a query string; nothing is copied unless it is escaped.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let escaped = query.bytes().any(|byte| matches!(byte, b'%' | b'+'));
    let decoded = escaped.then(|| form_urlencoded::parse(query.as_bytes()));
    // Almost no query has escapes; without them, splitting gives the same result and costs far less.
    let split = (!escaped).then(|| split_pairs(query));
    decoded.into_iter().flatten().chain(split.into_iter().flatten())
}

fn split_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Cow::from(name), Cow::from(value))
    })
}

/// A parameter with all its names, the preferred one first.
pub(crate) struct Parameter<'a> {
    names: &'static [&'static str],
    /// The name that the client used, and the value.
    given: Option<(&'static str, Cow<'a, str>)>,
    repeated: bool,
}

impl Parameter<'_> {
    pub(crate) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, given: None, repeated: false }
    }

    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The name that the client used, or the preferred one.
    pub(crate) fn name(&self) -> &'static str {
        self.given.as_ref().map_or(self.names[0], |(name, _)| *name)
    }
}

/// The faults found while the parameters of a query string are read.
pub(crate) struct Reading<'a> {
    misspelt: Vec<Misspelt<'a>>,
    pub(crate) faults: Vec<FieldError>,
}

impl<'a> Reading<'a> {
    /// Sets the value of each parameter. An unknown name that is similar to a known one is a fault, so that a typo is
    /// not silently ignored. Other unknown ones are ignored, because proxies and analytics add parameters of their own.
    ///
    /// Inlined, so that the names are constants where they are compared.
    #[inline]
    pub(crate) fn new<const N: usize>(query: &'a str, mut parameters: [&mut Parameter<'a>; N]) -> Self {
        let mut unknown = Vec::new();
        for (name, value) in query_pairs(query) {
            let known = parameters.iter_mut().find_map(|parameter| {
                let known = parameter.names.iter().find(|known| **known == name)?;
                Some((*known, parameter))
            });
            let Some((known, parameter)) = known else {
                unknown.push(name);
                continue;
            };
            parameter.repeated |= parameter.given.is_some();
            parameter.given = Some((known, value));
        }
        if unknown.is_empty() {
            return Self { misspelt: Vec::new(), faults: Vec::new() };
        }
        let names: Vec<_> = parameters.iter().flat_map(|parameter| parameter.names).copied().collect();
        Self { misspelt: misspelt(unknown, &names), faults: Vec::new() }
    }

    /// All faults, when every parameter has been read.
    pub(crate) fn finish(self) -> Vec<FieldError> {
        let mut faults = self.faults;
        faults.extend(self.misspelt.iter().map(Misspelt::fault));
        faults
    }

    /// The value of a required parameter; `None` if it has a fault.
    #[inline]
    pub(crate) fn required<T>(
        &mut self,
        parameter: Parameter<'a>,
        parse: impl FnOnce(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Option<T> {
        let Parameter { names, given, repeated } = parameter;
        let Some((name, value)) = given else {
            let fault = self.missing(names);
            self.faults.push(fault);
            return None;
        };
        let fault = if repeated {
            ("repeated", format!("{} is given more than once", names.join(" or ")))
        } else if value.is_empty() {
            ("missing", format!("{name} is empty"))
        } else {
            match parse(value) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            }
        };
        self.faults.push(FieldError::new(name, fault.0, fault.1));
        None
    }

    /// The value of a parameter with a default.
    #[inline]
    pub(crate) fn optional<T>(
        &mut self,
        parameter: Parameter<'a>,
        default: T,
        parse: impl FnOnce(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Option<T> {
        if parameter.given.is_none() { Some(default) } else { self.required(parameter, parse) }
    }

    /// The client may have meant one of the misspelt parameters, which is then no separate fault.
    fn missing(&mut self, names: &[&'static str]) -> FieldError {
        let at = self.misspelt.iter().position(|one| names.contains(&one.meant));
        let Some(Misspelt { written, meant }) = at.map(|at| self.misspelt.remove(at)) else {
            return FieldError::new(names[0], "missing", format!("{} is missing", names[0]));
        };
        let detail = format!("{} is missing; did you misspell it as {}?", names[0], quoted(&written));
        FieldError::new(names[0], "missing", detail).suggest(vec![meant.to_owned()])
    }
}

/// A name that is similar to that of a parameter.
pub(crate) struct Misspelt<'a> {
    written: Cow<'a, str>,
    meant: &'static str,
}

impl Misspelt<'_> {
    pub(crate) fn fault(&self) -> FieldError {
        let Self { written, meant } = self;
        let detail = format!("there is no parameter {}; did you mean {meant}?", quoted(written));
        FieldError::new(written.clone().into_owned(), "unknown_parameter", detail)
            .suggest(vec![(*meant).to_owned()])
    }
}

/// The unknown names that are similar to one of `names`.
pub(crate) fn misspelt<'a>(unknown: Vec<Cow<'a, str>>, names: &[&'static str]) -> Vec<Misspelt<'a>> {
    /// The maximum number of names to compare, so that a long query string cannot keep the server busy.
    const MOST: usize = 16;
    let near = |written: &str| {
        let written = written.to_lowercase();
        names
            .iter()
            .copied()
            // Two edits turn any short name into any other, so names of five letters may differ by only one, and shorter ones
            // not at all: `lang` is no misspelling of `lane`.
            .map(|name| (name, if name.len() > 5 { 2 } else { name.len() / 5 }))
            .filter(|(name, allowed)| written.len().abs_diff(name.len()) <= *allowed)
            .map(|(name, allowed)| (name, strsim::damerau_levenshtein(&written, name), allowed))
            .filter(|(_, distance, allowed)| distance <= allowed)
            .min_by_key(|(_, distance, _)| *distance)
            .map(|(name, ..)| name)
    };
    unknown
        .into_iter()
        .take(MOST)
        .filter_map(|written| near(&written).map(|meant| Misspelt { written, meant }))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_query_without_escapes_is_split_as_form_decoding_does(query in "[a-z&=;ü ]{0,30}") {
            let decoded: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            prop_assert_eq!(split_pairs(&query).collect::<Vec<_>>(), decoded);
        }
    }
}
