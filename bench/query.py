"""What the rivals ask the database, and how they make a day of it."""

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


def mean(found):
    if found is None:
        return {"price": None, "count": None}
    total, count = found
    return {"price": total / count if count >= 3 else None, "count": count}
