"""The README tables and the picture are those of the code."""

from harness import ROOT, SCRIPTS, succeed


def test_the_picture_is_what_its_program_draws():
    drawn = succeed(ROOT / "images" / "architecture.py").stdout
    kept = (ROOT / "images" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == kept, "run images/architecture.py > images/architecture.svg, and rsvg-convert for the PNG"


def test_readme_tables_are_those_of_the_code():
    succeed(SCRIPTS / "readme_tables.py", "--check")
