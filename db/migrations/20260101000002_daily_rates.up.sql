-- The rollup that makes an answer cost the same for two ports and for two continents: one row for each pair of
-- places (port or region) and day with prices between them. It is kept by triggers, so it is right whoever writes:
-- the API, psql, a restored dump. docs/decisions/ says what else was tried.
--
-- Every function here names its tables in full and fixes its search_path: a dump sets an empty one while it loads.
-- They turn JIT off: where tables have no statistics yet, the planner thinks the recursive view large and compiles for
-- a second what then runs for a millisecond.

-- The number of each port and region, so that rows of the rollup are small. A number is never used again.
create table public.places (
    id   integer generated always as identity primary key,
    name text not null unique -- code of a port or slug of a region
);
comment on table public.places is 'The number of each port and region in the rollup; kept by triggers.';

create table public.daily_rates (
    price_sum   bigint  not null, -- first, because a bigint between integers would need padding
    origin      integer not null,
    destination integer not null,
    day         date    not null,
    price_count integer not null,
    primary key (origin, destination, day)
);
comment on table public.daily_rates is
    'Sum (US dollars) and number of prices by pair of places and day; kept by triggers, never written by hand.';

-- For each port every place that stands for it: itself and the regions above it. This is the tree that daily_rates
-- was built with: comparing it with the tables tells exactly what a change of the tree moved.
create table public.port_places (
    port  integer not null,
    place integer not null,
    primary key (port, place)
);
create index port_places_place on public.port_places (place, port);
comment on table public.port_places is
    'Each port with itself and every region above it, as last applied to daily_rates; kept by triggers.';

-- What cannot be summed up, of a pair's days in a month. A worker fills in a row (rates/src/statistics); a change of a price
-- deletes it. So a row is right as long as it is there, and where there is none, readers use the prices.
create table public.monthly_statistics (
    origin      integer not null,
    destination integer not null,
    month       date    not null, -- its first day
    -- Newest first, for each day with three or more prices: the 2.5th, 25th, 50th, 75th and 97.5th percentile in
    -- fortieths of a dollar, of which each is a whole number; four bytes each, as int4send writes them. Null if one is
    -- too large for that (53 million dollars).
    percentiles bytea,
    -- A byte for each of 31 days: how many suppliers its prices are of, at most 255. Prices without a batch are of one.
    suppliers   bytea   not null,
    primary key (origin, destination, month)
);
comment on table public.monthly_statistics is
    'Percentiles and numbers of suppliers that need not be computed from prices; deleted by triggers.';

-- The rollup with the number of suppliers of each day: null while its month is not filled in.
create view public.supplied_days as
select r.*,
       (
           select get_byte(s.suppliers, extract(day from r.day)::integer - 1)
           from public.monthly_statistics s
           where s.origin = r.origin and s.destination = r.destination and s.month = date_trunc('month', r.day)::date
       ) as suppliers
from public.daily_rates r;

-- The last change of each month of a pair of ports. Instances forget what changed since they last looked; the worker
-- fills in statistics and deletes rows that are old.
create table public.changed_months (
    origin          integer not null,
    destination     integer not null,
    month           date    not null, -- its first day
    version         bigint  not null,
    statistics_due  boolean not null default true,
    primary key (origin, destination, month)
);
create index changed_months_version on public.changed_months (version);
create index changed_months_due on public.changed_months (month) where statistics_due;
comment on table public.changed_months is 'When prices of a pair of ports last changed in a month; kept by triggers.';

-- One row. `version` moves with every change of prices or places, in the same transaction; it is the microsecond
-- clock, pushed forward where the clock is behind, so that it also differs after a restore from a backup.
-- `places_version` is the version at which ports or regions last changed. changed_months has every change of prices
-- after `log_since`.
create table public.data_version (
    only_row       boolean primary key default true check (only_row),
    version        bigint  not null,
    places_version bigint  not null,
    log_since      bigint  not null
) with (fillfactor = 10); -- room on the page for every new row version: updates stay there and touch no index
insert into public.data_version (version, places_version, log_since) values (1, 1, 1);

