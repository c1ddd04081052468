use proptest::prelude::*;

use super::*;

const GOOD: &str = "date_from=2021-01-01&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL";

fn parse(query: &str, max_days: u32) -> Result<RatesQuery<'_>, WrongQuery<'_>> {
    RatesQuery::parse(query, QueryLimits { max_days, min_count: 3, privacy: Privacy::default() })
}

fn faults(query: &str) -> Vec<(String, String)> {
    let wrong = parse(query, 3660).expect_err(query);
    wrong.faults.into_iter().map(|fault| (fault.field.into_owned(), fault.code.into_owned())).collect()
}

#[test]
fn a_query_is_read_whatever_its_order_names_and_escapes() {
    let wanted = parse(GOOD, 31).unwrap();
    assert_eq!(wanted.origin.as_ref(), "CNGGZ");
    assert_eq!(wanted.from, NaiveDate::from_ymd_opt(2021, 1, 1).unwrap());
    for same in [
        "dest_code=EETLL&orig_code=CNGGZ&date_to=2021-01-31&date_from=2021-01-01",
        "date_from=2021-01-01&date_to=2021-01-31&origin=CNGGZ&destination=EETLL&order=desc&utm=1&utm=2",
        "date_from=2021%2D01%2D01&date_to=2021-01-31&orig_code=%43NGGZ&dest_code=EETLL",
    ] {
        assert_eq!(parse(same, 31).expect(same), wanted, "{same}");
    }
    let ascending = format!("{GOOD}&order=asc");
    assert_eq!(parse(&ascending, 31).unwrap().order, Order::OldestFirst);
    let full = format!("{GOOD}&statistics=full");
    assert_eq!(parse(&full, 31).unwrap().statistics, Statistics::Full);
}

#[test]
fn every_fault_of_a_query_is_named_at_once() {
    let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
    assert_eq!(
        faults(""),
        ["date_from", "date_to", "orig_code", "dest_code"].map(|field| pair(field, "missing"))
    );
    assert_eq!(
        faults("date_from=2021-02-30&date_to=21-1-1&origin=C%0AN&destination=&order=up&statistics=all"),
        [
            pair("date_from", "not_a_day"),
            pair("date_to", "malformed"),
            pair("origin", "malformed"),
            pair("destination", "missing"),
            pair("order", "malformed"),
            pair("statistics", "malformed"),
        ]
    );
    for (query, field, code) in [
        ("date_from=2021-01-02&date_to=2021-01-01&origin=A&destination=B", "date_from", "after_date_to"),
        ("date_from=2011-01-01&date_to=2021-01-08&origin=A&destination=B", "date_to", "range_too_long"),
        (&format!("{GOOD}&date_to=2021-01-31"), "date_to", "repeated"),
        (&format!("{GOOD}&origin=CNGGZ"), "origin", "repeated"),
        (&format!("{GOOD}&order=asc&order=asc"), "order", "repeated"),
        (&format!("{GOOD}&interval=decade"), "interval", "malformed"),
        (&format!("{GOOD}&min_count=2"), "min_count", "out_of_range"),
        (&format!("{GOOD}&min_count=x"), "min_count", "out_of_range"),
        (&format!("{GOOD}&widen=yes"), "widen", "malformed"),
        (&format!("{GOOD}&decimals=21"), "decimals", "out_of_range"),
        (&format!("{GOOD}&lane=A:B"), "lane", "conflict"),
        ("date_from=2021-01-01&date_to=2021-01-31&lane=A", "lane", "malformed"),
        (&format!("date_from=2021-01-01&date_to=2021-01-31{}", "&lane=A:B".repeat(11)), "lane", "too_many"),
        ("date_from=0000-01-01&date_to=0001-01-01&origin=A&destination=B", "date_from", "not_a_day"),
        ("date_from=+021-01-01&date_to=2021-01-01&origin=A&destination=B", "date_from", "malformed"),
        ("date_from=2021-01-0٣&date_to=2021-01-01&origin=A&destination=B", "date_from", "malformed"),
    ] {
        assert_eq!(faults(query), [pair(field, code)], "{query}");
    }
}

