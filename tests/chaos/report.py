"""The table of docs/RELIABILITY.md."""

import datetime
import os
import platform
import re

from service import ROOT

FILE = ROOT / "docs/RELIABILITY.md"
BEGIN, END = "<!-- written by make chaos -->\n", "<!-- end -->\n"


class Report:
    """What each scenario promised, under which load, and what was measured."""

    def __init__(self, is_full):
        self.is_full = is_full
        self.rows = []

    def add(self, promise, load, figure):
        self.rows.append((promise, load, figure))
        print(f"\n  {promise}\n    load: {load}\n    figure: {figure}", flush=True)

    def write(self, skipped):
        machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
        lines = [
            f"Measured on {datetime.date.today()}, {'full' if self.is_full else 'short'} run, {machine}; the load, the service and the database share them.\n",
            *([f"Not run there: {', '.join(f'`{name}`' for name in skipped)}.\n"] if skipped else []),
            "\n| Promise | Load | Figure |\n| --- | --- | --- |\n",
            *(f"| {' | '.join(row)} |\n" for row in self.rows),
        ]
        text = FILE.read_text()
        # A function, since the rows are no pattern.
        FILE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + "".join(lines) + END, text, flags=re.S))
