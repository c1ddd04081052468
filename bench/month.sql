-- As dense as the public data that the goals were set with: 59 thousand prices of January 2021 and nothing else, from 14
-- ports of China to 45 of Europe, none to six a day; made inside the database and the same each time.
truncate prices;
with recursive below (top, slug) as (
    select slug, slug from regions where slug in ('china', 'europe')
    union all
    select b.top, r.slug from below b join regions r on r.parent_slug = b.slug
)
insert into prices (orig_code, dest_code, day, price)
select o.code, d.code, date '2021-01-01' + number, 500 + (hashtext(o.code || d.code || number) & 4095) + price_number
from ports o
join below b on b.slug = o.parent_slug and b.top = 'china'
cross join ports d
join below c on c.slug = d.parent_slug and c.top = 'europe'
cross join generate_series(0, 30) number
cross join generate_series(1, (hashtext(d.code || o.code || number) & 65535) % 7) price_number;
