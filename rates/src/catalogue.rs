//! The places in memory: which codes and slugs there are, the tree, and the nearest names to one that is not there.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::{
    lanes::sql::DataVersion,
    sql::{
        self,
        places::{PortRow, RegionRow},
    },
};

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Port {
    /// UN/LOCODE.
    #[schema(examples("CNGGZ"))]
    pub code: String,
    /// Its name, as people write it.
    #[schema(examples("Guangzhou"))]
    pub name: String,
    /// The region it lies in.
    #[schema(examples("pearl_river_delta"))]
    pub parent_slug: String,
}

/// A region, with its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Region {
    /// Its name in requests.
    #[schema(examples("north_europe"))]
    pub slug: String,
    /// Its name, as people write it.
    #[schema(examples("North Europe"))]
    pub name: String,
    /// The region around it; null for a root of the tree.
    pub parent_slug: Option<String>,
    /// How many regions are around it.
    #[schema(examples(1))]
    pub depth: usize,
    /// How many ports lie in it or below it.
    #[schema(examples(12))]
    pub port_count: usize,
}

/// A port or region as a search finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Place {
    /// What `/rates` takes: a port's code or a region's slug.
    #[schema(examples("CNGGZ"))]
    pub code: String,
    /// `port` or `region`.
    #[schema(examples("port"))]
    pub kind: &'static str,
    /// Its name, as people write it.
    #[schema(examples("Guangzhou"))]
    pub name: String,
    /// The name of the region around it; null for a root of the tree.
    #[schema(required, examples("Pearl River Delta"))]
    pub within: Option<String>,
}

/// All places of one version.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The version at which they last changed.
    pub places_version: i64,
    /// By code.
    ports: Vec<Port>,
    /// In the order of the tree: a region, then what is below it; brothers by slug.
    regions: Vec<Region>,
    /// Where in `regions` a slug is.
    region_index: HashMap<String, usize>,
    /// What to look for in each port and region: code or slug, name with and without diacritics, all in lower case.
    port_words: Vec<String>,
    /// Code and name of every place as [`folded`] text: regions, then ports.
    folded: Vec<(String, String)>,
}

impl Catalogue {
    fn new(places_version: i64, ports: Vec<PortRow>, regions: &[RegionRow]) -> Self {
        let ports: Vec<Port> = ports
            .into_iter()
            .map(|row| Port { code: row.code, name: row.name, parent_slug: row.parent_slug })
            .collect();
        let regions = in_tree_order(regions, &ports);
        let region_index =
            regions.iter().enumerate().map(|(index, region)| (region.slug.clone(), index)).collect();
        let port_words = ports
            .iter()
            .map(|port| {
                let name = port.name.to_lowercase();
                format!("{} {name} {}", port.code.to_lowercase(), deunicode::deunicode(&name).to_lowercase())
            })
            .collect();
        let region_names = regions.iter().map(|region| (folded(&region.slug), folded(&region.name)));
        let port_names = ports.iter().map(|port| (folded(&port.code), folded(&port.name)));
        let folded = region_names.chain(port_names).collect();
        Self { places_version, ports, regions, region_index, port_words, folded }
    }

    /// All ports, by code.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// All regions, in the order of the tree.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The port with this code.
    #[must_use]
    pub fn port(&self, code: &str) -> Option<&Port> {
        let index = self.ports.binary_search_by(|port| port.code.as_str().cmp(code)).ok()?;
        Some(&self.ports[index])
    }

    /// The region with this slug.
    #[must_use]
    pub fn region(&self, slug: &str) -> Option<&Region> {
        Some(&self.regions[*self.region_index.get(slug)?])
    }

    /// Ports and regions by code or name, the best first: however written, by the start of a word, or misspelt. Without
    /// words, the regions in the order of the tree.
    #[must_use]
    pub fn search(&self, words: &str, limit: usize) -> Vec<Place> {
        let wanted = folded(words);
        let mut found: Vec<(f64, usize)> = self
            .folded
            .iter()
            .enumerate()
            .filter_map(|(at, (code, name))| Some((likeness(&wanted, code, name)?, at)))
            .collect();
        // Equals keep their order: regions before ports.
        found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        found.into_iter().take(limit).map(|(_, at)| self.place(at)).collect()
    }