-- Moves the version once in a transaction, tells the listeners, and returns it. Whoever moves it holds its row until
-- the transaction ends: writers of the rollup pass here one by one, so they see each other's work and cannot deadlock.
--
-- A writer that has prepared its work with the tree of `tree` (a places_version) gets null if the tree has changed.
-- `prepared` is not used: a query that computes it here cannot call this function before it has done that work.
create function public.move_data_version(tree bigint default null, prepared bigint default null) returns bigint
    language plpgsql security definer set search_path = '' set jit = off
as $$
declare
    latest public.data_version;
begin
    select * into latest from public.data_version for no key update;
    if latest.places_version <> tree then
        return null;
    end if;
    update public.data_version d
    set version = greatest(d.version + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
    -- A second statement of the same transaction finds its own row version and leaves it.
    where d.xmin <> pg_catalog.pg_current_xact_id()::xid
    returning d.version into latest.version;
    if found then
        perform pg_catalog.pg_notify('rates_data_version', latest.version::text);
        return latest.version;
    end if;
    return (select version from public.data_version);
end $$;

-- Adds prices to the rollup (sign 1) or takes them away (sign -1). `changed_prices` is the transition table of the
-- statement that fired. An UPDATE fires twice: its new rows are added, its old rows taken away.
create function public.roll_up_prices() returns trigger
    language plpgsql security definer set search_path = '' set jit = off
as $$
declare
    sign constant integer := tg_argv[0];
    tree bigint;
    moved bigint;
    unknown text;
begin
    if not exists (select from changed_prices) then
        return null;
    end if;
    -- Sums are computed before the version is moved, while other writers go on. If the tree changes meanwhile, they
    -- are computed again; this writer then holds the version, so once is enough.
    loop
        select places_version into tree from public.data_version;
        with lane_days as materialized (
            select orig_code, dest_code, day, sign * sum(price) as price_sum, sign * count(*) as price_count
            from changed_prices
            group by orig_code, dest_code, day
        ),
        port_days as materialized (
            select o.id as origin, d.id as destination, l.day, l.price_sum, l.price_count
            from lane_days l
            join public.places o on o.name = l.orig_code
            join public.places d on d.name = l.dest_code
        ),
        unknown_port as (
            select code
            from (select orig_code from lane_days union select dest_code from lane_days) named (code)
            where not exists (
                select from public.places n join public.port_places p on p.port = n.id where n.name = named.code
            )
            limit 1
        ),
        pair_days as materialized (
            select o.place as origin, d.place as destination, p.day, sum(p.price_sum) as price_sum,
                   sum(p.price_count) as price_count
            from port_days p
            join public.port_places o on o.port = p.origin
            join public.port_places d on d.port = p.destination
            group by o.place, d.place, p.day
            order by o.place, d.place, p.day -- neighbours in the key become neighbours on disk
        ),
        gate as materialized (
            select public.move_data_version(tree, prepared => (select count(*) from pair_days)) as version
        ),
        rolled_up as (
            insert into public.daily_rates as r (origin, destination, day, price_sum, price_count)
            select p.origin, p.destination, p.day, p.price_sum, p.price_count
            from gate
            cross join pair_days p
            where gate.version is not null
            on conflict (origin, destination, day) do update
            set price_sum = r.price_sum + excluded.price_sum, price_count = r.price_count + excluded.price_count
        ),
        logged as (
            insert into public.changed_months (origin, destination, month, version)
            select distinct p.origin, p.destination, date_trunc('month', p.day)::date, gate.version
            from gate
            cross join port_days p
            where gate.version is not null
            on conflict (origin, destination, month) do update
            set version = excluded.version, statistics_due = true
        )
        select version, (select code from unknown_port) into moved, unknown from gate;
        exit when moved is not null;
        perform from public.data_version for no key update;
    end loop;

    -- A price that goes has been taken out with its port, where one statement deletes both.
    if sign > 0 and unknown is not null then
        raise exception 'there is no port %', unknown using errcode = 'foreign_key_violation', table = 'prices';
    end if;
    if sign < 0 then
        delete from public.daily_rates r
        using (
            select distinct op.place as origin, dp.place as destination, c.day
            from changed_prices c
            join public.places o on o.name = c.orig_code
            join public.places d on d.name = c.dest_code
            join public.port_places op on op.port = o.id
            join public.port_places dp on dp.port = d.id
        ) t
        where r.origin = t.origin and r.destination = t.destination and r.day = t.day and r.price_count = 0;
    end if;
    -- A statement of its own, because it must see what the worker filled in before the version was moved.
    if exists (select from public.monthly_statistics) then
        delete from public.monthly_statistics s
        using public.changed_months c, public.port_places o, public.port_places d
        where c.version = moved and o.port = c.origin and d.port = c.destination
          and s.origin = o.place and s.destination = d.place and s.month = c.month;
    end if;
    return null;
end $$;

create function public.empty_daily_rates() returns trigger
    language plpgsql security definer set search_path = '' set jit = off
as $$
begin
    perform public.move_data_version();
    update public.data_version set log_since = version;
    -- Like the TRUNCATE that fired this, it locks readers out until the transaction ends. DELETE does not.
    truncate public.daily_rates, public.monthly_statistics, public.changed_months;
    return null;
end $$;

-- The tree as the tables say it now: what port_places should hold. UNION, not UNION ALL: a circle must end.
create view public.current_port_places as
with recursive above (port, place) as (
    select code, parent_slug from public.ports
    union
    select a.port, r.parent_slug
    from above a
    join public.regions r on r.slug = a.place
    where r.parent_slug is not null
)
select port.id as port, place.id as place
from (select code as port, code as place from public.ports union all table above) named
join public.places port on port.name = named.port
join public.places place on place.name = named.place;

-- After any change of ports or regions: finds the ports whose set of places differs from port_places, takes their
-- prices out of the places they left and puts them into the places they joined. Costs what those ports' lanes cost.
create function public.apply_place_changes() returns trigger
    language plpgsql security definer set search_path = '' set jit = off
as $$
declare
    circle text;
    priced text;
    moved bigint;
begin
    moved := public.move_data_version();
    update public.data_version set places_version = moved where places_version < moved;

    with recursive below (top, slug) as (
        select parent_slug, slug from public.regions where parent_slug is not null
        union
        select b.top, r.slug from below b join public.regions r on r.parent_slug = b.slug
    )
    select top into circle from below where top = slug limit 1;
    if circle is not null then
        raise exception 'region % would be below itself', circle using errcode = 'check_violation';
    end if;

    insert into public.places (name)
    select name
    from (select code as name from public.ports union all select slug from public.regions) named
    where not exists (select from public.places p where p.name = named.name)
    on conflict do nothing;

    create temporary table moved_port_places on commit drop as
        select port, place, applied.port is not null as was, wanted.port is not null as is_now
        from public.port_places applied
        full join public.current_port_places wanted using (port, place)
        where port in (
            select port from (
                (table public.current_port_places except table public.port_places)
                union all
                (table public.port_places except table public.current_port_places)
            ) differing
        );

    select p.name into priced
    from pg_temp.moved_port_places m
    join public.places p on p.id = m.port
    where m.place = m.port and not m.is_now
      and (exists (select from public.prices where orig_code = p.name)
           or exists (select from public.prices where dest_code = p.name))
    limit 1;
    if priced is not null then
        raise exception 'port % has prices', priced using errcode = 'foreign_key_violation', table = 'ports';
    end if;

    if exists (select from pg_temp.moved_port_places) then
        -- Port pairs hold the prices; each pair with a moved end leaves its old pairs of places, joins its new ones.
        with old_places as (table public.port_places),
        new_places as (
            select port, place from public.port_places
            where port not in (select port from pg_temp.moved_port_places)
            union all
            select port, place from pg_temp.moved_port_places where is_now
        ),
        moved_lane_days as materialized (
            select r.* from public.daily_rates r
            where (r.origin in (select port from pg_temp.moved_port_places)
                   and r.destination in (select port from public.port_places))
               or (r.destination in (select port from pg_temp.moved_port_places)
                   and r.origin in (select port from public.port_places))
        ),
        shifts as (
            select o.place as origin, d.place as destination, m.day,
                   -m.price_sum as price_sum, -m.price_count as price_count
            from moved_lane_days m
            join old_places o on o.port = m.origin
            join old_places d on d.port = m.destination
            union all
            select o.place, d.place, m.day, m.price_sum, m.price_count
            from moved_lane_days m
            join new_places o on o.port = m.origin
            join new_places d on d.port = m.destination
        )
        insert into public.daily_rates as r (origin, destination, day, price_sum, price_count)
        select origin, destination, day, sum(price_sum), sum(price_count)
        from shifts
        group by origin, destination, day
        having sum(price_count) <> 0 or sum(price_sum) <> 0
        order by origin, destination, day
        on conflict (origin, destination, day) do update
        set price_sum = r.price_sum + excluded.price_sum, price_count = r.price_count + excluded.price_count;

        delete from public.daily_rates r
        where r.price_count = 0
          and (r.origin in (select place from pg_temp.moved_port_places)
               or r.destination in (select place from pg_temp.moved_port_places));

        delete from public.port_places p
        using pg_temp.moved_port_places m
        where p.port = m.port and p.place = m.place and not m.is_now;
        insert into public.port_places (port, place)
        select port, place from pg_temp.moved_port_places where not was;

        -- The statistics of every place that a port left or joined are due, and so are those of the lanes that stayed.
        delete from public.monthly_statistics s
        where s.origin in (select place from pg_temp.moved_port_places)
           or s.destination in (select place from pg_temp.moved_port_places);
        with touched as (
            select port from public.port_places where place in (select place from pg_temp.moved_port_places)
        )
        insert into public.changed_months (origin, destination, month, version)
        select distinct r.origin, r.destination, date_trunc('month', r.day)::date, moved
        from public.daily_rates r
        where r.origin in (select port from public.port_places) and r.destination in (select port from public.port_places)
          and (r.origin in (table touched) or r.destination in (table touched))
        on conflict (origin, destination, month) do update
        set version = excluded.version, statistics_due = true;
    end if;
    drop table pg_temp.moved_port_places;
    delete from public.places p
    where not exists (select from public.ports where code = p.name)
      and not exists (select from public.regions where slug = p.name);
    return null;
end $$;

-- The triggers check that prices have ports, once for each port of a statement. Foreign keys would check each row, which
-- took longer than all the rest of a load. No price can slip by: whoever writes prices or ports holds the version.
alter table public.prices drop constraint prices_orig_code_fkey, drop constraint prices_dest_code_fkey;

create trigger roll_up_inserted after insert on public.prices
    referencing new table as changed_prices
    for each statement execute function public.roll_up_prices('1');
create trigger roll_up_deleted after delete on public.prices
    referencing old table as changed_prices
    for each statement execute function public.roll_up_prices('-1');
-- Triggers of one event fire in the order of their names: added before taken away, so no count passes below zero.
create trigger roll_up_updated_1_new after update on public.prices
    referencing new table as changed_prices
    for each statement execute function public.roll_up_prices('1');
create trigger roll_up_updated_2_old after update on public.prices
    referencing old table as changed_prices
    for each statement execute function public.roll_up_prices('-1');
create trigger roll_up_truncated after truncate on public.prices
    for each statement execute function public.empty_daily_rates();
create trigger apply_port_changes after insert or update or delete or truncate on public.ports
    for each statement execute function public.apply_place_changes();
create trigger apply_region_changes after insert or update or delete or truncate on public.regions
    for each statement execute function public.apply_place_changes();

-- A database that came from a dump has places and prices already.
insert into public.places (name)
select code from public.ports
union
select slug from public.regions;
insert into public.port_places (port, place) table public.current_port_places;
with lane_days as materialized (
    select o.id as origin, d.id as destination, p.day, sum(p.price) as price_sum, count(*) as price_count
    from public.prices p
    join public.places o on o.name = p.orig_code
    join public.places d on d.name = p.dest_code
    group by o.id, d.id, p.day
),
logged as (
    insert into public.changed_months (origin, destination, month, version)
    select distinct origin, destination, date_trunc('month', day)::date, 1 from lane_days
)
insert into public.daily_rates (origin, destination, day, price_sum, price_count)
select o.place, d.place, l.day, sum(l.price_sum), sum(l.price_count)
from lane_days l
join public.port_places o on o.port = l.origin
join public.port_places d on d.port = l.destination
group by o.place, d.place, l.day
order by o.place, d.place, l.day; -- neighbours in the key become neighbours on disk
analyze public.places, public.daily_rates, public.port_places, public.changed_months;
