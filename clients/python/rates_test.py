"""Calls every operation of a running rates service through the generated client.

Expects the server at RATES_URL, the binary at RATES and the package rates_client on the path.
"""

import datetime
import io
import json
import os
import re
import subprocess
import time
import unittest
import urllib.request
from http import HTTPStatus

from rates_client import AuthenticatedClient, Client
from rates_client.api.batches import get_batch, get_batch_prices, list_batches, post_prices, withdraw_batch
from rates_client.api.places import find_places, get_port, get_region, list_ports, list_regions
from rates_client.api.rates import get_lanes_csv, get_rates, get_rates_csv, get_rates_svg, list_lanes
from rates_client.api.service import greet
from rates_client.models import BatchState, Interval, Kind, Order, PlaceKind, Price, Prices, Problem, Sort, Statistics, Theme, Widen
from rates_client.models import UnacceptablePrices, UnknownPlace
from rates_client.pandas import read_rates
from rates_client.types import File

URL = os.environ["RATES_URL"]
DAY = datetime.date(2021, 1, 31)
LANE = {"date_from": datetime.date(2021, 1, 1), "date_to": DAY, "orig_code": "CNGGZ", "dest_code": "EETLL"}

requests: list[tuple[str, str]] = []


def record(request):
    requests.append((request.method, request.url.path))


def setUpModule():
    global supplier, anonymous
    command = [os.environ["RATES"], "key", "create", "clients"]
    key = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    hooks = {"event_hooks": {"request": [record]}}
    anonymous = Client(base_url=URL, raise_on_unexpected_status=True, httpx_args=hooks)
    supplier = AuthenticatedClient(base_url=URL, token=key, raise_on_unexpected_status=True, httpx_args=hooks)


def tearDownModule():
    """Fails if an operation of the description was not called."""
    supplier.get_httpx_client().close()
    anonymous.get_httpx_client().close()
    with urllib.request.urlopen(f"{URL}/openapi.json") as response:
        paths = json.load(response)["paths"]
    for path, operations in paths.items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        for method, operation in operations.items():
            called = any(method.upper() == verb and re.fullmatch(pattern, url) for verb, url in requests)
            assert called, f"no test calls {operation['operationId']}"


def upload(body, **headers):
    return post_prices.sync_detailed(client=supplier, body=body, **headers)


def prices(price, orig_code="CNGGZ"):
    return Prices([Price(orig_code=orig_code, dest_code="EETLL", day=DAY, price=price)])


def csv(price):
    return f"orig_code,dest_code,day,price\nCNGGZ,EETLL,{DAY},{price}\n".encode()


class Reads(unittest.TestCase):
    def test_rates(self):
        rates = get_rates.sync(client=anonymous, **LANE, order=Order.ASC, statistics=Statistics.FULL).rates
        self.assertEqual([rate.day.day for rate in rates], list(range(1, 32)))
        priced = next(rate for rate in rates if rate.price is not None)
        self.assertGreaterEqual(priced.count, 3)
        self.assertLessEqual(priced.low, priced.high)

    def test_rates_that_have_not_changed(self):
        etag = get_rates.sync_detailed(client=anonymous, **LANE).headers["etag"]
        again = get_rates.sync_detailed(client=anonymous, **LANE, if_none_match=etag)
        self.assertEqual((again.status_code, again.parsed), (HTTPStatus.NOT_MODIFIED, None))

    def test_csv(self):
        lines = get_rates_csv.sync(client=anonymous, **LANE).splitlines()
        self.assertEqual((lines[0], len(lines)), ("orig_code,dest_code,day,price,count", 32))

    def test_months_of_several_lanes(self):
        lanes = ["CNGGZ:EETLL", "china_south:baltic_sea"]
        days = {"date_from": datetime.date(2021, 1, 1), "date_to": datetime.date(2021, 2, 28)}
        rates = get_rates.sync(client=anonymous, **days, lane=lanes, interval=Interval.MONTH, widen=Widen.TRUE).rates
        self.assertEqual([rate.day.month for rate in rates], [2, 1, 2, 1])
        self.assertEqual((rates[0].orig_code, rates[0].last_day), ("CNGGZ", datetime.date(2021, 2, 28)))
        self.assertTrue(all(rate.used_orig_code for rate in rates))

    def test_data_frame(self):
        frame = read_rates(anonymous, **LANE, order=Order.ASC)
        answer = get_rates.sync(client=anonymous, **LANE, order=Order.ASC).rates
        self.assertEqual([day.date() for day in frame.index], [rate.day for rate in answer])
        known = [rate.price for rate in answer if rate.price is not None]
        self.assertEqual(list(frame["price"].dropna()), known)
        with Client(base_url=URL) as wrong, self.assertRaisesRegex(ValueError, "no port or region CNGGX"):
            read_rates(wrong, **LANE | {"orig_code": "CNGGX"})

    def test_svg(self):
        svg = get_rates_svg.sync(client=anonymous, **LANE, theme=Theme.DARK, compare=["CNGGZ:north_europe"])
        self.assertTrue(svg.startswith("<svg"), svg[:80])

    def test_places(self):
        best = find_places.sync(client=anonymous, q="guangz").places[0]
        self.assertEqual((best.code, best.kind), ("CNGGZ", PlaceKind.PORT))

    def test_lanes(self):
        for _ in range(100):
            lanes = list_lanes.sync(client=anonymous, origin="CNGGZ", kind=Kind.PORTS, sort=Sort.CHANGE_30).lanes
            if lanes:
                break
            time.sleep(0.1)
        self.assertEqual({lane.orig_code for lane in lanes}, {"CNGGZ"})
        csv = get_lanes_csv.sync(client=anonymous, origin="CNGGZ", kind=Kind.PORTS)
        self.assertEqual(len(csv.splitlines()), 1 + len(lanes))

    def test_ports_page_by_page(self):
        page = list_ports.sync(client=anonymous, limit=2)
        rest = list_ports.sync(client=anonymous, limit=2, after=page.ports[-1].code)
        self.assertLess(page.ports[-1].code, rest.ports[0].code)
        port = get_port.sync("CNGGZ", client=anonymous)
        self.assertEqual(port.parent_slug, port.path[-1].slug)

    def test_regions(self):
        root = list_regions.sync(client=anonymous).regions[0]
        self.assertIsNone(root.parent_slug)
        region = get_region.sync(root.slug, client=anonymous)
        self.assertEqual(region.port_count, root.port_count)

    def test_the_greeting(self):
        self.assertTrue(greet.sync(client=anonymous).message)


