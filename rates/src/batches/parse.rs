//! Reading prices as JSON, NDJSON and CSV, one row at a time, with every fault named: a bad row does not hide those
//! after it. Only where the form itself breaks (JSON cut off, a broken gzip) does reading stop.

use std::{
    borrow::Cow,
    cell::Cell,
    fmt,
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

use chassis::problem::FieldError;
use flate2::bufread::MultiGzDecoder;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use sha2::{Digest, Sha256};

use crate::http::parameters::{PlaceName, parse_day, quoted};

/// So many faults are listed; the rest are counted.
pub const LISTED_FAULTS: usize = 100;

/// No row needs a hundredth of this; without a bound, one endless value would fill the memory.
const LONGEST_ROW: u64 = 1 << 20;

/// Rows go on in pieces of about this size.
const PIECE: usize = 128 * 1024;

const FIELDS: [&str; 4] = ["orig_code", "dest_code", "day", "price"];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An array of objects, bare or as the member `prices` of an object.
    Json,
    /// An object a line.
    Ndjson,
    /// A header row, then a row a line.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Csv];

    /// Its name in the database and as a file's extension.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Rows, good and bad.
    pub rows: u64,
    /// Bytes, unzipped; of content that breaks off in its form, those before.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: [u8; 32],
    /// The first faults, in the order of the rows.
    pub faults: Vec<FieldError>,
    /// How many faults there are in all.
    pub total_faults: u64,
}

/// Why reading stopped for a reason other than what was read.
#[derive(Debug)]
pub enum Stop {
    /// The content is larger than allowed.
    TooLarge,
    /// The content stopped coming.
    Cut(String),
    /// Nobody takes the rows any more.
    Unwanted,
    /// A row that does not end.
    EndlessRow,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the content is too large"),
            Self::Cut(why) => write!(f, "the content was cut off: {why}"),
            Self::Unwanted => f.write_str("nobody takes the rows"),
            Self::EndlessRow => write!(f, "a row is longer than {LONGEST_ROW} bytes"),
        }
    }
}

impl std::error::Error for Stop {}

impl Stop {
    /// The same as the error of a reader.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

/// Unzipped content on its way to a parser: counted, hashed and bounded.
pub struct Metered<R> {
    inner: R,
    hash: Sha256,
    limit: u64,
    meter: Rc<Meter>,
}

#[derive(Default)]
struct Meter {
    bytes: Cell<u64>,
    row_began: Cell<u64>,
}

impl<R: Read> Metered<R> {
    /// At most `limit` bytes of `inner`.
    pub fn new(inner: R, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), limit, meter: Rc::default() }
    }

    /// How many bytes came through, and their SHA-256.
    pub fn digest(self) -> (u64, [u8; 32]) {
        (self.meter.bytes.get(), self.hash.finalize().into())
    }

    /// From here on the bytes are not those of one row: for those who do not look at rows.
    pub fn forget_row(&self) {
        self.meter.row_began.set(self.meter.bytes.get());
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        let bytes = self.meter.bytes.get() + count as u64;
        self.meter.bytes.set(bytes);
        if bytes > self.limit {
            return Err(Stop::TooLarge.into_io());
        }
        if bytes - self.meter.row_began.get() > LONGEST_ROW + PIECE as u64 {
            return Err(Stop::EndlessRow.into_io());
        }
        Ok(count)
    }
}

/// Content as it came, unzipped if it is gzip.
pub fn unzipped<'a>(input: impl Read + 'a, gzip: bool) -> Box<dyn Read + 'a> {
    if gzip { Box::new(MultiGzDecoder::new(BufReader::with_capacity(PIECE, input))) } else { Box::new(input) }
}

