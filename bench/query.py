"""The queries without a rollup: one recursive query, and those of the Flask and FastAPI servers."""

RATES = """
with recursive below_origin as (
    select slug from regions where slug = {origin}
    union select r.slug from regions r join below_origin b on r.parent_slug = b.slug
), below_destination as (
    select slug from regions where slug = {destination}
    union select r.slug from regions r join below_destination b on r.parent_slug = b.slug
)
select day, sum(price), count(*) from prices
where orig_code in (select code from ports where code = {origin} or parent_slug in (select slug from below_origin))
  and dest_code in (select code from ports where code = {destination} or parent_slug in (select slug from below_destination))
  and day between {first} and {last}
group by day
"""


# The ports of a place, asked only where it is a region; then the prices by their index.
PORTS = """
with recursive below as (
    select slug from regions where slug = {place}
    union select r.slug from regions r join below b on r.parent_slug = b.slug
)
select code from ports where parent_slug in (select slug from below)
"""
PRICES = """
select day, sum(price), count(*) from prices
where orig_code = any({origins}) and dest_code = any({destinations}) and day between {first} and {last}
group by day
"""


def is_port(place):
    return len(place) == 5 and place.isupper()


def mean(found):
    if found is None:
        return {"price": None, "count": None}
    total, count = found
    return {"price": total / count if count >= 3 else None, "count": count}