    fn place(&self, at: usize) -> Place {
        let name_of = |slug: &str| self.region(slug).map(|region| region.name.clone());
        if let Some(region) = self.regions.get(at) {
            let within = region.parent_slug.as_deref().and_then(name_of);
            return Place { code: region.slug.clone(), kind: "region", name: region.name.clone(), within };
        }
        let port = &self.ports[at - self.regions.len()];
        let within = name_of(&port.parent_slug);
        Place { code: port.code.clone(), kind: "port", name: port.name.clone(), within }
    }

    /// The code or slug of what a person wrote, where it can only mean one place: its code, slug or name in any case,
    /// with or without diacritics.
    #[must_use]
    pub fn resolve(&self, text: &str) -> Option<&str> {
        let code = |at: usize| {
            let region = self.regions.get(at).map(|region| region.slug.as_str());
            region.unwrap_or_else(|| &self.ports[at - self.regions.len()].code)
        };
        if let Some(port) = self.port(text) {
            return Some(&port.code);
        }
        if let Some(region) = self.region(text) {
            return Some(&region.slug);
        }
        let wanted = folded(text);
        let mut meant = (0..self.folded.len()).filter(|at| {
            let (code, name) = &self.folded[*at];
            *code == wanted || *name == wanted
        });
        meant.next().filter(|_| meant.next().is_none()).map(code)
    }

    /// The name of a place without its code; empty where there is none.
    #[must_use]
    pub fn place_name(&self, place: &str) -> String {
        let port = self.port(place).map(|port| port.name.clone());
        port.or_else(|| Some(self.region(place)?.name.clone())).unwrap_or_default()
    }

    /// A place as people are told of it: its name and code, or its name where it is a region.
    #[must_use]
    pub fn label(&self, place: &str) -> String {
        match (self.port(place), self.region(place)) {
            (Some(port), _) => format!("{} ({})", port.name, port.code),
            (None, Some(region)) => region.name.clone(),
            (None, None) => place.to_owned(),
        }
    }

    /// Whether there is a port or region of this name.
    #[must_use]
    pub fn has(&self, place: &str) -> bool {
        self.port(place).is_some() || self.region_index.contains_key(place)
    }

    /// The region of this slug and those around it, outermost first.
    #[must_use]
    pub fn path(&self, slug: &str) -> Vec<&Region> {
        let mut path = Vec::new();
        let mut next = self.region(slug);
        while let Some(region) = next {
            path.push(region);
            next = region.parent_slug.as_deref().and_then(|parent| self.region(parent));
        }
        path.reverse();
        path
    }

    /// The regions right below this one.
    pub fn children<'a>(&'a self, slug: &'a str) -> impl Iterator<Item = &'a Region> {
        self.regions.iter().filter(move |region| region.parent_slug.as_deref() == Some(slug))
    }

    /// Ports whose code or name has all words of `q`, below `region` at any depth, after the code `after`; by code.
    pub fn find_ports<'a>(
        &'a self,
        q: Option<&str>,
        region: Option<&'a str>,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Port> {
        let words: Vec<String> =
            q.unwrap_or_default().to_lowercase().split_whitespace().map(str::to_owned).collect();
        let start = after.map_or(0, |after| self.ports.partition_point(|port| port.code.as_str() <= after));
        self.ports[start..]
            .iter()
            .zip(&self.port_words[start..])
            .filter(move |(_, found)| words.iter().all(|word| found.contains(word.as_str())))
            .map(|(port, _)| port)
            .filter(move |port| {
                region
                    .is_none_or(|slug| self.path(&port.parent_slug).iter().any(|around| around.slug == slug))
            })
    }

    /// The codes and slugs nearest to a name that is not there, at most three: by spelling of the code or slug, or of
    /// the place's name.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Vec<String> {
        let wanted = deunicode::deunicode(name).to_lowercase();
        let likeness = |key: &str, place_name: &str| {
            let place_name = deunicode::deunicode(place_name).to_lowercase();
            let by_key = strsim::jaro_winkler(&wanted, &key.to_lowercase());
            by_key.max(strsim::jaro_winkler(&wanted.replace('_', " "), &place_name))
        };
        let ports = self.ports.iter().map(|port| (&port.code, likeness(&port.code, &port.name)));
        let regions = self.regions.iter().map(|region| (&region.slug, likeness(&region.slug, &region.name)));
        let mut near: Vec<_> = ports.chain(regions).filter(|(_, likeness)| *likeness > 0.75).collect();
        near.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
        near.into_iter().take(3).map(|(key, _)| key.clone()).collect()
    }
}