#[test]
fn the_longest_range_is_allowed_and_one_day_more_is_not() {
    let query = |to: &str| format!("date_from=2021-01-01&date_to={to}&origin=A&destination=B");
    assert!(parse(&query("2021-01-31"), 31).is_ok());
    assert!(parse(&query("2021-02-01"), 31).is_err());
    assert!(parse(&query("2021-01-01"), 31).is_ok(), "one day is a range");
    // All lanes together may have 4 * 31 days.
    let lanes =
        |count: usize, to: &str| format!("date_from=2021-01-01&date_to={to}{}", "&lane=A:B".repeat(count));
    assert!(parse(&lanes(4, "2021-01-31"), 31).is_ok());
    assert!(parse(&lanes(5, "2021-01-24"), 31).is_ok());
    let fault = &parse(&lanes(5, "2021-01-25"), 31).unwrap_err().faults[0];
    assert_eq!((&*fault.field, &*fault.code), ("lane", "range_too_long"), "{fault:?}");
}

#[test]
fn a_misspelt_parameter_is_pointed_out_beside_the_missing_one() {
    let query = "date_form=2021-01-01&date_to=2021-01-01&orig_code=A&dest_code=B";
    let wrong = parse(query, 31).unwrap_err();
    assert_eq!(wrong.faults.len(), 1);
    assert!(wrong.faults[0].detail.contains("date_form"), "{:?}", wrong.faults);
    assert_eq!(wrong.places.len(), 2, "the places can still be looked up");
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let query = format!("{}&order={}", GOOD, "ü".repeat(500));
    let wrong = parse(&query, 31).unwrap_err();
    assert!(wrong.faults[0].detail.len() < 150, "{:?}", wrong.faults);
}

#[test]
fn a_picture_is_asked_for_within_bounds() {
    let plain = Picture::parse(GOOD).unwrap();
    assert_eq!((plain.width, plain.height, plain.theme), (960, 480, Theme::Light));
    let picture = Picture::parse("width=320&height=2160&theme=dark&compare=A:b_c&compare=D%3AE").unwrap();
    assert_eq!((picture.width, picture.height, picture.theme), (320, 2160, Theme::Dark));
    let drawn = Picture::parse("values=index&moving_average=7&previous_year=true&title=false").unwrap();
    assert_eq!((drawn.values(), drawn.moving_average), (Values::Index, Some(7)));
    assert_eq!((drawn.previous_year, drawn.title, drawn.days_before()), (true, false, 6));
    assert_eq!(Picture::parse("moving_average=1").unwrap(), Picture::default());
    assert_eq!(Picture::parse("values=difference").unwrap().values(), Values::Price, "of one lane");
    assert_eq!(Picture::parse("values=difference&compare=A:B").unwrap().values(), Values::Difference);
    let lanes: Vec<_> = picture.compare.iter().map(|(from, to)| (from.as_ref(), to.as_ref())).collect();
    assert_eq!(lanes, [("A", "b_c"), ("D", "E")]);
    for (query, field, code) in [
        ("width=319", "width", "out_of_range"),
        ("width=3841", "width", "out_of_range"),
        ("width=1e3", "width", "out_of_range"),
        ("height=239", "height", "out_of_range"),
        ("height=99999999", "height", "out_of_range"),
        ("theme=blue", "theme", "malformed"),
        ("theme=", "theme", "missing"),
        ("theme=dark&theme=dark", "theme", "repeated"),
        ("values=price%20", "values", "malformed"),
        ("moving_average=0", "moving_average", "out_of_range"),
        ("moving_average=366", "moving_average", "out_of_range"),
        ("previous_year=1", "previous_year", "malformed"),
        ("title=no", "title", "malformed"),
        ("compare=A", "compare", "malformed"),
        ("compare=A:B:C", "compare", "malformed"),
        ("compare=A:", "compare", "malformed"),
        ("compare=A:B&compare=A:B&compare=A:B&compare=A:B", "compare", "too_many"),
        ("compare=A:B&lane=C:D", "compare", "conflict"),
    ] {
        let faults = Picture::parse(query).expect_err(query);
        let named: Vec<_> = faults.iter().map(|fault| (&*fault.field, &*fault.code)).collect();
        assert_eq!(named, [(field, code)], "{query}");
    }
}

proptest! {
    #[test]
    fn no_query_string_panics(query in "\\PC{0,200}") {
        let _ = parse(&query, 3660);
        let _ = Picture::parse(&query);
    }
}

#[test]
fn a_name_is_near_to_one_parameter_of_its_own_struct_and_to_none_of_the_other() {
    // The two structs read the same query string: a known name of one must not be a misspelt one of the other.
    let picture = "width=400&height=400&theme=dark&compare=A:B&values=index&moving_average=7&previous_year=true\
                   &title=false";
    assert!(parse(&format!("{GOOD}&order=asc&statistics=full&{picture}"), 31).is_ok());
    let more = "interval=day&min_count=3&widen=each&decimals=2";
    assert!(Picture::parse(&format!("{GOOD}&{more}&{picture}")).is_ok());
    assert!(Picture::parse("date_from=2021-01-01&date_to=2021-01-31&lane=A:B&width=400").is_ok());
    let aliases = "date_from=2021-01-01&date_to=2021-01-31&origin=A&destination=B&order=asc&statistics=full";
    for query in [GOOD, aliases] {
        assert!(Picture::parse(&format!("{query}&{picture}")).is_ok(), "{query}");
    }
}