/// Reads all of `input` (unzipped) and hands the rows to `take` in COPY's text format: the row's number and the four
/// fields, null where they are wrong.
pub fn read(
    format: Format,
    input: impl Read,
    limit: u64,
    take: &mut dyn FnMut(Vec<u8>, u64) -> Result<(), Stop>,
) -> Result<Content, Stop> {
    let mut input = Metered::new(input, limit);
    let mut rows = Rows {
        take,
        meter: Rc::clone(&input.meter),
        text: Vec::with_capacity(PIECE + 1024),
        count: 0,
        faults: Vec::new(),
        total_faults: 0,
    };
    let mut buffered = BufReader::with_capacity(PIECE, &mut input);
    let outcome = match format {
        Format::Json => read_json(&mut buffered, &mut rows),
        Format::Ndjson => read_ndjson(&mut buffered, &mut rows),
        Format::Csv => read_csv(&mut buffered, &mut rows),
    };
    if let Err(error) = outcome {
        match stop_of(error) {
            Ok(Stop::EndlessRow) => {
                rows.fault(rows.count + 1, "content", None, "too_long", Stop::EndlessRow.to_string());
            }
            Ok(stop) => return Err(stop),
            Err(broken) => {
                rows.fault(rows.count + 1, "content", None, "malformed", broken.to_string());
            }
        }
    }
    rows.flush()?;
    let Rows { count, mut faults, mut total_faults, .. } = rows;
    if count == 0 && total_faults == 0 {
        faults.push(FieldError::new("content", "missing", "there are no prices"));
        total_faults = 1;
    }
    let (bytes, sha256) = input.digest();
    Ok(Content { rows: count, bytes, sha256, faults, total_faults })
}

/// The stop that a reader reported, or else what is wrong with the content.
fn stop_of(error: io::Error) -> Result<Stop, io::Error> {
    error.downcast::<Stop>()
}

/// Rows on their way out.
struct Rows<'a> {
    take: &'a mut dyn FnMut(Vec<u8>, u64) -> Result<(), Stop>,
    meter: Rc<Meter>,
    text: Vec<u8>,
    count: u64,
    faults: Vec<FieldError>,
    total_faults: u64,
}

/// A field as it stands in the content.
enum Raw<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    /// What cannot be right in any field, and how it looks.
    Other(Cow<'static, str>),
}

impl Raw<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => quoted(text).trim_matches('"').to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Other(shown) => shown.to_string(),
        }
    }
}

type Fields<'a> = [Option<Raw<'a>>; 4];

impl Rows<'_> {
    /// Notes a fault of row `row`; 0 is the content as a whole.
    fn fault(
        &mut self,
        row: u64,
        field: &str,
        value: Option<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) {
        self.total_faults += 1;
        if self.faults.len() < LISTED_FAULTS {
            let field = FieldError::new(quoted(field).trim_matches('"').to_owned(), code, detail);
            self.faults.push(if row == 0 { field } else { field.at(row, value) });
        }
    }

    /// A row that has no fields to look at.
    fn bad_row(&mut self, code: &'static str, detail: impl Into<String>) -> Result<(), Stop> {
        self.count += 1;
        self.fault(self.count, "row", None, code, detail);
        self.end_row()
    }

    /// A row with these fields. CSV has numbers as text.
    fn row(&mut self, fields: &Fields<'_>, numbers_are_text: bool) -> Result<(), Stop> {
        self.count += 1;
        self.text.extend_from_slice(itoa::Buffer::new().format(self.count).as_bytes());
        for (name, raw) in FIELDS.into_iter().zip(fields) {
            self.text.push(b'\t');
            let start = self.text.len();
            let wrong = match raw {
                None => Some(("missing", format!("{name} is missing"))),
                Some(raw) => write_field(&mut self.text, name, raw, numbers_are_text).err(),
            };
            if let Some((code, detail)) = wrong {
                self.text.truncate(start);
                self.text.extend_from_slice(b"\\N");
                self.fault(self.count, name, raw.as_ref().map(Raw::shown), code, detail);
            }
        }
        self.text.push(b'\n');
        self.end_row()
    }

    fn end_row(&mut self) -> Result<(), Stop> {
        self.meter.row_began.set(self.meter.bytes.get());
        if self.text.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let text = std::mem::replace(&mut self.text, Vec::with_capacity(PIECE + 1024));
        (self.take)(text, self.count)
    }
}

