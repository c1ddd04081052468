"""Writes the sheets of this directory, with LibreOffice (soffice) and pandas. The tests only read them.

    python make.py
"""

import pathlib
import subprocess
import tempfile

import pandas

HERE = pathlib.Path(__file__).parent
COLUMNS = ["POL", "POD", "Valid from", "Valid to", "All in", "Remarks"]

# A table as someone in Germany keeps it: dates and amounts as the locale shows them, a row left empty, and days that
# were typed as text.
TABLE = """<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
  xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
  xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
  xmlns:number="urn:oasis:names:tc:opendocument:xmlns:datastyle:1.0"
  office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.spreadsheet">
<office:automatic-styles>
  <number:date-style style:name="D" number:language="de" number:country="DE"><number:day number:style="long"/>
    <number:text>.</number:text><number:month number:style="long"/><number:text>.</number:text>
    <number:year number:style="long"/></number:date-style>
  <number:number-style style:name="N" number:language="de" number:country="DE">
    <number:number number:decimal-places="2" number:min-decimal-places="2" number:min-integer-digits="1"/></number:number-style>
  <style:style style:name="day" style:family="table-cell" style:data-style-name="D"/>
  <style:style style:name="amount" style:family="table-cell" style:data-style-name="N"/>
</office:automatic-styles>
<office:body><office:spreadsheet><table:table table:name="Rates">%s</table:table></office:spreadsheet></office:body>
</office:document>
"""


def cell(value):
    text = f"<text:p>{value}</text:p></table:table-cell>"
    if isinstance(value, float):
        return f'<table:table-cell table:style-name="amount" office:value-type="float" office:value="{value}">{text}'
    if isinstance(value, pandas.Timestamp):
        day = f"{value:%Y-%m-%d}"
        return f'<table:table-cell table:style-name="day" office:value-type="date" office:date-value="{day}">{text}'
    return f'<table:table-cell office:value-type="string">{text}'


def by_libreoffice():
    rows = [
        COLUMNS,
        ["CNSGH", "NLRTM", pandas.Timestamp("2021-01-31"), pandas.Timestamp("2021-02-01"), 1150.0, "Frühjahr; alles"],
        [],
        ["CNSGH", "GBFXT", "2021-02-01", "2021-02-01", 975.0, ""],
        ["CNSGH", "GBFXT", "3.2.2021", "03.02.2021", 975.0, ""],
    ]
    body = "".join(f"<table:table-row>{''.join(map(cell, row)) or '<table:table-cell/>'}</table:table-row>" for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "table.fods")
        source.write_text(TABLE % body, encoding="utf-8")
        # Separator, quote, character set (UTF-8), first line, formats, language (German), quoted texts, as shown.
        csv = "csv:Text - txt - csv (StarCalc):{},34,76,1,,1031,false,true,true"
        for name, target in [
            ("xlsx", "xlsx"),
            ("semicolon.csv", csv.format(59)),
            ("tab.csv", csv.format(9)),
        ]:
            command = ["soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", target]
            subprocess.run([*command, "--outdir", folder, source], check=True, stdout=subprocess.DEVNULL)
            made = pathlib.Path(folder, f"table.{name.rsplit('.')[-1]}")
            made.rename(HERE / f"libreoffice{'_' * ('.' in name) or '.'}{name}")


def by_pandas():
    days = pandas.to_datetime(["2021-01-31", "2021-02-01", "2021-02-03"])
    table = pandas.DataFrame(
        {"POL": "CNSGH", "POD": ["NLRTM", "GBFXT", "GBFXT"], "Valid from": days, "Valid to": days, "All in": [1150.0, 975.0, 975.0]}
    )
    table.loc[0, "Valid to"] = pandas.Timestamp("2021-02-01")
    table.to_excel(HERE / "pandas.xlsx", index=False)
    # With the index, which has no name.
    table.to_csv(HERE / "pandas_comma.csv")
    table.to_csv(HERE / "pandas_bom.csv", sep=";", decimal=",", date_format="%d.%m.%Y", encoding="utf-8-sig", index=False)


by_libreoffice()
by_pandas()