#[test]
fn a_flood_of_unknown_names_is_read_to_a_bound() {
    let flood = "date_fron=1&".repeat(5000);
    let wrong = parse(&flood, 31).unwrap_err();
    assert!(wrong.faults.len() < 32, "{}", wrong.faults.len());
}

#[test]
fn the_fingerprint_changes_with_every_part_of_the_query() {
    let print = |query: &str| {
        let query = parse(query, 31).unwrap();
        query.fingerprint(&Form::Json).hash()
    };
    let all = [
        print(GOOD),
        print(&format!("{GOOD}&order=asc")),
        print(&format!("{GOOD}&statistics=full")),
        print(&GOOD.replace("01-31", "01-30")),
        print(&GOOD.replace("2021-01-01", "2021-01-02")),
        print(&GOOD.replace("CNGGZ", "EETLL")),
        print(&GOOD.replace("EETLL", "CNGGZ")),
        print(&format!("{GOOD}&interval=week")),
        print(&format!("{GOOD}&interval=month")),
        print(&format!("{GOOD}&min_count=4")),
        print(&format!("{GOOD}&widen=true")),
        print(&format!("{GOOD}&widen=each")),
        print(&format!("{GOOD}&decimals=3")),
        print("date_from=2021-01-01&date_to=2021-01-31&lane=CNGGZ:EETLL"),
        print("date_from=2021-01-01&date_to=2021-01-31&lane=CNGGZ:EETLL&lane=CNGGZ:EETLL"),
        parse(GOOD, 31).unwrap().fingerprint(&Form::Csv).hash(),
    ];
    let pictures = [
        "",
        "width=400",
        "height=400",
        "theme=dark",
        "values=index",
        "moving_average=7",
        "previous_year=true",
    ];
    let pictures = pictures.into_iter().chain(["title=false", "compare=A:B"]).map(|picture| {
        let query = parse(GOOD, 31).unwrap();
        query.fingerprint(&Form::Svg(Picture::parse(picture).unwrap())).hash()
    });
    let all: Vec<_> = all.into_iter().chain(pictures).collect();
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_picture_reads_the_days_that_its_lines_need() {
    let query = parse(GOOD, 31).unwrap();
    let read = |picture: &str| {
        let lanes = query.query_per_line(&Picture::parse(picture).unwrap());
        lanes
            .iter()
            .map(|lane| format!("{} {} {:?}", lane.from, lane.to, lane.statistics))
            .collect::<Vec<_>>()
    };
    assert_eq!(read(""), ["2021-01-01 2021-01-31 Full"]);
    assert_eq!(read("values=index"), ["2021-01-01 2021-01-31 Mean"]);
    assert_eq!(read("previous_year=true"), ["2021-01-01 2021-01-31 Full", "2020-01-01 2020-01-31 Mean"]);
    assert_eq!(
        read("moving_average=7&previous_year=true&compare=A:B"),
        ["2020-12-26 2021-01-31 Mean", "2020-12-26 2021-01-31 Mean", "2019-12-26 2020-01-31 Mean"]
    );
    // Intervals are cut as those that they are drawn beside.
    let before = |days: &str, interval: &str| {
        let query = format!("{days}&origin=A&destination=B&interval={interval}");
        let lane = parse(&query, 3660)
            .unwrap()
            .query_per_line(&Picture::parse("previous_year=true").unwrap())
            .remove(1);
        format!("{} {}", lane.from, lane.to)
    };
    let days = "date_from=2021-01-15&date_to=2021-03-31";
    assert_eq!(before(days, "week"), "2020-01-17 2020-04-01", "52 weeks");
    assert_eq!(before(days, "month"), "2020-01-15 2020-03-31");
    assert_eq!(before("date_from=2020-02-01&date_to=2020-02-29", "quarter"), "2019-02-01 2019-02-28");
    // As many days as are shown, though the year before has one more or one less.
    assert_eq!(
        parse("date_from=2020-02-28&date_to=2020-03-01&origin=A&destination=B", 31)
            .unwrap()
            .query_per_line(&Picture::parse("previous_year=true").unwrap())[1]
            .to
            .to_string(),
        "2019-03-02"
    );
}
