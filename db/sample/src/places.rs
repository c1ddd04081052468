//! The places of the sample: regions (with our own slugs) and ports (with UN/LOCODE codes).

pub(crate) struct Region {
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    pub(crate) parent: Option<&'static str>,
}

pub(crate) struct Port {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) parent: &'static str,
}

const fn root(slug: &'static str, name: &'static str) -> Region {
    Region { slug, name, parent: None }
}

const fn region(slug: &'static str, name: &'static str, parent: &'static str) -> Region {
    Region { slug, name, parent: Some(parent) }
}

const fn port(code: &'static str, name: &'static str, parent: &'static str) -> Port {
    Port { code, name, parent }
}

pub(crate) static REGIONS: [Region; 47] = [
    root("africa", "Africa"),
    region("east_africa", "East Africa", "africa"),
    region("southern_africa", "Southern Africa", "africa"),
    region("west_africa", "West Africa", "africa"),
    root("asia", "Asia"),
    region("china", "China", "asia"),
    region("china_north", "China North", "china"),
    region("china_east", "China East", "china"),
    region("china_south", "China South", "china"),
    region("pearl_river_delta", "Pearl River Delta", "china_south"),
    region("northeast_asia", "Northeast Asia", "asia"),
    region("japan", "Japan", "northeast_asia"),
    region("korea", "Korea", "northeast_asia"),
    region("south_asia", "South Asia", "asia"),
    region("southeast_asia", "Southeast Asia", "asia"),
    region("indochina", "Indochina", "southeast_asia"),
    root("europe", "Europe"),
    region("north_europe", "North Europe", "europe"),
    region("baltic_sea", "Baltic Sea", "north_europe"),
    region("gulf_of_finland", "Gulf of Finland", "baltic_sea"),
    region("british_isles", "British Isles", "north_europe"),
    region("north_sea", "North Sea", "north_europe"),
    region("nordics", "Nordics", "north_europe"),
    region("norway_west", "Norway West", "nordics"),
    region("skagerrak", "Skagerrak and Kattegat", "nordics"),
    region("south_europe", "South Europe", "europe"),
    region("adriatic", "Adriatic", "south_europe"),
    region("black_sea", "Black Sea", "south_europe"),
    region("med_east", "Mediterranean East", "south_europe"),
    region("med_west", "Mediterranean West", "south_europe"),
    root("latin_america", "Latin America"),
    region("caribbean", "Caribbean", "latin_america"),
    region("mexico", "Mexico", "latin_america"),
    region("south_america_east", "South America East Coast", "latin_america"),
    region("brazil", "Brazil", "south_america_east"),
    region("south_america_west", "South America West Coast", "latin_america"),
    root("middle_east", "Middle East"),
    region("gulf", "Gulf", "middle_east"),
    region("red_sea", "Red Sea", "middle_east"),
    root("north_america", "North America"),
    region("east_coast", "North America East Coast", "north_america"),
    region("gulf_coast", "North America Gulf Coast", "north_america"),
    region("west_coast", "North America West Coast", "north_america"),
    region("california", "California", "west_coast"),
    region("pacific_northwest", "Pacific Northwest", "west_coast"),
    root("oceania", "Oceania"),
    region("australia", "Australia", "oceania"),
];