/// Writes a field's value; what it writes is never special to COPY.
fn write_field(
    text: &mut Vec<u8>,
    name: &str,
    raw: &Raw<'_>,
    numbers_are_text: bool,
) -> Result<(), (&'static str, String)> {
    match (name, raw) {
        ("price", raw) => {
            let price = match raw {
                Raw::Integer(price) => Some(*price),
                Raw::Text(digits) if numbers_are_text && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    // Too many digits are out of range like too large a number.
                    Some(digits.parse().unwrap_or(if digits.is_empty() { 0 } else { i64::MAX }))
                }
                _ => None,
            };
            let price = price
                .ok_or_else(|| ("malformed", format!("{} is not a whole number of dollars", raw.shown())))?;
            if !(1..=i64::from(i32::MAX)).contains(&price) {
                return Err(("out_of_range", format!("a price is from 1 to {}", i32::MAX)));
            }
            text.extend_from_slice(itoa::Buffer::new().format(price).as_bytes());
        }
        ("day", Raw::Text(day)) => {
            parse_day(day)?;
            text.extend_from_slice(day.as_bytes());
        }
        (_, Raw::Text(code)) if name != "day" && PlaceName::parse(Cow::Borrowed(code)).is_ok() => {
            text.extend_from_slice(code.as_bytes());
        }
        ("day", raw) => return Err(("malformed", format!("{} is not a day like 2021-01-31", raw.shown()))),
        (_, raw) => return Err(("malformed", format!("{} is not a port code like CNGGZ", raw.shown()))),
    }
    Ok(())
}

/// Values that no field has, told by their kind. Nested ones are passed over without recursion.
macro_rules! other_values {
    ($other:expr) => {
        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok($other(if value { "true" } else { "false" }.into()))
        }

        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok($other(number.to_string().into()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($other("null".into()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other("an array".into()))
        }
    };
}
/// What a row of JSON turned out to be.
enum JsonRow {
    Object { fields: Fields<'static>, strangers: Vec<String>, repeated: Vec<&'static str> },
    Other(Cow<'static, str>),
}

impl<'de> Deserialize<'de> for JsonRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowVisitor;
        impl<'de> Visitor<'de> for RowVisitor {
            type Value = JsonRow;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRow, A::Error> {
                let (mut fields, mut strangers, mut repeated) = ([const { None }; 4], Vec::new(), Vec::new());
                while let Some(Name(name)) = map.next_key()? {
                    let Some(index) = FIELDS.iter().position(|field| *field == name) else {
                        map.next_value::<IgnoredAny>()?;
                        // One is told; a row with a thousand strangers needs no more.
                        if strangers.len() < 4 {
                            strangers.push(name.into_owned());
                        }
                        continue;
                    };
                    if fields[index].is_some() {
                        repeated.push(FIELDS[index]);
                    }
                    fields[index] = Some(map.next_value_seed(RawSeed)?);
                }
                Ok(JsonRow::Object { fields, strangers, repeated })
            }

            other_values!(JsonRow::Other);

            fn visit_str<E>(self, _: &str) -> Result<JsonRow, E> {
                Ok(JsonRow::Other("a text".into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<JsonRow, E> {
                Ok(JsonRow::Other(number.to_string().into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<JsonRow, E> {
                Ok(JsonRow::Other(number.to_string().into()))
            }
        }
        deserializer.deserialize_any(RowVisitor)
    }
}

/// A name of a field, borrowed while the parser allows it.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                // The four names are constants: no allocation for any good row.
                Ok(Name(
                    FIELDS
                        .iter()
                        .find(|field| **field == name)
                        .map_or_else(|| Cow::Owned(name.to_owned()), |field| Cow::Borrowed(*field)),
                ))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

struct RawSeed;

impl<'de> DeserializeSeed<'de> for RawSeed {
    type Value = Raw<'static>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RawSeed {
    type Value = Raw<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Raw::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Raw::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Raw::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Raw::Other("an object".into()))
    }

    other_values!(Raw::Other);
}

impl Rows<'_> {
    fn json_row(&mut self, row: JsonRow) -> Result<(), Stop> {
        match row {
            JsonRow::Other(shown) => self.bad_row("malformed", format!("{shown} is not an object")),
            JsonRow::Object { fields, strangers, repeated } => {
                for stranger in strangers {
                    let detail = format!("a row has the fields {} and no others", FIELDS.join(", "));
                    self.fault(self.count + 1, &stranger, None, "unknown", detail);
                }
                for name in repeated {
                    self.fault(self.count + 1, name, None, "repeated", format!("{name} is given twice"));
                }
                self.row(&fields, false)
            }
        }
    }
}

fn read_json(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    /// The rows of an array, each handed on before the next is read.
    struct Array<'a, 'b>(&'a mut Rows<'b>);
    impl<'de> DeserializeSeed<'de> for Array<'_, '_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_seq(self)
        }
    }
    impl<'de> Visitor<'de> for Array<'_, '_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of prices")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while let Some(row) = items.next_element::<JsonRow>()? {
                // Carried through serde as a text only; `read` asks `take` again, which stops again.
                self.0.json_row(row).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    /// The array, bare or as the member `prices`.
    struct Document<'a, 'b>(&'a mut Rows<'b>);
    impl<'de> Visitor<'de> for Document<'_, '_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of prices, or an object with the member prices")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
            Array(self.0).visit_seq(items)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut found = false;
            while let Some(Name(name)) = map.next_key()? {
                if name == "prices" && !found {
                    found = true;
                    map.next_value_seed(Array(self.0))?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                    let (code, detail) = if name == "prices" {
                        ("repeated", "prices is given twice")
                    } else {
                        ("unknown", "the object has the member prices and no other")
                    };
                    self.0.fault(0, &name, None, code, detail);
                }
            }
            if !found {
                self.0.fault(0, "prices", None, "missing", "the object has no member prices");
            }
            Ok(())
        }
    }
    let mut json = serde_json::Deserializer::from_reader(input);
    json.deserialize_any(Document(rows)).and_then(|()| json.end()).map_err(io::Error::from)
}

