//! The parsers against a corpus and what mutation makes of it.

use std::{
    fmt::Write as _,
    fs,
    io::{Cursor, Read, Write as _},
    path::Path,
    sync::Arc,
};

use chrono::NaiveDate;
use flate2::{Compression, read::GzEncoder};
use proptest::prelude::*;
use rates::batches::parse::{
    Digest, Format, LISTED_FAULTS, ParsedContent, Progress, ReadError, Rules, decompress, read,
};
use zip::{ZipWriter, write::SimpleFileOptions};

fn rules() -> Rules {
    Rules {
        bytes: 1 << 24,
        sheet_bytes: 1 << 20,
        prices: 1 << 16,
        window_days: 400,
        days_ahead: u32::MAX,
        max_price: i32::MAX,
        column_names: Arc::default(),
    }
}

/// What was read, and the text for COPY. Of content with faults the digest is dropped: it depends on how far a parser
/// reads ahead before it stops.
fn parse(format: Format, input: impl Read) -> (ParsedContent, String) {
    let mut text = Vec::new();
    let mut content = read(format, input, &rules(), &mut |piece, _| {
        text.extend_from_slice(&piece);
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{format:?}: {error}"));
    if content.total_faults > 0 {
        content.digest = Digest { bytes: 0, sha256: [0; 32] };
    }
    (content, String::from_utf8(text).expect("what goes to COPY is UTF-8"))
}

/// A reader that gives at most so many bytes per call.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.1);
        Read::read(&mut self.0, &mut buffer[..count])
    }
}

/// The formats that are texts.
const TEXTS: [Format; 3] = [Format::Json, Format::Ndjson, Format::Csv];

fn corpus(format: Format) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format.name());
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// What holds for every content, good or bad.
#[track_caller]
fn check(format: Format, bytes: &[u8]) {
    let (content, text) = parse(format, bytes);
    let shown = || format!("{format:?} {:?}: {content:?}\n{text}", String::from_utf8_lossy(bytes));
    assert!(content.faults.len() <= LISTED_FAULTS, "{}", shown());
    assert_eq!(content.faults.len() as u64, content.total_faults.min(LISTED_FAULTS as u64), "{}", shown());
    assert!(content.rows > 0 || content.total_faults > 0, "neither rows nor faults: {}", shown());
    let rows: Vec<_> = content.faults.iter().map(|fault| fault.row).collect();
    assert!(rows.is_sorted() || format == Format::Json, "{}", shown());
    let mut before = 0;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 5, "{}", shown());
        let row: u64 = fields[0].parse().unwrap();
        assert!(before <= row && 0 < row && row <= content.last_row, "{}", shown());
        before = row;
        let code =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let null = |text: &str| text == "\\N";
        assert!(fields[1..3].iter().all(|text| null(text) || code(text)), "{}", shown());
        assert!(null(fields[3]) || fields[3].parse::<NaiveDate>().is_ok(), "{}", shown());
        assert!(null(fields[4]) || fields[4].parse::<i32>().is_ok_and(|price| price > 0), "{}", shown());
        assert!(!line.contains("\\N") || content.total_faults > 0, "a null and no fault: {}", shown());
    }
    if content.total_faults == 0 {
        assert_eq!(text.lines().count() as u64, content.prices, "{}", shown());
        assert!(content.rows <= content.prices && content.rows <= content.last_row, "{}", shown());
        assert_eq!(content.digest.bytes, bytes.len() as u64, "{}", shown());
    }
    for size in [1, 7, 4096] {
        assert_eq!(parse(format, Dripping(bytes, size)), (content.clone(), text.clone()), "by {size} bytes");
    }
    let mut zipped = Vec::new();
    GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut zipped).unwrap();
    assert_eq!(parse(format, decompress(zipped.as_slice(), true)), (content.clone(), text.clone()), "gzip");
    // A gzip that ends too early is never taken for a whole one.
    zipped.truncate(zipped.len() - 1);
    assert!(parse(format, decompress(zipped.as_slice(), true)).0.total_faults > 0, "{}", shown());
}

