-- Ten million more prices for the sample's ports, made inside the database and the same each time: 400 lanes, each with
-- 10 prices on each of 2,500 days up to the end of 2021.
insert into prices (orig_code, dest_code, day, price)
select o.code, d.code, date '2021-12-31' - day_number, 500 + (hashint4(lane * 2500 + day_number) & 4095) + price_number
from generate_series(0, 399) lane
cross join generate_series(0, 2499) day_number
cross join generate_series(1, 10) price_number
join (select code, row_number() over (order by code) - 1 as number from ports) o on o.number = lane % 20
join (select code, row_number() over (order by code) - 1 as number from ports) d on d.number = 40 + lane / 20;
