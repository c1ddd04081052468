"""The service as people would write it with FastAPI and asyncpg: the ports below a region, then the raw prices by their index."""

from contextlib import asynccontextmanager
from datetime import date, timedelta

import asyncpg
from fastapi import FastAPI

from query import PORTS, PRICES, is_port, mean

BELOW = PORTS.format(place="$1")
SQL = PRICES.format(origins="$1", destinations="$2", first="$3", last="$4")


@asynccontextmanager
async def lifespan(app):
    # By PGHOST and its like: of a URL asyncpg does not take the directory of a socket.
    async with asyncpg.create_pool(min_size=4, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/rates")
async def rates(date_from: date, date_to: date, orig_code: str, dest_code: str):
    async with app.state.pool.acquire() as connection:
        places = []
        for code in (orig_code, dest_code):
            places.append([code] if is_port(code) else [row[0] for row in await connection.fetch(BELOW, code)])
        rows = await connection.fetch(SQL, *places, date_from, date_to)
    found = {day: (total, count) for day, total, count in rows}
    days = ((date_to - timedelta(days=n)) for n in range((date_to - date_from).days + 1))
    return {"rates": [{"day": day.isoformat(), **mean(found.get(day))} for day in days]}
