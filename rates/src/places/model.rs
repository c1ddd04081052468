//! What a place is, and the catalogue of all of them with the tree that they form.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::search::SearchKey;

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Port {
    /// UN/LOCODE.
    #[schema(examples("CNGGZ"))]
    pub code: String,
    /// Its name for people.
    #[schema(examples("Guangzhou"))]
    pub name: String,
    /// The region that contains it.
    #[schema(examples("pearl_river_delta"))]
    pub parent_slug: String,
}

/// A region, with its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Region {
    /// Its name in requests.
    #[schema(examples("north_europe"))]
    pub slug: String,
    /// Its name for people.
    #[schema(examples("North Europe"))]
    pub name: String,
    /// The region that contains it; null for a root of the tree.
    #[schema(required, examples("europe"))]
    pub parent_slug: Option<String>,
    /// The number of regions that contain it.
    #[schema(examples(1))]
    pub depth: usize,
    /// The number of ports in it, at any depth.
    #[schema(examples(12))]
    pub port_count: usize,
}

/// A region as its table has it.
#[derive(Debug)]
pub(crate) struct RegionRow {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) parent_slug: Option<String>,
}

/// What kind of place a code names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlaceKind {
    /// A port, named by its UN/LOCODE.
    Port,
    /// A region, named by its slug.
    Region,
}

/// A port or region in the result of a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Place {
    /// What `/rates` takes: the code of a port or the slug of a region.
    #[schema(examples("CNGGZ"))]
    pub code: String,
    /// What kind of place it is.
    pub kind: PlaceKind,
    /// Its name for people.
    #[schema(examples("Guangzhou"))]
    pub name: String,
    /// The name of the region that contains it; null for a root of the tree.
    #[schema(required, examples("Pearl River Delta"))]
    pub within: Option<String>,
    /// With `role`: the number of lanes that have prices, between this place and ports, or `other_end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, examples(12))]
    pub lanes: Option<usize>,
    /// With `role`: the number of prices of these lanes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, examples(3000))]
    pub prices: Option<i64>,
}

/// The number of a place in the database, never used for another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaceId(pub(crate) i32);

/// Two places: where a lane begins and where it ends.
pub type Pair = (PlaceId, PlaceId);

/// The numbers of places, and which places stand for a port.
#[derive(Debug, Default)]
pub(super) struct PlaceIds {
    /// By the code of a port or the slug of a region.
    pub(super) by_code: HashMap<String, PlaceId>,
    /// The same the other way round.
    pub(super) codes: HashMap<PlaceId, String>,
    /// Each port's number with its own and those of all regions that contain it.
    pub(super) above: HashMap<PlaceId, Vec<PlaceId>>,
}

/// All places of one version of the data.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The version at which places last changed.
    pub places_version: i64,
    /// Sorted by code.
    ports: Vec<Port>,
    /// In tree order: a region, then what it contains; siblings by slug.
    regions: Vec<Region>,
    /// The position in `regions` of each slug.
    region_positions: HashMap<String, usize>,
    ids: PlaceIds,
    /// What searches compare: first the regions, then the ports, each in the order of its list.
    pub(super) search_keys: Vec<SearchKey>,
}

impl Catalogue {
    /// Takes ports sorted by code and regions sorted by slug.
    pub(super) fn new(places_version: i64, ports: Vec<Port>, regions: &[RegionRow], ids: PlaceIds) -> Self {
        let mut regions = in_tree_order(regions, &ports);
        let region_positions =
            regions.iter().enumerate().map(|(position, region)| (region.slug.clone(), position)).collect();
        add_up_port_counts(&mut regions, &region_positions);
        let region_keys = regions.iter().map(|region| SearchKey::new(&region.slug, &region.name));
        let port_keys = ports.iter().map(|port| SearchKey::new(&port.code, &port.name));
        let search_keys = region_keys.chain(port_keys).collect();
        Self { places_version, ports, regions, region_positions, ids, search_keys }
    }

    /// All ports, by code.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// All regions, in tree order.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The port with this code.
    #[must_use]
    pub fn port(&self, code: &str) -> Option<&Port> {
        let position = self.ports.binary_search_by(|port| port.code.as_str().cmp(code)).ok()?;
        Some(&self.ports[position])
    }

    /// The region with this slug.
    #[must_use]
    pub fn region(&self, slug: &str) -> Option<&Region> {
        Some(&self.regions[*self.region_positions.get(slug)?])
    }

    /// The code of the port or the slug of the region with this number.
    #[must_use]
    pub fn code(&self, id: PlaceId) -> &str {
        self.ids.codes.get(&id).map_or("", String::as_str)
    }

    /// Whether this is the number of a port.
    #[must_use]
    pub fn is_port(&self, id: PlaceId) -> bool {
        self.ids.above.contains_key(&id)
    }

    /// The number of the one place that a text can mean.
    #[must_use]
    pub fn find_id(&self, text: &str) -> Option<PlaceId> {
        self.id(text).or_else(|| self.id(self.resolve(text)?))
    }

    /// A place and the regions that contain it, innermost first, each with the number of its ports.
    fn above(&self, id: PlaceId) -> Vec<(PlaceId, usize)> {
        let code = self.code(id);
        let port = self.port(code);
        let regions = self.path(port.map_or(code, |port| &port.parent_slug)).into_iter().rev();
        let regions = regions.filter_map(|region| Some((self.id(&region.slug)?, region.port_count)));
        port.map(|_| (id, 1)).into_iter().chain(regions).collect()
    }

