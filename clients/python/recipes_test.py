"""Runs every recipe of docs/recipes.md against a running rates service.

Expects the server at RATES_URL, the binary at RATES, its database at DATABASE_URL, curl, jq and Rscript.
"""

import base64
import contextlib
import csv
import io
import json
import os
import pathlib
import re
import statistics
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["RATES_URL"]
TEXT = (pathlib.Path(__file__).parents[2] / "docs/recipes.md").read_text()
RECIPES = dict(re.findall(r"^## (.+?)\n.*?^```\w+\n(.*?)^```", TEXT, re.M | re.S))
DAYS = {"${__from:date:YYYY-MM-DD}": "2021-01-01", "${__to:date:YYYY-MM-DD}": "2021-01-31"}


# The first quarter of the recipe's lane.
R_QUERY = "date_from=2021-01-01&date_to=2021-03-31&orig_code=CNGGZ&dest_code=EETLL"


def recipe(name):
    """The code under this heading, for the server of this test."""
    code = RECIPES.pop(name).replace("http://localhost:3000", URL)
    assert URL in code, name
    return code


def tearDownModule():
    assert not RECIPES, f"no test runs {list(RECIPES)}"


def get(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as response:
        return response.read().decode()


def run_python(code):
    """The variables of the code after it has run, and what it has printed."""
    variables, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, variables)
    return variables, printed.getvalue()


@contextlib.contextmanager
def server_that_needs_a_key():
    settings = {"RATES__API__READS_NEED_KEY": "true", "PORT": "0", "RATES__SERVER__METRICS_PORT": "0", "RUST_LOG": "info"}
    server = subprocess.Popen(
        [os.environ["RATES"], "serve"], env=os.environ | settings, stdout=subprocess.PIPE, text=True
    )
    try:
        # Its other lines are few, so they fit into the pipe.
        port = next(filter(None, (re.search(r'"listening on \w+://[^":]*:(\d+)"', line) for line in server.stdout)))[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate()


class Recipes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for _ in range(100):
            if json.loads(get(f"{URL}/lanes"))["lanes"]:
                break
            time.sleep(0.1)

    def test_curl_and_jq(self):
        printed = subprocess.check_output(["bash", "-euo", "pipefail", "-c", recipe("curl and jq")], text=True)
        months = [line.split("\t") for line in printed.splitlines()]
        self.assertEqual([day for day, _ in months], [f"2021-{month:02}-01" for month in range(12, 0, -1)])
        self.assertTrue(all(int(price) > 0 for _, price in months))

    def test_pandas(self):
        variables, printed = run_python(recipe("pandas"))
        self.assertEqual(len(variables["rates"]), 2 * 53)
        self.assertRegex(printed, r"CNSGH[^$]*NLRTM[^$]*\n(count|mean) +[-\d.]+ +[-\d.]+")

    def test_duckdb(self):
        variables, printed = run_python(recipe("DuckDB"))
        most = variables["lanes"].groupby("orig_name")["prices"].sum().sort_values(ascending=False)
        self.assertIn(most.index[0], printed)
        self.assertIn(str(most.iloc[0]), printed)

    def test_r(self):
        printed = subprocess.check_output(["Rscript", "--vanilla", "-e", recipe("R")], text=True)
        header, *quarters = [line.split() for line in printed.splitlines()]
        self.assertEqual(header, ["quarter", "price"])
        self.assertEqual([quarter for _, quarter, _ in quarters], ["Q1", "Q2", "Q3", "Q4"])
        prices = csv.DictReader(io.StringIO(get(f"{URL}/rates.csv?{R_QUERY}")))
        first = statistics.median(float(row["price"]) for row in prices if row["price"])
        self.assertAlmostEqual(float(quarters[0][2]), first, places=1)

    def test_excel(self):
        code = recipe("Excel")
        path = re.search(r'RelativePath = "(.*?)"', code)[1]
        query = dict(re.findall(r'(\w+) = "(.*?)"', re.search(r"Query = \[(.*?)\]", code)[1]))
        columns = re.findall(r'\{"(\w+)", ', code)
        create = [os.environ["RATES"], "key", "create", "excel", "--scope", "read"]
        key = subprocess.check_output(create, text=True).strip()
        with server_that_needs_a_key() as url:
            url = f"{url}/{path}?{urllib.parse.urlencode(query)}"
            with self.assertRaises(urllib.error.HTTPError) as refused:
                get(url)
            self.assertEqual(refused.exception.code, 401)
            self.assertIn("Basic", " ".join(refused.exception.headers.get_all("WWW-Authenticate")))
            login = base64.b64encode(f"excel:{key}".encode()).decode()
            rows = list(csv.DictReader(io.StringIO(get(url, {"Authorization": f"Basic {login}"}))))
        self.assertEqual(len(rows), 365)
        self.assertLessEqual(set(columns), rows[0].keys())

    def test_grafana(self):
        query = json.loads(recipe("Grafana"))
        parameters = {one["key"]: DAYS.get(one["value"], one["value"]) for one in query["url_options"]["params"]}
        found = json.loads(get(f"{query['url']}?{urllib.parse.urlencode(parameters)}"))[query["root_selector"]]
        day, price = (column["selector"] for column in query["columns"])
        self.assertEqual([row[day] for row in found], [f"2021-01-{number:02}" for number in range(1, 32)])
        self.assertGreater(sum(row[price] is not None for row in found), 10)


if __name__ == "__main__":
    unittest.main()
