"""The stack that multivac is measured beside, as its users would write it: Flask, rq and Redis, under gunicorn."""

import os

from flask import Flask, jsonify, request
from redis import Redis
from rq import Queue

app = Flask(__name__)
queue = Queue("default", connection=Redis.from_url(os.environ["REDIS_URL"]))


def store(value):
    """The job. No worker runs while posts are measured."""


@app.route("/multivac/data", methods=["POST"])
def post_data():
    queue.enqueue(store, request.form["data"])
    return jsonify(response="MultiVAC updated!")
