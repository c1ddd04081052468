"""The service as people would write it with Flask and psycopg2: a recursive query over the raw prices."""

import os
from datetime import date, timedelta

import psycopg2.pool
from flask import Flask, jsonify, request

from query import RATES, mean

app = Flask(__name__)
pool = psycopg2.pool.SimpleConnectionPool(1, 4, os.environ["DATABASE_URL"])
SQL = RATES.format(origin="%(origin)s", destination="%(destination)s", first="%(first)s", last="%(last)s")


@app.get("/rates")
def rates():
    first = date.fromisoformat(request.args["date_from"])
    last = date.fromisoformat(request.args["date_to"])
    names = {"origin": request.args["orig_code"], "destination": request.args["dest_code"]}
    connection = pool.getconn()
    try:
        with connection.cursor() as cursor:
            cursor.execute(SQL, {**names, "first": first, "last": last})
            found = {day: (total, count) for day, total, count in cursor.fetchall()}
        connection.commit()
    finally:
        pool.putconn(connection)
    days = ((last - timedelta(days=n)) for n in range((last - first).days + 1))
    return jsonify(rates=[{"day": day.isoformat(), **mean(found.get(day))} for day in days])