#[test]
fn the_corpus_is_read_as_its_names_say() {
    const GOOD: [&str; 10] = [
        "bare-array",
        "member",
        "lines",
        "no-last-line-end",
        "blank-lines",
        "plain",
        "windows",
        "quoted",
        "bom",
        "",
    ];
    for format in TEXTS {
        let files = corpus(format);
        assert!(files.len() > 8, "{format:?} has a corpus");
        for (name, bytes) in files {
            check(format, &bytes);
            let (content, text) = parse(format, bytes.as_slice());
            let good = GOOD.contains(&name.as_str()) && (format, name.as_str()) != (Format::Json, "bom");
            assert_eq!(content.total_faults == 0, good, "{format:?} {name}: {content:?}\n{text}");
            if good && name != "quoted" {
                let rows = match (format, name.as_str()) {
                    (Format::Csv, _) => [2, 3, 4],
                    (_, "blank-lines") => [3, 5, 7],
                    _ => [1, 2, 3],
                };
                let prices = [
                    "CNSGH\tNLRTM\t2021-01-31\t1150",
                    "CNSGH\tGBFXT\t0001-01-01\t1",
                    "USLAX\tNLRTM\t9999-12-31\t2147483647",
                ];
                let wanted = rows.iter().zip(prices).map(|(row, price)| format!("{row}\t{price}"));
                assert!(text.lines().eq(wanted), "{format:?} {name}: {text}");
            }
        }
    }
}

#[test]
fn a_row_with_many_or_long_fields_is_one_fault_and_the_next_is_read() {
    let (fields, digits) = (",x".repeat(100), "9".repeat(5000));
    let row = "CNSGH,NLRTM,2021-01-31,1";
    let sheet = format!("orig_code,dest_code,day,price\n{row}{fields},,\n{row}{digits}\n{row}\n");
    let (content, text) = parse(Format::Csv, sheet.as_bytes());
    let rows: Vec<_> = content.faults.iter().map(|fault| fault.row).collect();
    assert_eq!((content.rows, rows), (3, vec![Some(2), Some(3)]), "{content:?}");
    assert!(content.faults[0].detail.contains("has 104 columns; the header has 4"), "{content:?}");
    assert!(text.ends_with("4\tCNSGH\tNLRTM\t2021-01-31\t1\n"), "{text}");
}

#[test]
fn reading_stops_when_content_is_too_large_or_nobody_receives_it() {
    let line = "CNSGH,NLRTM,2021-01-31,1\n";
    let text = format!("orig_code,dest_code,day,price\n{}", line.repeat(20_000));
    let limit = text.len() as u64;
    let read = |limit, wanted: bool| {
        read(Format::Csv, text.as_bytes(), &Rules { bytes: limit, ..rules() }, &mut |_, _| {
            if wanted { Ok(()) } else { Err(ReadError::Closed) }
        })
    };
    assert_eq!(read(limit, true).unwrap().rows, 20_000);
    assert!(matches!(read(limit - 1, true), Err(ReadError::TooLarge(_))));
    assert!(matches!(read(limit, false), Err(ReadError::Closed)));
}

#[test]
fn a_row_that_is_too_long_is_refused_whatever_the_size_of_its_pieces() {
    let text = format!("[\"{}\"]", "A".repeat(2 << 20));
    for size in [100_000, 1 << 17] {
        let (content, _) = parse(Format::Json, Dripping(text.as_bytes(), size));
        let codes: Vec<_> = content.faults.iter().map(|fault| &*fault.code).collect();
        assert_eq!(codes, ["too_long"], "by {size} bytes");
    }
}

#[test]
fn files_of_the_operator_have_any_size_days_and_prices() {
    let rules = Rules { bytes: 1, prices: 1, days_ahead: 0, max_price: 1, ..rules() }.of_operator();
    let sheet = format!("orig_code,dest_code,day,price\n{}", "CNSGH,NLRTM,9999-12-31,2147483647\n".repeat(2));
    let content = read(Format::Csv, sheet.as_bytes(), &rules, &mut |_, _| Ok(())).unwrap();
    assert_eq!((content.prices, content.total_faults), (2, 0), "{content:?}");
}