class Uploads(unittest.TestCase):
    def test_json_twice_under_one_key(self):
        first = upload(prices(1001), idempotency_key="first")
        again = upload(prices(1001), idempotency_key="first")
        self.assertEqual((first.status_code, again.status_code), (HTTPStatus.CREATED, HTTPStatus.OK))
        self.assertEqual(first.parsed, again.parsed)
        self.assertEqual((first.parsed.state, first.parsed.rows), (BatchState.DONE, 1))

    def test_csv(self):
        stored = upload(File(io.BytesIO(csv(1002))))
        self.assertEqual((stored.status_code, stored.parsed.rows), (HTTPStatus.CREATED, 1))

    def test_ndjson_in_the_background(self):
        lines = "".join(json.dumps(prices(price).to_dict()["prices"][0]) + "\n" for price in (1003, 1004))
        queued = upload(
            File(io.BytesIO(lines.encode()), mime_type="application/x-ndjson"), prefer="respond-async"
        )
        self.assertEqual((queued.status_code, queued.parsed.state), (HTTPStatus.ACCEPTED, BatchState.QUEUED))

    def test_ndjson(self):
        line = json.dumps(prices(1005).to_dict()["prices"][0])
        stored = upload(File(io.BytesIO(line.encode()), mime_type="application/x-ndjson"))
        self.assertEqual((stored.status_code, stored.parsed.rows), (HTTPStatus.CREATED, 1))

    def test_list_get_and_withdraw(self):
        batch = upload(prices(1006)).parsed
        newest = list_batches.sync(client=supplier, limit=1).batches[0]
        self.assertEqual(newest, batch)
        sent = get_batch_prices.sync_detailed(batch.id, client=supplier).content.decode().split()
        self.assertEqual(sent, csv(1006).decode().split())
        withdrawn = withdraw_batch.sync(batch.id, client=supplier)
        self.assertEqual(withdrawn.state, BatchState.WITHDRAWN)
        self.assertEqual(get_batch.sync(batch.id, client=supplier), withdrawn)


class Problems(unittest.TestCase):
    def test_an_unknown_place_of_rates(self):
        problem = get_rates.sync(client=anonymous, **{**LANE, "orig_code": "CNGGX"})
        self.assertIsInstance(problem, Problem)
        self.assertEqual((problem.status, problem.type_), (400, "urn:problem:invalid-parameters"))
        self.assertTrue(problem.request_id)
        error = problem.errors[0]
        self.assertEqual((error.field, error.code), ("orig_code", "unknown"))
        self.assertIn("CNGGZ", error.suggestions)

    def test_an_unknown_port(self):
        problem = get_port.sync("CNGGX", client=anonymous)
        self.assertIsInstance(problem, UnknownPlace)
        self.assertIn("CNGGZ", problem.suggestions)

    def test_prices_with_faults(self):
        problem = upload(prices(1007, orig_code="CNGGX")).parsed
        self.assertIsInstance(problem, UnacceptablePrices)
        self.assertEqual((problem.status, problem.total, problem.rows), (422, 1, 1))
        self.assertEqual((problem.errors[0].row, problem.errors[0].field), (1, "orig_code"))

    def test_a_wrong_key(self):
        stranger = AuthenticatedClient(base_url=URL, token="rates_1_wrong")
        with stranger:
            problem = list_batches.sync(client=stranger)
        self.assertIsInstance(problem, Problem)
        self.assertEqual(problem.status, 401)


if __name__ == "__main__":
    unittest.main()