/// UN/LOCODE has several codes for some places (airport, harbour, city); these are of the seaport or its city. Names
/// are in the local spelling, or in English if that is the port's common name.
pub(crate) static PORTS: [Port; 120] = [
    port("AEJEA", "Jebel Ali", "gulf"),
    port("ARBUE", "Buenos Aires", "south_america_east"),
    port("AUBNE", "Brisbane", "australia"),
    port("AUMEL", "Melbourne", "australia"),
    port("AUSYD", "Sydney", "australia"),
    port("BDCGP", "Chittagong", "south_asia"),
    port("BEANR", "Antwerpen", "north_sea"),
    port("BEZEE", "Zeebrugge", "north_sea"),
    port("BGVAR", "Varna", "black_sea"),
    port("BRPNG", "Paranaguá", "brazil"),
    port("BRSSZ", "Santos", "brazil"),
    port("CAHAL", "Halifax", "east_coast"),
    port("CAMTR", "Montréal", "east_coast"),
    port("CAVAN", "Vancouver", "pacific_northwest"),
    port("CIABJ", "Abidjan", "west_africa"),
    port("CLSAI", "San Antonio", "south_america_west"),
    port("CLVAP", "Valparaíso", "south_america_west"),
    port("CNDAL", "Dalian", "china_north"),
    port("CNFZH", "Fuzhou", "china_south"),
    port("CNGGZ", "Guangzhou", "pearl_river_delta"),
    port("CNNBO", "Ningbo", "china_east"),
    port("CNNSA", "Nansha", "pearl_river_delta"),
    port("CNQIN", "Qingdao", "china_north"),
    port("CNSGH", "Shanghai", "china_east"),
    port("CNSHK", "Shekou", "pearl_river_delta"),
    port("CNSNZ", "Shenzhen", "pearl_river_delta"),
    port("CNTXG", "Tianjin New Port", "china_north"),
    port("CNXAM", "Xiamen", "china_south"),
    port("CNYAT", "Yantai", "china_north"),
    port("CNYTN", "Yantian", "pearl_river_delta"),
    port("COCTG", "Cartagena", "caribbean"),
    port("DEBRV", "Bremerhaven", "north_sea"),
    port("DEHAM", "Hamburg", "north_sea"),
    port("DKAAR", "Aarhus", "skagerrak"),
    port("DKCPH", "København", "skagerrak"),
    port("DOCAU", "Caucedo", "caribbean"),
    port("ECGYE", "Guayaquil", "south_america_west"),
    port("EETLL", "Tallinn", "gulf_of_finland"),
    port("EGPSD", "Port Said", "med_east"),
    port("ESALG", "Algeciras", "med_west"),
    port("ESBCN", "Barcelona", "med_west"),
    port("ESVLC", "València", "med_west"),
    port("FIHEL", "Helsinki (Helsingfors)", "gulf_of_finland"),
    port("FIKTK", "Kotka", "gulf_of_finland"),
    port("FRFOS", "Fos-sur-Mer", "med_west"),
    port("FRLEH", "Le Havre", "north_sea"),
    port("GBFXT", "Felixstowe", "british_isles"),
    port("GBLGP", "London Gateway", "british_isles"),
    port("GBSOU", "Southampton", "british_isles"),
    port("GHTEM", "Tema", "west_africa"),
    port("GRPIR", "Piraeus", "med_east"),
    port("HKHKG", "Hong Kong", "china_south"),
    port("HRRJK", "Rijeka", "adriatic"),
    port("IDJKT", "Jakarta", "southeast_asia"),
    port("IEDUB", "Dublin", "british_isles"),
    port("INMUN", "Mundra", "south_asia"),
    port("INNSA", "Nhava Sheva (Jawaharlal Nehru)", "south_asia"),
    port("ISREY", "Reykjavík", "north_europe"),
    port("ITGOA", "Genova", "med_west"),
    port("ITSPE", "La Spezia", "med_west"),
    port("ITTRS", "Trieste", "adriatic"),
    port("JMKIN", "Kingston", "caribbean"),
    port("JPTYO", "Tokyo", "japan"),
    port("JPYOK", "Yokohama", "japan"),
    port("KEMBA", "Mombasa", "east_africa"),
    port("KRINC", "Incheon", "korea"),
    port("KRPUS", "Busan", "korea"),
    port("LKCMB", "Colombo", "south_asia"),
    port("LTKLJ", "Klaipėda", "baltic_sea"),
    port("LVRIX", "Rīga", "baltic_sea"),
    port("MAPTM", "Tanger Med", "africa"),
    port("MXLZC", "Lázaro Cárdenas", "mexico"),
    port("MXVER", "Veracruz", "mexico"),
    port("MXZLO", "Manzanillo", "mexico"),
    port("MYPKG", "Port Klang", "southeast_asia"),
    port("NGAPP", "Apapa", "west_africa"),
    port("NLRTM", "Rotterdam", "north_sea"),
    port("NOAES", "Ålesund", "norway_west"),
    port("NOBGO", "Bergen", "norway_west"),
    port("NOOSL", "Oslo", "skagerrak"),
    port("NOTRD", "Trondheim", "norway_west"),
    port("NZAKL", "Auckland", "oceania"),
    port("OMSLL", "Salalah", "middle_east"),
    port("PECLL", "Callao", "south_america_west"),
    port("PHMNL", "Manila", "southeast_asia"),
    port("PKKHI", "Karachi", "south_asia"),
    port("PLGDN", "Gdańsk", "baltic_sea"),
    port("PLGDY", "Gdynia", "baltic_sea"),
    port("PTLEI", "Leixões", "south_europe"),
    port("PTSIE", "Sines", "south_europe"),
    port("ROCND", "Constanța", "black_sea"),
    port("SADMM", "Ad Dammam", "gulf"),
    port("SAJED", "Jeddah", "red_sea"),
    port("SEGOT", "Göteborg", "skagerrak"),
    port("SEHEL", "Helsingborg", "skagerrak"),
    port("SEMMA", "Malmö", "skagerrak"),
    port("SESTO", "Stockholm", "baltic_sea"),
    port("SGSIN", "Singapore", "southeast_asia"),
    port("SIKOP", "Koper", "adriatic"),
    port("SNDKR", "Dakar", "west_africa"),
    port("TGLFW", "Lomé", "west_africa"),
    port("THLCH", "Laem Chabang", "indochina"),
    port("TRIST", "İstanbul", "med_east"),
    port("TRMER", "Mersin", "med_east"),
    port("TWKHH", "Kaohsiung", "northeast_asia"),
    port("TZDAR", "Dar es Salaam", "east_africa"),
    port("USCHS", "Charleston", "east_coast"),
    port("USHOU", "Houston", "gulf_coast"),
    port("USLAX", "Los Angeles", "california"),
    port("USLGB", "Long Beach", "california"),
    port("USMSY", "New Orleans", "gulf_coast"),
    port("USNYC", "New York", "east_coast"),
    port("USOAK", "Oakland", "california"),
    port("USSAV", "Savannah", "east_coast"),
    port("USSEA", "Seattle", "pacific_northwest"),
    port("UYMVD", "Montevideo", "south_america_east"),
    port("VNHPH", "Haiphong", "indochina"),
    port("VNSGN", "Ho Chi Minh City", "indochina"),
    port("ZACPT", "Cape Town", "southern_africa"),
    port("ZADUR", "Durban", "southern_africa"),
];

