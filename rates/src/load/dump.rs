//! The COPY blocks of a plain `pg_dump`. Everything else in it is passed over: the schema is the migrations' to make.

use std::{borrow::Cow, io::BufRead};

use super::{Copy, LoadError, Places};
use crate::sql::places::{PortRow, RegionRow};

/// One COPY block: its table and where the wanted columns are in a row.
struct Block {
    table: Table,
    /// For each wanted column its position in the row.
    columns: Vec<usize>,
    width: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Regions,
    Ports,
    Prices,
}

impl Table {
    /// The columns that are read, in the order in which rows are handed on.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Regions => &["slug", "name", "parent_slug"],
            Self::Ports => &["code", "name", "parent_slug"],
            Self::Prices => &["orig_code", "dest_code", "day", "price"],
        }
    }
}

/// Lines of the dump, one after the other, in one buffer.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<&[u8]>, LoadError> {
        self.line.clear();
        if self.input.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    fn wrong(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Format { line: self.number, reason: reason.into() }
    }

    /// The next block of a table that is wanted.
    fn next_block(&mut self) -> Result<Option<Block>, LoadError> {
        while let Some(line) = self.next()? {
            if let Some(block) = parse_header(line) {
                return block.map(Some).map_err(|reason| self.wrong(reason));
            }
        }
        Ok(None)
    }

    /// The next row of a block; none at its end.
    fn next_row(&mut self) -> Result<Option<&[u8]>, LoadError> {
        // Borrowing `self` in the arms below and in `next` at once is more than the borrow checker follows.
        if self.next()?.is_none() {
            return Err(self.wrong("the file ends inside a COPY block; it is not whole"));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok((line != b"\\.").then_some(line))
    }
}

/// `COPY public.ports (code, name, parent_slug) FROM stdin;`, of a table that is wanted.
fn parse_header(line: &[u8]) -> Option<Result<Block, String>> {
    let line = std::str::from_utf8(line.strip_prefix(b"COPY ")?).ok()?;
    let (table, rest) = line.split_once(" (")?;
    let (columns, _) = rest.split_once(") FROM stdin;")?;
    let table = match table.trim_start_matches("public.") {
        "regions" => Table::Regions,
        "ports" => Table::Ports,
        "prices" => Table::Prices,
        _ => return None,
    };
    let there: Vec<&str> = columns.split(", ").map(|column| column.trim_matches('"')).collect();
    let positions = table.columns().iter().map(|wanted| {
        there
            .iter()
            .position(|column| column == wanted)
            .ok_or_else(|| format!("{table:?} has no column {wanted}"))
    });
    Some(positions.collect::<Result<_, _>>().map(|columns| Block { table, columns, width: there.len() }))
}

/// The first pass: regions and ports.
pub(super) fn read_places(input: &mut dyn BufRead) -> Result<Places, LoadError> {
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    let mut places = Places::default();
    let mut any = false;
    while let Some(block) = lines.next_block()? {
        any = true;
        loop {
            if block.table == Table::Prices {
                if lines.next_row()?.is_none() {
                    break;
                }
                continue;
            }
            let Some(row) = lines.next_row()? else {
                break;
            };
            let fields: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
            let width = fields.len();
            let mut values = Vec::with_capacity(3);
            let mut reason =
                (width != block.width).then(|| format!("{width} columns where {} are due", block.width));
            for position in &block.columns {
                match fields.get(*position).map(|field| unescape(field)) {
                    Some(Ok(value)) => values.push(value),
                    Some(Err(wrong)) => reason = reason.or(Some(wrong)),
                    None => {}
                }
            }
            let place = match (reason, <[_; 3]>::try_from(values)) {
                (None, Ok([Some(key), Some(name), parent_slug])) => (key, name, parent_slug),
                (Some(reason), _) => return Err(lines.wrong(reason)),
                _ => return Err(lines.wrong("null where a text is due")),
            };
            match (block.table, place) {
                (Table::Regions, (slug, name, parent_slug)) => {
                    places.regions.push(RegionRow { slug, name, parent_slug });
                }
                (_, (code, name, Some(parent_slug))) => {
                    places.ports.push(PortRow { code, name, parent_slug });
                }
                _ => return Err(lines.wrong("a port without a region")),
            }
        }
    }
    if any {
        Ok(places)
    } else {
        Err(lines.wrong("no COPY block of regions, ports or prices: neither a plain pg_dump nor CSV with the header orig_code,dest_code,day,price"))
    }
}

