"""The service as people would write it with Flask and psycopg2: the ports below a region, then the raw prices by their index."""

import os
from datetime import date, timedelta

import psycopg2.pool
from flask import Flask, jsonify, request

from query import PORTS, PRICES, is_port, mean

app = Flask(__name__)
pool = psycopg2.pool.SimpleConnectionPool(1, 4, os.environ["DATABASE_URL"])
BELOW = PORTS.format(place="%s")
SQL = PRICES.format(origins="%s", destinations="%s", first="%s", last="%s")


@app.get("/rates")
def rates():
    first = date.fromisoformat(request.args["date_from"])
    last = date.fromisoformat(request.args["date_to"])
    connection = pool.getconn()
    try:
        with connection.cursor() as cursor:
            places = []
            for code in (request.args["orig_code"], request.args["dest_code"]):
                if is_port(code):
                    places.append([code])
                else:
                    cursor.execute(BELOW, [code])
                    places.append([row[0] for row in cursor.fetchall()])
            cursor.execute(SQL, [*places, first, last])
            found = {day: (total, count) for day, total, count in cursor.fetchall()}
        connection.commit()
    finally:
        pool.putconn(connection)
    days = ((last - timedelta(days=n)) for n in range((last - first).days + 1))
    return jsonify(rates=[{"day": day.isoformat(), **mean(found.get(day))} for day in days])
