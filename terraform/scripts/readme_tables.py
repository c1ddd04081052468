#!/usr/bin/env python3
"""Writes the tables of inputs and outputs, in terraform-docs' format, into the README of every root and module.

usage: readme_tables.py [--check]

With --check nothing is written, and a README that would change is a failure. Reads what `terraform fmt` lays out:
blocks start and end in the first column, their arguments are indented by two.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- BEGIN_TF_DOCS -->", "<!-- END_TF_DOCS -->"
BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.M | re.S)


def argument(body, name):
    """The text of an argument: up to the next line that is indented by two and no more."""
    found = re.search("^  " + name + r" *= (.*?)(?=^  [^ })\]]|\Z)", body, re.M | re.S)
    return found and found[1].rstrip()


def description(body):
    text = argument(body, "description") or sys.exit("a block without a description")
    if text.startswith("<<"):
        return " ".join(text.split("\n", 1)[1].split())
    return text[1:-1].replace('\\"', '"')


def cell(code):
    """HCL in a table's cell."""
    if code is None:
        return "n/a"
    lines = [line.removeprefix("  ") for line in code.splitlines()]
    if len(lines) == 1:
        return f"`{lines[0]}`"
    escaped = [re.sub(r"^ +", lambda m: "&nbsp;" * len(m[0]), line).replace("|", "\\|") for line in lines]
    return f"<pre>{'<br>'.join(escaped)}</pre>"


def tables(directory):
    text = "\n".join(path.read_text() for path in sorted(directory.glob("*.tf")))
    blocks = {kind: sorted((name, body) for k, name, body in BLOCK.findall(text) if k == kind) for kind in ("variable", "output")}
    lines = [BEGIN, "## Inputs", ""]
    if blocks["variable"]:
        lines += ["| Name | Description | Type | Default | Required |", "|------|-------------|------|---------|:--------:|"]
    for name, body in blocks["variable"]:
        default = argument(body, "default")
        kind = cell(argument(body, "type"))
        lines.append(f"| {name} | {description(body)} | {kind} | {cell(default)} | {'no' if default else 'yes'} |")
    lines += ["", "## Outputs", "", "| Name | Description |", "|------|-------------|"]
    lines += [f"| {name} | {description(body)} |" for name, body in blocks["output"]]
    return "\n".join([*lines, END])


def main():
    stale = []
    for directory in [ROOT / "bucket-state", ROOT / "terraform", *sorted((ROOT / "terraform/modules").iterdir())]:
        readme = directory / "README.md"
        old = readme.read_text()
        if BEGIN not in old or END not in old:
            sys.exit(f"{readme.relative_to(ROOT)} has no place for the tables: {BEGIN} … {END}")
        head, rest = old.split(BEGIN)
        new = head + tables(directory) + rest.split(END)[1]
        if new != old:
            stale.append(str(readme.relative_to(ROOT)))
            if "--check" not in sys.argv:
                readme.write_text(new)
    if stale:
        print("tables not as the code:" if "--check" in sys.argv else "written:", *stale)
    return 1 if stale and "--check" in sys.argv else 0


sys.exit(main())
