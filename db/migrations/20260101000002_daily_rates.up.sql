-- The rollup that makes an answer cost the same for two ports and for two continents: one row for each pair of
-- places (port or region) and day with prices between them. It is kept by triggers, so it is right whoever writes:
-- the API, psql, a restored dump. docs/decisions/ says what else was tried.
--
-- Every function here names its tables in full and fixes its search_path: a dump sets an empty one while it loads.
-- They turn JIT off: where tables have no statistics yet, the planner thinks the recursive view large and compiles for
-- a second what then runs for a millisecond.

create table public.daily_rates (
    origin      text    not null,
    destination text    not null,
    day         date    not null,
    price_sum   bigint  not null,
    price_count integer not null,
    primary key (origin, destination, day)
);
comment on table public.daily_rates is
    'Sum (US dollars) and number of prices by pair of places and day; kept by triggers, never written by hand.';

-- For each port every place that stands for it: itself and the regions above it. This is the tree that daily_rates
-- was built with: comparing it with the tables tells exactly what a change of the tree moved.
create table public.port_places (
    port  text not null,
    place text not null,
    primary key (port, place)
);
comment on table public.port_places is
    'Each port with itself and every region above it, as last applied to daily_rates; kept by triggers.';

-- One row. `version` moves with every change of prices or places, in the same transaction; it is the microsecond
-- clock, pushed forward where the clock is behind, so that it also differs after a restore from a backup.
-- `places_version` is the version at which ports or regions last changed.
create table public.data_version (
    only_row       boolean primary key default true check (only_row),
    version        bigint  not null,
    places_version bigint  not null
) with (fillfactor = 10); -- room on the page for every new row version: updates stay there and touch no index
insert into public.data_version (version, places_version) values (1, 1);

-- Moves the version once in a transaction and tells the listeners. Whoever moves it holds its row until the
-- transaction ends: writers of the rollup pass here one by one, so they see each other's work and cannot deadlock.
create function public.move_data_version(places boolean) returns void
    language plpgsql security definer set search_path = '' set jit = off
as $$
declare
    moved bigint;
begin
    update public.data_version d
    set version = greatest(d.version + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
    -- A second statement of the same transaction finds its own row version and leaves it.
    where d.xmin <> pg_catalog.pg_current_xact_id()::xid
    returning d.version into moved;
    if places then
        update public.data_version d set places_version = d.version where d.places_version < d.version;
    end if;
    if moved is not null then
        perform pg_catalog.pg_notify('rates_data_version', moved::text);
    end if;
end $$;

-- Adds prices to the rollup (sign 1) or takes them away (sign -1). `changed_prices` is the transition table of the
-- statement that fired. An UPDATE fires twice: its new rows are added, its old rows taken away.
create function public.roll_up_prices() returns trigger
    language plpgsql security definer set search_path = '' set jit = off
as $$
declare
    sign constant integer := tg_argv[0];
begin
    if not exists (select from changed_prices) then
        return null;
    end if;
    perform public.move_data_version(places => false);
    with lane_days as materialized (
        select orig_code, dest_code, day, sign * sum(price) as price_sum, sign * count(*) as price_count
        from changed_prices
        group by orig_code, dest_code, day
    )
    insert into public.daily_rates as r (origin, destination, day, price_sum, price_count)
    select o.place, d.place, l.day, sum(l.price_sum), sum(l.price_count)
    from lane_days l
    left join public.port_places o on o.port = l.orig_code
    left join public.port_places d on d.port = l.dest_code
    -- A price of a port that port_places lacks can only come from one statement that writes both tables. A price that
    -- goes has then been taken out with its port; one that comes fails on the null: refused rather than lost.
    where sign > 0 or (o.place is not null and d.place is not null)
    group by o.place, d.place, l.day
    order by o.place, d.place, l.day
    on conflict (origin, destination, day) do update
    set price_sum = r.price_sum + excluded.price_sum, price_count = r.price_count + excluded.price_count;
    if sign < 0 then
        delete from public.daily_rates r
        using (
            select distinct o.place as origin, d.place as destination, c.day
            from changed_prices c
            join public.port_places o on o.port = c.orig_code
            join public.port_places d on d.port = c.dest_code
        ) t
        where r.origin = t.origin and r.destination = t.destination and r.day = t.day and r.price_count = 0;
    end if;
    return null;
end $$;

create function public.empty_daily_rates() returns trigger
    language plpgsql security definer set search_path = '' set jit = off
as $$
begin
    perform public.move_data_version(places => false);
    -- Like the TRUNCATE that fired this, it locks readers out until the transaction ends. DELETE does not.
    truncate public.daily_rates;
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
select code as port, code as place from public.ports
union all
select port, place from above;

-- After any change of ports or regions: finds the ports whose set of places differs from port_places, takes their
-- prices out of the places they left and puts them into the places they joined. Costs what those ports' lanes cost.
create function public.apply_place_changes() returns trigger
    language plpgsql security definer set search_path = '' set jit = off
as $$
declare
    circle text;
begin
    perform public.move_data_version(places => true);

    with recursive below (top, slug) as (
        select parent_slug, slug from public.regions where parent_slug is not null
        union
        select b.top, r.slug from below b join public.regions r on r.parent_slug = b.slug
    )
    select top into circle from below where top = slug limit 1;
    if circle is not null then
        raise exception 'region % would be below itself', circle using errcode = 'check_violation';
    end if;

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
    end if;
    drop table pg_temp.moved_port_places;
    return null;
end $$;

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
insert into public.port_places (port, place) table public.current_port_places;
with lane_days as materialized (
    select orig_code, dest_code, day, sum(price) as price_sum, count(*) as price_count
    from public.prices
    group by orig_code, dest_code, day
)
insert into public.daily_rates (origin, destination, day, price_sum, price_count)
select o.place, d.place, l.day, sum(l.price_sum), sum(l.price_count)
from lane_days l
join public.port_places o on o.port = l.orig_code
join public.port_places d on d.port = l.dest_code
group by o.place, d.place, l.day
order by o.place, d.place, l.day; -- neighbours in the key become neighbours on disk
analyze public.daily_rates, public.port_places;