/// The region's ancestors from itself up to its root.
///
/// # Panics
///
/// On a slug that is not in [`REGIONS`], and on a cycle.
pub(crate) fn lineage(slug: &'static str) -> Vec<&'static str> {
    let mut lineage = vec![slug];
    let mut here = slug;
    loop {
        let region = REGIONS
            .iter()
            .find(|region| region.slug == here)
            .unwrap_or_else(|| panic!("no region has the slug {here}"));
        let Some(parent) = region.parent else {
            return lineage;
        };
        assert!(!lineage.contains(&parent), "{parent} is above itself");
        lineage.push(parent);
        here = parent;
    }
}

/// Every port at any depth below a region.
pub(crate) fn ports_under(slug: &'static str) -> impl Iterator<Item = &'static Port> {
    PORTS.iter().filter(move |port| lineage(port.parent).contains(&slug))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_place_leads_to_a_root() {
        for region in &REGIONS {
            lineage(region.slug);
        }
        for port in &PORTS {
            lineage(port.parent);
        }
    }

    #[test]
    fn no_two_places_share_a_code_or_slug() {
        let names: BTreeSet<String> = REGIONS
            .iter()
            .map(|region| region.slug)
            .chain(PORTS.iter().map(|port| port.code))
            .map(str::to_lowercase)
            .collect();
        assert_eq!(names.len(), REGIONS.len() + PORTS.len());
    }

    #[test]
    fn trees_are_several_and_deep_and_ports_hang_at_every_depth() {
        let roots = REGIONS.iter().filter(|region| region.parent.is_none());
        assert!(roots.count() >= 3);
        let depths: BTreeSet<usize> = PORTS.iter().map(|port| lineage(port.parent).len()).collect();
        assert_eq!(depths.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn codes_slugs_and_names_are_well_formed() {
        for port in &PORTS {
            let code = port.code;
            assert!(code.len() == 5 && code.bytes().all(|c| c.is_ascii_uppercase()));
        }
        for region in &REGIONS {
            let slug = region.slug;
            assert!(slug.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'));
        }
        let names = REGIONS.iter().map(|region| region.name).chain(PORTS.iter().map(|port| port.name));
        for name in names {
            // Characters that COPY escapes.
            assert!(!name.contains(['\\', '\t', '\n', '\r']), "{name:?}");
        }
    }
}