#[test]
fn too_many_prices_are_the_same_fault_in_every_format() {
    let rules = Rules { prices: 1, ..rules() };
    let object = r#"{"orig_code":"CNSGH","dest_code":"NLRTM","day":"2021-01-31","price":1}"#;
    let sheet = format!("orig_code,dest_code,day,price\n{}", "CNSGH,NLRTM,2021-01-31,1\n".repeat(2));
    let workbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/xlsx/pandas.xlsx");
    for (format, bytes, row) in [
        (Format::Json, format!("[{object},{object}]").into_bytes(), 2),
        (Format::Json, format!(r#"{{"prices":[{object},{object}]}}"#).into_bytes(), 2),
        (Format::Ndjson, format!("{object}\n{object}\n").into_bytes(), 2),
        (Format::Csv, sheet.into_bytes(), 3),
        (Format::Xlsx, fs::read(workbook).unwrap(), 3),
    ] {
        let content = read(format, bytes.as_slice(), &rules, &mut |_, _| Ok(())).unwrap();
        let faults: Vec<_> =
            content.faults.iter().map(|fault| (fault.row, &*fault.field, &*fault.code)).collect();
        assert_eq!(faults, [(Some(row), "content", "too_many_prices")], "{format:?}: {content:?}");
        let detail = &content.faults[0].detail;
        assert!(detail.starts_with("the content has more than 1 prices, each day"), "{format:?}: {detail}");
    }
}

#[test]
fn the_format_of_a_file_is_known_by_its_name_in_any_case() {
    for (name, format) in [
        ("prices.csv", Some((Format::Csv, false))),
        ("PRICES.CSV", Some((Format::Csv, false))),
        ("a/Prices.Xlsx", Some((Format::Xlsx, false))),
        ("prices.JSON.GZ", Some((Format::Json, true))),
        ("prices.ndjson.gz", Some((Format::Ndjson, true))),
        ("prices.sql", None),
        ("csv", None),
    ] {
        assert_eq!(Format::of_file(Path::new(name)), format, "{name}");
    }
}

#[test]
fn progress_is_told_in_bytes_and_rows_while_content_is_read() {
    let text = format!("orig_code,dest_code,day,price\n{}", "CNSGH,NLRTM,2021-01-31,1\n".repeat(50_000));
    let mut told = Vec::new();
    read(Format::Csv, text.as_bytes(), &rules(), &mut |_, progress| {
        told.push(progress);
        Ok(())
    })
    .unwrap();
    assert!(told.len() > 5 && told.is_sorted_by_key(|progress| progress.bytes), "{told:?}");
    for Progress { rows, bytes } in told {
        // A parser is at most a buffer ahead of its rows.
        assert!(
            (0..=1 << 18).contains(&(bytes.cast_signed() - 30 - 25 * rows.cast_signed())),
            "{rows} rows in {bytes} bytes"
        );
    }
}

const PACKAGE: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>
</Relationships>"#;
const RELATIONSHIPS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>
<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/>
<Relationship Id="rId3" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/>
</Relationships>"#;
const WORKBOOK: &str = r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">
<sheets><sheet name="Prices" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
/// The second format of cells is a day, the third a number of hours.
const STYLES: &str = r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">
<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="46"/></cellXfs></styleSheet>"#;

/// A workbook with this sheet and these texts of cells.
fn workbook(sheet: &[u8], strings: &[u8]) -> Vec<u8> {
    zipped(sheet, strings, SimpleFileOptions::default())
}

fn zipped(sheet: &[u8], strings: &[u8], options: SimpleFileOptions) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [
        ("_rels/.rels", PACKAGE.as_bytes()),
        ("xl/workbook.xml", WORKBOOK.as_bytes()),
        ("xl/_rels/workbook.xml.rels", RELATIONSHIPS.as_bytes()),
        ("xl/styles.xml", STYLES.as_bytes()),
        ("xl/sharedStrings.xml", strings),
        ("xl/worksheets/sheet1.xml", sheet),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const STRINGS: &[u8] = b"<sst><si><t>orig_code</t></si><si><t>CNSGH</t></si></sst>";

/// A sheet: a header in row 2, a note far beside it, an empty row, a window, a price on a day with a time, and one on a number of hours.
const SHEET: &[u8] = br#"<worksheet><dimension ref="A2:E5"/><sheetData>
<row r="2"><c r="B2" t="s"><v>0</v></c><c r="C2" t="inlineStr"><is><t>Dest code</t></is></c>
<c r="D2" t="str"><v>valid_from</v></c><c r="E2" t="str"><v>valid_to</v></c><c r="F2" t="str"><v>price</v></c>
<c r="IW2" t="str"><v>a note</v></c></row>
<row r="4"><c r="A4"><v>7</v></c><c r="B4" t="s"><v>1</v></c><c r="C4" t="str"><v> NLRTM </v></c>
<c r="D4" s="1"><v>44227</v></c><c r="E4" t="str"><v>2021-02-01</v></c><c r="F4"><v>1150</v></c></row>
<row r="5"><c r="B5" t="s"><v>1</v></c><c r="C5" t="str"><v>NLRTM</v></c>
<c r="D5" s="1"><v>44227.5</v></c><c r="E5" s="1"><v>44228</v></c><c r="F5"><v>11.5</v></c></row>
<row r="6"><c r="B6" t="s"><v>1</v></c><c r="C6" t="str"><v>NLRTM</v></c>
<c r="D6" s="2"><v>1.5</v></c><c r="E6" s="1"><v>44228</v></c><c r="F6"><v>1150</v></c></row>
</sheetData></worksheet>"#;

#[test]
fn the_cells_of_a_workbook_are_read_and_its_faults_named_by_row() {
    let (content, text) = parse(Format::Xlsx, workbook(SHEET, STRINGS).as_slice());
    let faults: Vec<_> =
        content.faults.iter().map(|fault| (fault.row, &*fault.field, fault.value.as_deref())).collect();
    let wanted = [
        (Some(5), "valid_from", Some("2021-01-31 12:00:00")),
        (Some(5), "price", Some("11.5")),
        (Some(6), "valid_from", Some("1.5")),
    ];
    assert_eq!(faults, wanted, "{content:?}");
    assert_eq!((content.rows, content.last_row), (3, 6));
    assert!(
        text.starts_with("4\tCNSGH\tNLRTM\t2021-01-31\t1150\n4\tCNSGH\tNLRTM\t2021-02-01\t1150\n5\t"),
        "{text}"
    );
}

#[test]
fn workbooks_of_pandas_and_openpyxl_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/xlsx");
    for name in ["pandas", "openpyxl"] {
        let bytes = fs::read(directory.join(format!("{name}.xlsx"))).unwrap();
        check(Format::Xlsx, &bytes);
        let (content, text) = parse(Format::Xlsx, bytes.as_slice());
        assert_eq!(content.total_faults, 0, "{name}: {content:?}");
        assert_eq!(text, "2\tCNSGH\tNLRTM\t2021-01-31\t1150\n3\tCNSGH\tGBFXT\t2021-02-01\t1\n", "{name}");
    }
}

#[test]
fn a_workbook_may_not_unzip_to_more_than_the_limit() {
    let spaces = b" ".repeat(2 << 20);
    let sheet = [b"<worksheet>", spaces.as_slice(), b"</worksheet>"].concat();
    let bomb = workbook(&sheet, STRINGS);
    assert!(bomb.len() < 10_000);
    let read = read(Format::Xlsx, bomb.as_slice(), &rules(), &mut |_, _| Ok(()));
    assert!(matches!(read, Err(ReadError::TooLarge(limit)) if limit == 1 << 20), "{read:?}");
}

#[test]
fn a_workbook_may_be_as_large_as_the_limit() {
    // Not compressed, so that the file is larger than what is in it.
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let sheet = [SHEET, b" ".repeat(1_500_000).as_slice()].concat(); // longer than a row may be
    let file = zipped(&sheet, STRINGS, stored);
    let read = |limit| {
        read(Format::Xlsx, file.as_slice(), &Rules { sheet_bytes: limit, ..rules() }, &mut |_, _| Ok(()))
    };
    assert_eq!(read(file.len() as u64).unwrap().rows, 3);
    assert!(matches!(read(file.len() as u64 - 1), Err(ReadError::TooLarge(_))));
}

fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(TEXTS.to_vec())
}

/// A file of the corpus, cut, with bytes changed and with a part of another file put in.
fn mutated() -> impl Strategy<Value = (Format, Vec<u8>)> {
    any_format().prop_flat_map(|format| {
        let files: Vec<Vec<u8>> = corpus(format).into_iter().map(|(_, bytes)| bytes).collect();
        let file = prop::sample::select(files.clone());
        let other = prop::sample::select(files);
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
        let cuts = any::<[prop::sample::Index; 3]>();
        (file, other, changes, cuts, any::<bool>()).prop_map(move |(mut file, other, changes, cuts, cut)| {
            for (at, byte) in changes {
                if !file.is_empty() {
                    let at = at.index(file.len());
                    file[at] = byte;
                }
            }
            let at = cuts[0].index(file.len() + 1);
            let (from, to) = (cuts[1].index(other.len() + 1), cuts[2].index(other.len() + 1));
            file.splice(at..at, other[from.min(to)..from.max(to)].iter().copied());
            if cut {
                file.truncate(at);
            }
            (format, file)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_mutated_corpus_is_read_or_has_faults((format, bytes) in mutated()) {
        check(format, &bytes);
    }

    #[test]
    fn any_bytes_are_read_or_have_faults(
        format in prop::sample::select(Format::ALL.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        check(format, &bytes);
    }

    #[test]
    fn the_same_prices_read_alike_in_every_format(
        rows in prop::collection::vec(
            ("[A-Z]{2}[A-Z0-9]{3}", "[A-Z]{2}[A-Z0-9]{3}", -719_162_i32..2_932_896, 1..i32::MAX), 1..20),
    ) {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(orig, dest, day, price)| (orig, dest, NaiveDate::from_epoch_days(day).unwrap(), price))
            .collect();
        let mut wanted = String::new();
        let (mut lines, mut csv) = (Vec::new(), String::from("day,price,orig_code,dest_code\n"));
        for ((orig, dest, day, price), number) in rows.iter().zip(1..) {
            writeln!(wanted, "{}\t{orig}\t{dest}\t{day}\t{price}", number + 1).unwrap();
            writeln!(csv, "{day},{price},{orig},{dest}").unwrap();
            lines.push(format!(
                r#"{{"orig_code":"{orig}","day":"{day}","dest_code":"{dest}","price":{price}}}"#
            ));
        }
        for (format, text) in [
            (Format::Csv, csv),
            (Format::Ndjson, lines.join("\n")),
            (Format::Json, format!("[{}]", lines.join(","))),
            (Format::Json, format!("{{\"prices\" : [{}] }}", lines.join(" ,\n"))),
        ] {
            let (content, read) = parse(format, text.as_bytes());
            prop_assert_eq!(content.total_faults, 0, "{:?}", content);
            let header = u64::from(format == Format::Csv);
            let numbers: Vec<u64> = read.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
            prop_assert_eq!(numbers, (1 + header..=rows.len() as u64 + header).collect::<Vec<_>>(), "{:?}", format);
            let prices = |text: &str| text.lines().map(|line| line.split_once('\t').unwrap().1.to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(prices(&read), prices(&wanted), "{:?}", format);
        }
    }

    #[test]
    fn a_sheet_reads_alike_whatever_its_separator_quotes_line_ends_and_order_of_columns(
        rows in prop::collection::vec(
            ("[A-Z]{2}[A-Z0-9]{3}", "[A-Z]{2}[A-Z0-9]{3}", 0_i32..20_000, 0_u32..400, 1..i32::MAX, 0_u8..4), 1..12),
        separator in prop::sample::select(vec![',', ';', '\t']),
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        order in Just([0, 1, 2, 3, 4]).prop_shuffle(),
        quoted in any::<bool>(),
        dotted in any::<bool>(),
        mark in any::<bool>(),
        last_line_end in any::<bool>(),
    ) {
        let mut header = ["Orig code", "DEST_CODE", "valid-from", "Valid To", "price"].map(str::to_owned);
        let mut text = String::from(if mark { "\u{feff}" } else { "" });
        let mut line = |fields: &mut [String; 5], quoted: bool| {
            let fields = order.map(|at| if quoted { format!("\"{}\"", fields[at]) } else { fields[at].clone() });
            text.push_str(&fields.join(&separator.to_string()));
            text.push_str(line_end);
        };
        line(&mut header, quoted);
        let written = |day: NaiveDate| day.format(if dotted { "%-d.%m.%Y" } else { "%Y-%m-%d" }).to_string();
        let (mut wanted, mut number, mut prices) = (String::new(), 1, 0);
        for (orig, dest, first, days, price, blank_rows) in rows {
            let first = NaiveDate::from_epoch_days(first).unwrap();
            let last = first + chrono::Days::new(days.into());
            for _ in 0..blank_rows {
                number += 1;
                line(&mut [const { String::new() }; 5], false);
            }
            number += 1;
            // A comma in a number must be quoted where commas separate.
            let cents = if separator == ',' && !quoted { ".00" } else { ",00" };
            line(&mut [orig.clone(), dest.clone(), written(first), written(last), format!("{price}{cents}")], quoted);
            for day in first.iter_days().take_while(|day| *day <= last) {
                prices += 1;
                writeln!(wanted, "{number}\t{orig}\t{dest}\t{day}\t{price}").unwrap();
            }
        }
        if !last_line_end {
            text.truncate(text.len() - line_end.len());
        }
        let (content, read) = parse(Format::Csv, text.as_bytes());
        prop_assert_eq!(content.total_faults, 0, "{:?}\n{}", content, text);
        prop_assert_eq!((content.last_row, content.prices), (number, prices));
        prop_assert_eq!(read, wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_mutated_workbook_is_read_or_has_faults(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        moved in any::<[prop::sample::Index; 3]>(),
        in_strings in any::<bool>(),
    ) {
        let (mut sheet, mut strings) = (SHEET.to_vec(), STRINGS.to_vec());
        let changed = if in_strings { &mut strings } else { &mut sheet };
        let [from, to, at] = moved.map(|index| index.index(changed.len()));
        let part = changed[from.min(to)..from.max(to)].to_vec();
        changed.splice(at..at, part);
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        check(Format::Xlsx, &workbook(&sheet, &strings));
    }

    #[test]
    fn a_workbook_with_mutated_bytes_is_read_or_has_faults(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = workbook(SHEET, STRINGS);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(Format::Xlsx, &bytes);
    }
}
