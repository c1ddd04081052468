//! The COPY blocks of a plain `pg_dump`. Everything else is skipped: migrations create the schema.

use std::{borrow::Cow, io::BufRead};

use sqlx::{PgConnection, postgres::PgCopyIn};

use super::{DumpFault, DumpPlaces, LoadError};
use crate::places::{Port, RegionRow};

/// A COPY block: its table, and the positions of the columns that are read.
struct Block {
    table: Table,
    /// The position in a row of each column that is read.
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
    fn named(name: &str) -> Option<Self> {
        [Self::Regions, Self::Ports, Self::Prices].into_iter().find(|table| table.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Regions => "regions",
            Self::Ports => "ports",
            Self::Prices => "prices",
        }
    }

    /// The columns that are read, in the order in which rows are passed on.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Regions => &["slug", "name", "parent_slug"],
            Self::Ports => &["code", "name", "parent_slug"],
            Self::Prices => &["orig_code", "dest_code", "day", "price"],
        }
    }
}

/// Reads a dump line by line into one buffer.
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

    /// The error for a fault of the current line.
    fn error(&self, fault: DumpFault) -> LoadError {
        LoadError::Dump { line: self.number, fault }
    }

    /// The next block of one of the three tables.
    fn next_block(&mut self) -> Result<Option<Block>, LoadError> {
        while let Some(line) = self.next()? {
            if let Some(block) = parse_header(line) {
                return block.map(Some).map_err(|fault| self.error(fault));
            }
        }
        Ok(None)
    }

    /// The next row of a block; `None` at its end.
    fn next_row(&mut self) -> Result<Option<&[u8]>, LoadError> {
        // The borrow checker does not accept a line that `next` lent and that is returned on one path only.
        if self.next()?.is_none() {
            return Err(self.error(DumpFault::Incomplete));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok((line != b"\\.").then_some(line))
    }
}

/// Parses `COPY public.ports (code, name, parent_slug) FROM stdin;`, if it is of one of the three tables.
fn parse_header(line: &[u8]) -> Option<Result<Block, DumpFault>> {
    let line = std::str::from_utf8(line.strip_prefix(b"COPY ")?).ok()?;
    let (table, rest) = line.split_once(" (")?;
    let (columns, _) = rest.split_once(") FROM stdin;")?;
    let table = Table::named(table.trim_start_matches("public."))?;
    let names: Vec<&str> = columns.split(", ").map(|column| column.trim_matches('"')).collect();
    let positions = table.columns().iter().map(|column| {
        let position = names.iter().position(|name| name == column);
        position.ok_or(DumpFault::MissingColumn { table: table.name(), column })
    });
    Some(positions.collect::<Result<_, _>>().map(|columns| Block { table, columns, width: names.len() }))
}

/// The first pass: reads regions and ports.
pub(super) fn read_places(input: &mut dyn BufRead) -> Result<DumpPlaces, LoadError> {
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    let mut places = DumpPlaces::default();
    let mut has_blocks = false;
    while let Some(block) = lines.next_block()? {
        has_blocks = true;
        while let Some(row) = lines.next_row()? {
            if block.table != Table::Prices
                && let Err(fault) = read_place(&block, row, &mut places)
            {
                return Err(lines.error(fault));
            }
        }
    }
    if has_blocks { Ok(places) } else { Err(lines.error(DumpFault::NoBlocks)) }
}

fn read_place(block: &Block, row: &[u8], places: &mut DumpPlaces) -> Result<(), DumpFault> {
    let fields = split_row(block, row)?;
    let text = |column: usize| unescape(fields[block.columns[column]]);
    let (key, name, parent_slug) =
        (text(0)?.ok_or(DumpFault::Null)?, text(1)?.ok_or(DumpFault::Null)?, text(2)?);
    if block.table == Table::Regions {
        places.regions.push(RegionRow { slug: key, name, parent_slug });
    } else {
        let parent_slug = parent_slug.ok_or(DumpFault::Null)?;
        places.ports.push(Port { code: key, name, parent_slug });
    }
    Ok(())
}

fn split_row<'a>(block: &Block, row: &'a [u8]) -> Result<Vec<&'a [u8]>, DumpFault> {
    let fields: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
    if fields.len() == block.width {
        Ok(fields)
    } else {
        Err(DumpFault::ColumnCount { row: fields.len(), block: block.width })
    }
}

/// The second pass: sends the prices on as they are; the server checks them.
pub(super) async fn copy_prices(input: &mut dyn BufRead, copy: &mut PriceCopy<'_>) -> Result<(), LoadError> {
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    while let Some(block) = lines.next_block()? {
        let is_in_order = block.columns.iter().copied().eq(0..block.width);
        let mut reordered = Vec::new();
        while let Some(row) = lines.next_row()? {
            if block.table != Table::Prices {
                continue;
            }
            if is_in_order {
                copy.row(row).await?;
                continue;
            }
            let fields = match split_row(&block, row) {
                Ok(fields) => fields,
                Err(fault) => return Err(lines.error(fault)),
            };
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

/// Sends rows in COPY's text format to the table of prices.
pub(super) struct PriceCopy<'a> {
    copy: PgCopyIn<&'a mut PgConnection>,
    buffer: Vec<u8>,
}

impl<'a> PriceCopy<'a> {
    const BUFFER: usize = 256 * 1024;

    pub(super) fn new(copy: PgCopyIn<&'a mut PgConnection>) -> Self {
        Self { copy, buffer: Vec::with_capacity(Self::BUFFER) }
    }

    /// Takes a row without its line end.
    async fn row(&mut self, row: &[u8]) -> Result<(), sqlx::Error> {
        self.buffer.extend_from_slice(row);
        self.buffer.push(b'\n');
        if self.buffer.len() >= Self::BUFFER {
            self.copy.send(self.buffer.as_slice()).await?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Sends the last rows and returns the number of all.
    pub(super) async fn finish(mut self) -> Result<u64, sqlx::Error> {
        self.copy.send(self.buffer.as_slice()).await?;
        self.copy.finish().await
    }

    /// Ends COPY without storing anything: the transaction cannot end while the connection is in it.
    pub(super) async fn abort(self) {
        self.copy.abort("the file cannot be used").await.ok();
    }
}

/// Decodes a field of COPY's text format; `None` is null.
fn unescape(field: &[u8]) -> Result<Option<String>, DumpFault> {
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
                    None => return Err(DumpFault::LoneBackslash),
                },
                other => *other,
            });
        }
        bytes = Cow::Owned(plain);
    }
    String::from_utf8(bytes.into_owned()).map(Some).map_err(|_| DumpFault::NotUtf8)
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
            ("hello\n", 1, "neither a plain pg_dump"),
            ("COPY public.ports (code, name) FROM stdin;\n", 1, "parent_slug"),
            (
                "COPY public.ports (code, name, parent_slug) FROM stdin;\nA\tB\n",
                2,
                "2 columns; its COPY block has 3",
            ),
            ("COPY public.ports (code, name, parent_slug) FROM stdin;\nA\tB\tc\n", 2, "incomplete"),
            ("COPY public.ports (code, name, parent_slug) FROM stdin;\nA\tB\t\\N\n\\.\n", 2, "null"),
            ("COPY public.ports (code, name, parent_slug) FROM stdin;\nA\t\\N\tc\n\\.\n", 2, "null"),
        ] {
            let error = read_places(&mut dump.as_bytes()).expect_err(dump).to_string();
            assert!(error.starts_with(&format!("line {line}:")) && error.contains(part), "{dump}: {error}");
        }
    }
}
