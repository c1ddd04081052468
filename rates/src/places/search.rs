//! Finds places by what people type. All searches compare text that went through [`normalize`].

use std::collections::HashSet;

use super::{Catalogue, Place, PlaceId, PlaceKind, Port};

/// From this similarity on (Jaro-Winkler, 1 is equal) a word counts as a misspelling of another in a search.
const MISSPELLING: f64 = 0.86;

/// From this similarity on a place is suggested instead of one that does not exist.
const SUGGESTION: f64 = 0.75;

/// Code (or slug) and name of a place, normalized.
#[derive(Debug)]
pub(super) struct SearchKey {
    code: String,
    name: String,
}

impl SearchKey {
    pub(super) fn new(code: &str, name: &str) -> Self {
        Self { code: normalize(code), name: normalize(name) }
    }

    /// How well the place matches a normalized query, the higher the better; `None` if it does not.
    fn score(&self, query: &str) -> Option<f64> {
        let Self { code, name } = self;
        let words = || name.split(' ').chain(code.split(' '));
        if query.is_empty() {
            return Some(0.0);
        }
        if code == query || name == query {
            return Some(6.0);
        }
        if name.starts_with(query) || code.starts_with(query) {
            return Some(5.0);
        }
        if query.split(' ').all(|part| words().any(|word| word.starts_with(part))) {
            return Some(4.0);
        }
        if name.contains(query) || code.contains(query) {
            return Some(3.0);
        }
        if query.len() < 3 {
            return None;
        }
        // The query may be the misspelt beginning of a longer name, so it is compared with as much of the name, too.
        let beginning: String = name.chars().take(query.chars().count()).collect();
        let candidates = words().chain([name.as_str(), beginning.as_str()]);
        let similarity = candidates.map(|word| strsim::jaro_winkler(query, word)).max_by(f64::total_cmp);
        similarity.filter(|similarity| *similarity > MISSPELLING)
    }

    /// Whether each of these normalized words is part of the code or of the name.
    fn has_all(&self, words: &[String]) -> bool {
        words.iter().all(|word| self.code.contains(word) || self.name.contains(word))
    }

    /// How similar the place is to a normalized name, from 0 to 1.
    fn similarity(&self, name: &str) -> f64 {
        strsim::jaro_winkler(name, &self.code).max(strsim::jaro_winkler(name, &self.name))
    }
}