/// Without case, diacritics and what separates words.
fn folded(text: &str) -> String {
    let plain = deunicode::deunicode(text).to_lowercase();
    let words: Vec<&str> =
        plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// How well a place answers what is looked for; none where it does not.
fn likeness(wanted: &str, code: &str, name: &str) -> Option<f64> {
    let words = || name.split(' ').chain(code.split(' '));
    if wanted.is_empty() {
        return Some(0.0);
    }
    if code == wanted || name == wanted {
        return Some(6.0);
    }
    if name.starts_with(wanted) || code.starts_with(wanted) {
        return Some(5.0);
    }
    if wanted.split(' ').all(|part| words().any(|word| word.starts_with(part))) {
        return Some(4.0);
    }
    if name.contains(wanted) || code.contains(wanted) {
        return Some(3.0);
    }
    if wanted.len() < 3 {
        return None;
    }
    // Misspelt; as far as it was written, since it may be the start of a longer name.
    let start: String = name.chars().take(wanted.chars().count()).collect();
    let near = words().chain([name, start.as_str()]).map(|word| strsim::jaro_winkler(wanted, word));
    near.max_by(f64::total_cmp).filter(|near| *near > 0.86)
}

/// Depth first from the roots; a region whose parent is missing is a root. Brothers keep their order.
fn in_tree_order(rows: &[RegionRow], ports: &[Port]) -> Vec<Region> {
    let known: HashSet<&str> = rows.iter().map(|row| row.slug.as_str()).collect();
    let mut children: HashMap<Option<&str>, Vec<&RegionRow>> = HashMap::new();
    for row in rows {
        let parent = row.parent_slug.as_deref().filter(|parent| known.contains(parent));
        children.entry(parent).or_default().push(row);
    }
    let mut port_counts: HashMap<&str, usize> = HashMap::new();
    for port in ports {
        *port_counts.entry(&port.parent_slug).or_default() += 1;
    }
    let mut ordered: Vec<Region> = Vec::with_capacity(rows.len());
    let mut ahead: Vec<(usize, &RegionRow)> = Vec::new();
    let push = |ahead: &mut Vec<(usize, _)>, depth: usize, parent: Option<&str>| {
        ahead.extend(children.get(&parent).into_iter().flatten().rev().map(|row| (depth, *row)));
    };
    push(&mut ahead, 0, None);
    while let Some((depth, row)) = ahead.pop() {
        ordered.push(Region {
            slug: row.slug.clone(),
            name: row.name.clone(),
            parent_slug: row.parent_slug.clone(),
            depth,
            port_count: port_counts.get(row.slug.as_str()).copied().unwrap_or(0),
        });
        push(&mut ahead, depth + 1, Some(&row.slug));
    }
    // What is below a region follows it in this order, so the last first: each hands its ports to the one above.
    let mut order: Vec<usize> = (0..ordered.len()).collect();
    order.sort_by_key(|index| Reverse(ordered[*index].depth));
    let at: HashMap<String, usize> =
        ordered.iter().enumerate().map(|(index, region)| (region.slug.clone(), index)).collect();
    for index in order {
        let parent = ordered[index].parent_slug.as_deref().and_then(|parent| at.get(parent).copied());
        if let Some(parent) = parent {
            ordered[parent].port_count += ordered[index].port_count;
        }
    }
    ordered
}

/// The newest catalogue that was read.
#[derive(Debug, Default)]
pub struct Catalogues {
    newest: Mutex<(i64, Arc<Catalogue>)>,
    /// One reader at a time; the others wait for what it finds.
    reading: tokio::sync::Mutex<()>,
}

impl Catalogues {
    /// The catalogue as of this version of the data, or newer.
    pub(crate) async fn at(&self, pool: &PgPool, wanted: DataVersion) -> Result<Arc<Catalogue>, sqlx::Error> {
        if let Some(catalogue) = self.found(wanted) {
            self.confirm(wanted.version);
            return Ok(catalogue);
        }
        // Boxed, or every answer would carry the room that it needs.
        Box::pin(self.read(pool, wanted)).await
    }

    fn found(&self, wanted: DataVersion) -> Option<Arc<Catalogue>> {
        let (_, newest) = &*self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        (newest.places_version >= wanted.places_version).then(|| Arc::clone(newest))
    }

    async fn read(&self, pool: &PgPool, wanted: DataVersion) -> Result<Arc<Catalogue>, sqlx::Error> {
        let _turn = self.reading.lock().await;
        if let Some(catalogue) = self.found(wanted) {
            return Ok(catalogue);
        }
        let (version, ports, regions) = chassis::postgres::retry(pool, || sql::places::all(pool)).await?;
        let catalogue = Arc::new(Catalogue::new(version.places_version, ports, &regions));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) =
            (version.version, Arc::clone(&catalogue));
        Ok(catalogue)
    }

    /// The catalogue that is right for this version of the data, without asking the database; none where it is not
    /// known to be right.
    #[must_use]
    pub fn known_at(&self, version: i64) -> Option<Arc<Catalogue>> {
        let (known, newest) = &*self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        (*known == version).then(|| Arc::clone(newest))
    }

    /// The places did not change up to this version.
    fn confirm(&self, version: i64) {
        let (known, _) = &mut *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        *known = version.max(*known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let region = |slug: &str, name: &str, parent: Option<&str>| RegionRow {
            slug: slug.into(),
            name: name.into(),
            parent_slug: parent.map(str::to_owned),
        };
        let port = |code: &str, name: &str, parent: &str| PortRow {
            code: code.into(),
            name: name.into(),
            parent_slug: parent.into(),
        };
        Catalogue::new(
            1,
            vec![
                port("CNGGZ", "Guangzhou", "china_south"),
                port("DKCPH", "København", "baltic"),
                port("EETLL", "Tallinn", "baltic"),
            ],
            &[
                region("asia", "Asia", None),
                region("baltic", "Baltic", Some("north_europe")),
                region("china_south", "China South", Some("asia")),
                region("europe", "Europe", None),
                region("north_europe", "North Europe", Some("europe")),
            ],
        )
    }

    #[test]
    fn regions_follow_the_tree_and_count_the_ports_below_them() {
        let catalogue = catalogue();
        let shown: Vec<_> = catalogue
            .regions()
            .iter()
            .map(|region| (region.slug.as_str(), region.depth, region.port_count))
            .collect();
        assert_eq!(
            shown,
            [
                ("asia", 0, 1),
                ("china_south", 1, 1),
                ("europe", 0, 2),
                ("north_europe", 1, 2),
                ("baltic", 2, 2)
            ]
        );
        let path: Vec<_> = catalogue.path("baltic").into_iter().map(|region| region.slug.as_str()).collect();
        assert_eq!(path, ["europe", "north_europe", "baltic"]);
    }

    #[test]
    fn ports_are_found_by_code_name_and_region_with_and_without_diacritics() {
        let catalogue = catalogue();
        let found = |q: Option<&str>, region: Option<&str>, after: Option<&str>| -> Vec<String> {
            catalogue.find_ports(q, region, after).map(|port| port.code.clone()).collect()
        };
        assert_eq!(found(Some("kobenh"), None, None), ["DKCPH"]);
        assert_eq!(found(Some("KØBEN"), None, None), ["DKCPH"]);
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
        assert_eq!((baltic.kind, baltic.within.as_deref()), ("region", Some("North Europe")));
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
            let nearest = catalogue.nearest(wrong);
            assert!(nearest.len() <= 3 && nearest.contains(&right.to_owned()), "{wrong}: {nearest:?}");
        }
        assert!(catalogue.nearest("qqqqqqqq").is_empty());
    }
}