    /// This pair and those of the regions that contain its ends, nearest first: by the steps up the tree that both ends
    /// take, then by the number of ports.
    #[must_use]
    pub fn wider_pairs(&self, (origin, destination): Pair) -> Vec<Pair> {
        let destinations = self.above(destination);
        let mut pairs = Vec::new();
        for (up, (origin, origin_ports)) in self.above(origin).into_iter().enumerate() {
            for (further_up, (destination, ports)) in destinations.iter().enumerate() {
                pairs.push((up + further_up, origin_ports * ports, (origin, *destination)));
            }
        }
        pairs.sort_by_key(|(steps, ports, _)| (*steps, *ports));
        pairs.into_iter().map(|(.., pair)| pair).collect()
    }

    /// The name of a place without its code; empty if there is no such place.
    #[must_use]
    pub fn place_name(&self, place: &str) -> String {
        let port = self.port(place).map(|port| port.name.clone());
        port.or_else(|| Some(self.region(place)?.name.clone())).unwrap_or_default()
    }

    /// A place as a title shows it: a port by name and code, a region by name.
    #[must_use]
    pub fn label(&self, place: &str) -> String {
        match (self.port(place), self.region(place)) {
            (Some(port), _) => format!("{} ({})", port.name, port.code),
            (None, Some(region)) => region.name.clone(),
            (None, None) => place.to_owned(),
        }
    }

    /// The number of the port with this code or the region with this slug.
    #[must_use]
    pub fn id(&self, place: &str) -> Option<PlaceId> {
        self.ids.by_code.get(place).copied()
    }

    /// All pairs of places that have the prices between these two ports.
    pub fn pairs_above(&self, (origin, destination): Pair) -> impl Iterator<Item = Pair> {
        let above = |port| self.ids.above.get(&port).map_or(&[][..], Vec::as_slice);
        let destinations = above(destination);
        above(origin)
            .iter()
            .flat_map(move |origin| destinations.iter().map(|destination| (*origin, *destination)))
    }

    /// The region with this slug and those that contain it, outermost first.
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

    /// The regions directly in this one.
    pub fn children<'a>(&'a self, slug: &'a str) -> impl Iterator<Item = &'a Region> {
        self.regions.iter().filter(move |region| region.parent_slug.as_deref() == Some(slug))
    }

    /// The code or slug of the place whose search key has this position.
    pub(super) fn code_at(&self, position: usize) -> &str {
        match self.regions.get(position) {
            Some(region) => &region.slug,
            None => &self.ports[position - self.regions.len()].code,
        }
    }

    /// Whether a port or a region has the search key at this position.
    pub(super) fn kind_at(&self, position: usize) -> PlaceKind {
        if position < self.regions.len() { PlaceKind::Region } else { PlaceKind::Port }
    }

    /// The place whose search key has this position.
    pub(super) fn place_at(&self, position: usize) -> Place {
        let name_of = |slug: &str| self.region(slug).map(|region| region.name.clone());
        let (code, kind, name, parent) = if let Some(region) = self.regions.get(position) {
            (&region.slug, PlaceKind::Region, &region.name, region.parent_slug.as_deref())
        } else {
            let port = &self.ports[position - self.regions.len()];
            (&port.code, PlaceKind::Port, &port.name, Some(&*port.parent_slug))
        };
        Place {
            code: code.clone(),
            kind,
            name: name.clone(),
            within: parent.and_then(name_of),
            lanes: None,
            prices: None,
        }
    }
}

/// Sorts regions depth first from the roots, each with the number of its own ports. A region whose parent is missing is a root. Siblings keep their order.
fn in_tree_order(rows: &[RegionRow], ports: &[Port]) -> Vec<Region> {
    let slugs: HashSet<&str> = rows.iter().map(|row| row.slug.as_str()).collect();
    let mut children: HashMap<Option<&str>, Vec<&RegionRow>> = HashMap::new();
    for row in rows {
        let parent = row.parent_slug.as_deref().filter(|parent| slugs.contains(parent));
        children.entry(parent).or_default().push(row);
    }
    let mut port_counts: HashMap<&str, usize> = HashMap::new();
    for port in ports {
        *port_counts.entry(&port.parent_slug).or_default() += 1;
    }
    let mut regions: Vec<Region> = Vec::with_capacity(rows.len());
    // A stack rather than recursion: the depth of the tree is data.
    let mut stack: Vec<(usize, &RegionRow)> = Vec::new();
    let push_children = |stack: &mut Vec<(usize, _)>, depth: usize, parent: Option<&str>| {
        stack.extend(children.get(&parent).into_iter().flatten().rev().map(|row| (depth, *row)));
    };
    push_children(&mut stack, 0, None);
    while let Some((depth, row)) = stack.pop() {
        regions.push(Region {
            slug: row.slug.clone(),
            name: row.name.clone(),
            parent_slug: row.parent_slug.clone(),
            depth,
            port_count: port_counts.get(row.slug.as_str()).copied().unwrap_or(0),
        });
        push_children(&mut stack, depth + 1, Some(&row.slug));
    }
    regions
}

/// Adds each region's ports to those of its parent. In tree order a parent comes before its children, so this goes
/// backwards.
fn add_up_port_counts(regions: &mut [Region], positions: &HashMap<String, usize>) {
    for position in (0..regions.len()).rev() {
        let parent = regions[position].parent_slug.as_deref().and_then(|slug| positions.get(slug).copied());
        if let Some(parent) = parent {
            regions[parent].port_count += regions[position].port_count;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small catalogue with a name that has a diacritic.
    pub(in crate::places) fn catalogue() -> Catalogue {
        let region = |slug: &str, name: &str, parent: Option<&str>| RegionRow {
            slug: slug.into(),
            name: name.into(),
            parent_slug: parent.map(str::to_owned),
        };
        let port = |code: &str, name: &str, parent: &str| Port {
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
            PlaceIds::default(),
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
}