/// Lower case, without diacritics, words separated by single spaces: `North-Europe`, `north_europe` and `NORTH  EUROPE`
/// become equal.
fn normalize(text: &str) -> String {
    let plain = deunicode::deunicode(text).to_lowercase();
    let words: Vec<&str> =
        plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

impl Catalogue {
    /// Ports and regions by code or name, the best match first. Case, diacritics and misspellings do not matter, and
    /// the beginning of a word suffices. Without words, the regions in tree order.
    #[must_use]
    pub fn search(&self, words: &str, limit: usize) -> Vec<Place> {
        self.search_by_weight(words, limit, |_| Some(0))
    }

    /// The same of the places whose code has a weight; among those that match equally well, the heaviest first.
    pub(crate) fn search_by_weight(
        &self,
        words: &str,
        limit: usize,
        weight: impl Fn(&str) -> Option<i64>,
    ) -> Vec<Place> {
        let query = normalize(words);
        let keys = self.search_keys.iter().enumerate();
        let mut matches: Vec<(f64, i64, usize)> = keys
            .filter_map(|(position, key)| {
                let score = key.score(&query)?;
                Some((score, weight(self.code_at(position))?, position))
            })
            .collect();
        // A stable sort: among equals, regions stay before ports.
        matches.sort_by(|(a, a_weight, _), (b, b_weight, _)| b.total_cmp(a).then(b_weight.cmp(a_weight)));
        matches.into_iter().take(limit).map(|(.., position)| self.place_at(position)).collect()
    }

    /// The code or slug of the one place that a text can mean. `None` if no place or several match.
    #[must_use]
    pub fn resolve(&self, text: &str) -> Option<&str> {
        match self.matches(text).as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The codes and slugs of the places that a text can mean: by code, slug or name in any case, with or without
    /// diacritics. A code or slug as it is written means its place alone.
    #[must_use]
    pub fn matches(&self, text: &str) -> Vec<&str> {
        if let Some(port) = self.port(text) {
            return vec![&port.code];
        }
        if let Some(region) = self.region(text) {
            return vec![&region.slug];
        }
        let query = normalize(text);
        if query.is_empty() {
            return Vec::new();
        }
        let keys = self.search_keys.iter().enumerate();
        keys.filter(|(_, key)| key.code == query || key.name == query)
            .map(|(position, _)| self.code_at(position))
            .collect()
    }

    /// For each of these words the places whose code or name contains it.
    #[must_use]
    pub fn find_words(&self, words: &str) -> Vec<HashSet<PlaceId>> {
        let places = |word: &str| {
            let keys = self.search_keys.iter().enumerate();
            let found = keys.filter(|(_, key)| key.code.contains(word) || key.name.contains(word));
            found.filter_map(|(position, _)| self.id(self.code_at(position))).collect()
        };
        normalize(words).split_whitespace().map(places).collect()
    }

    /// Ports whose code or name contains all words of `q`, in `region` at any depth, after the code `after`; by code.
    pub fn find_ports<'a>(
        &'a self,
        q: Option<&str>,
        region: Option<&'a str>,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Port> {
        let words: Vec<String> =
            normalize(q.unwrap_or_default()).split_whitespace().map(str::to_owned).collect();
        let ports = self.ports();
        let start = after.map_or(0, |after| ports.partition_point(|port| port.code.as_str() <= after));
        ports[start..]
            .iter()
            .zip(&self.search_keys[self.regions().len() + start..])
            .filter(move |(_, key)| key.has_all(&words))
            .map(|(port, _)| port)
            .filter(move |port| {
                region
                    .is_none_or(|slug| self.path(&port.parent_slug).iter().any(|parent| parent.slug == slug))
            })
    }

    /// The codes and slugs most similar to a name that does not exist, by code, slug or name; at most three. With a
    /// kind, only those of such places.
    #[must_use]
    pub fn nearest(&self, name: &str, kind: Option<PlaceKind>) -> Vec<String> {
        let name = normalize(name);
        let mut nearest: Vec<(f64, &str)> = self
            .search_keys
            .iter()
            .enumerate()
            .filter(|(position, _)| kind.is_none_or(|kind| kind == self.kind_at(*position)))
            .map(|(position, key)| (key.similarity(&name), self.code_at(position)))
            .filter(|(similarity, _)| *similarity > SUGGESTION)
            .collect();
        nearest.sort_by(|(x, a), (y, b)| y.total_cmp(x).then_with(|| a.cmp(b)));
        nearest.into_iter().take(3).map(|(_, code)| code.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::model::tests::catalogue;

    #[test]
    fn text_is_compared_without_case_diacritics_and_separators() {
        for text in ["North Europe", "north_europe", " NORTH--EUROPE ", "Nörth Eurøpe"] {
            assert_eq!(normalize(text), "north europe", "{text}");
        }
    }

    #[test]
    fn ports_are_found_by_code_name_and_region_with_and_without_diacritics() {
        let catalogue = catalogue();
        let found = |q: Option<&str>, region: Option<&str>, after: Option<&str>| -> Vec<String> {
            catalogue.find_ports(q, region, after).map(|port| port.code.clone()).collect()
        };
        assert_eq!(found(Some("kobenh"), None, None), ["DKCPH"]);
        assert_eq!(found(Some("KØBEN"), None, None), ["DKCPH"]);
        // With the diacritic on a letter that has none in the name.
        assert_eq!(found(Some("tállinn"), None, None), ["EETLL"]);
        assert_eq!(found(Some("eet"), None, None), ["EETLL"]);
        assert_eq!(found(None, Some("europe"), None), ["DKCPH", "EETLL"]);
        assert_eq!(found(None, Some("europe"), Some("DKCPH")), ["EETLL"]);
        assert_eq!(found(Some("tall cngg"), None, None), [""; 0]);
    }

    #[test]
    fn places_are_found_however_they_are_written() {
        let catalogue = catalogue();
        for (words, best) in [
            ("cnggz", "CNGGZ"),
            ("CNGG", "CNGGZ"),
            ("guang", "CNGGZ"),
            ("KØBENHAVN", "DKCPH"),
            ("kobenhvan", "DKCPH"),
            ("Tallin", "EETLL"),
            ("talin", "EETLL"),
            ("europe north", "north_europe"),
            ("north_eu", "north_europe"),
            ("europe", "europe"),
            ("lti", "baltic"),
        ] {
            let found = catalogue.search(words, 3);
            assert_eq!(found.first().map(|place| place.code.as_str()), Some(best), "{words}: {found:?}");
        }
        assert_eq!(
            catalogue.search("", 2).iter().map(|place| &*place.code).collect::<Vec<_>>(),
            ["asia", "china_south"]
        );
        assert!(catalogue.search("qqqqq", 3).is_empty());
        let baltic = &catalogue.search("baltic", 1)[0];
        assert_eq!((baltic.kind, baltic.within.as_deref()), (PlaceKind::Region, Some("North Europe")));
    }

    #[test]
    fn what_a_person_wrote_is_a_place_where_it_can_only_mean_one() {
        let catalogue = catalogue();
        for (text, place) in [
            ("CNGGZ", Some("CNGGZ")),
            ("cnggz", Some("CNGGZ")),
            ("north europe", Some("north_europe")),
            ("kobenhavn", Some("DKCPH")),
            ("Guang", None),
            ("", None),
        ] {
            assert_eq!(catalogue.resolve(text), place, "{text}");
        }
    }

    #[test]
    fn the_nearest_names_are_suggested() {
        let catalogue = catalogue();
        for (wrong, right) in [
            ("CNGZG", "CNGGZ"),
            ("cnggz", "CNGGZ"),
            ("north_europa", "north_europe"),
            ("Tallin", "EETLL"),
            ("copenhavn", "DKCPH"),
            ("China_South", "china_south"),
        ] {
            let nearest = catalogue.nearest(wrong, None);
            assert!(nearest.len() <= 3 && nearest.contains(&right.to_owned()), "{wrong}: {nearest:?}");
        }
        assert!(catalogue.nearest("qqqqqqqq", None).is_empty());
        // With a kind, places of the other kind are not suggested, however similar.
        assert_eq!(catalogue.nearest("baltic", Some(PlaceKind::Region)), ["baltic"]);
        assert_eq!(catalogue.nearest("baltic", Some(PlaceKind::Port)), [""; 0]);
        assert_eq!(catalogue.nearest("tallin", Some(PlaceKind::Port)), ["EETLL"]);
    }
}