/// The second pass: prices, straight on to the server, which checks them.
pub(super) async fn copy_prices(input: &mut dyn BufRead, copy: &mut Copy<'_>) -> Result<(), LoadError> {
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    while let Some(block) = lines.next_block()? {
        let as_it_is = block.columns.iter().copied().eq(0..block.width);
        let mut reordered = Vec::new();
        while let Some(row) = lines.next_row()? {
            if block.table != Table::Prices {
                continue;
            }
            if as_it_is {
                copy.row(row).await?;
                continue;
            }
            let fields: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
            if fields.len() != block.width {
                let width = fields.len();
                return Err(lines.wrong(format!("{width} columns where {} are due", block.width)));
            }
            reordered.clear();
            for (index, position) in block.columns.iter().enumerate() {
                if index > 0 {
                    reordered.push(b'\t');
                }
                reordered.extend_from_slice(fields[*position]);
            }
            copy.row(&reordered).await?;
        }
    }
    Ok(())
}

/// A field of COPY's text format; none is null.
fn unescape(field: &[u8]) -> Result<Option<String>, String> {
    if field == b"\\N" {
        return Ok(None);
    }
    let mut bytes = Cow::Borrowed(field);
    if field.contains(&b'\\') {
        let mut plain = Vec::with_capacity(field.len());
        let mut rest = field.iter();
        while let Some(byte) = rest.next() {
            plain.push(match byte {
                b'\\' => match rest.next() {
                    Some(b'b') => 8,
                    Some(b'f') => 12,
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b't') => b'\t',
                    Some(b'v') => 11,
                    Some(other) => *other,
                    None => return Err("a lone backslash at the end of a field".into()),
                },
                other => *other,
            });
        }
        bytes = Cow::Owned(plain);
    }
    String::from_utf8(bytes.into_owned()).map(Some).map_err(|_| "a text that is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_whatever_the_order_of_blocks_and_columns() {
        let dump = "SET x;\nCOPY public.ports (parent_slug, code, name) FROM stdin;\nr\tAAAAA\tTab\\there \\\\ \u{e5}\n\\.\n\
                    COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\nAAAAA\tAAAAA\t2021-01-01\t1\n\\.\n\
                    COPY public.other (a) FROM stdin;\nx\n\\.\n\
                    COPY public.regions (slug, name, parent_slug) FROM stdin;\nr\tR\t\\N\n\\.\n";
        let places = read_places(&mut dump.as_bytes()).unwrap();
        assert_eq!(places.ports.len(), 1);
        assert_eq!(places.ports[0].name, "Tab\there \\ \u{e5}");
        assert_eq!(places.regions[0].parent_slug, None);
    }

    #[test]
    fn what_is_wrong_with_a_dump_is_told_with_its_line() {
        for (dump, line, part) in [
            ("hello\n", 1, "neither a plain pg_dump nor CSV"),
            ("COPY public.ports (code, name) FROM stdin;\n", 1, "parent_slug"),
            (
                "COPY public.ports (code, name, parent_slug) FROM stdin;\nA\tB\n",
                2,
                "2 columns where 3 are due",
            ),
            ("COPY public.ports (code, name, parent_slug) FROM stdin;\nA\tB\tc\n", 2, "not whole"),
            (
                "COPY public.ports (code, name, parent_slug) FROM stdin;\nA\tB\t\\N\n\\.\n",
                2,
                "without a region",
            ),
            ("COPY public.ports (code, name, parent_slug) FROM stdin;\nA\t\\N\tc\n\\.\n", 2, "null"),
        ] {
            let error = read_places(&mut dump.as_bytes()).expect_err(dump).to_string();
            assert!(error.starts_with(&format!("line {line}:")) && error.contains(part), "{dump}: {error}");
        }
    }
}