fn read_ndjson(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<JsonRow>(&line) {
            Ok(row) => rows.json_row(row),
            // Each line is a document of its own: "line 1" would mislead.
            Err(error) => {
                let text = error.to_string();
                let what = text.split(" at line ").next().unwrap_or(&text);
                rows.bad_row("malformed", format!("{what} at byte {} of the line", error.column()))
            }
        }
        .map_err(Stop::into_io)?;
    }
}

/// The reader's own error, which csv would wrap.
fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// The first bytes after the mark that spreadsheets put first. csv looks for it as well, but only in the first piece, which
/// may be shorter than the mark.
fn without_byte_order_mark(input: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    loop {
        let mut start = Vec::with_capacity(MARK.len());
        input.take(MARK.len() as u64).read_to_end(&mut start)?;
        if start != MARK {
            return Ok(start);
        }
    }
}

fn read_csv(input: &mut dyn BufRead, rows: &mut Rows<'_>) -> io::Result<()> {
    let start = without_byte_order_mark(input)?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .has_headers(false)
        .buffer_capacity(PIECE)
        .from_reader(start.as_slice().chain(input));
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(csv_error)? {
        return Ok(());
    }
    let header: Vec<String> = record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let mut positions = [None; 4];
    for (index, name) in header.iter().enumerate() {
        match FIELDS.iter().position(|field| field == name) {
            None => {
                let detail = format!("the columns are {} and no others", FIELDS.join(", "));
                rows.fault(0, name, None, "unknown", detail);
            }
            Some(field) if positions[field].is_some() => {
                rows.fault(0, name, None, "repeated", format!("the header has {name} twice"));
            }
            Some(field) => positions[field] = Some(index),
        }
    }
    for (name, _) in FIELDS.iter().zip(positions).filter(|(_, position)| position.is_none()) {
        rows.fault(0, name, None, "missing", format!("the header has no column {name}"));
    }
    if rows.total_faults > 0 {
        // What the rows say cannot be told without their header.
        return Ok(());
    }
    while reader.read_byte_record(&mut record).map_err(csv_error)? {
        if record.len() != header.len() {
            let detail = format!("{} columns where {} are due", record.len(), header.len());
            rows.bad_row("wrong_column_count", detail).map_err(Stop::into_io)?;
            continue;
        }
        let fields = positions.map(|position| {
            let field = &record[position.unwrap_or_default()];
            match std::str::from_utf8(field) {
                Ok("") => None,
                Ok(text) => Some(Raw::Text(Cow::Borrowed(text))),
                Err(_) => Some(Raw::Other("text that is not UTF-8".into())),
            }
        });
        rows.row(&fields, true).map_err(Stop::into_io)?;
    }
    Ok(())
}
