-- The tables of the public dump, names and types alike, so that a database loaded from a dump of that schema
-- (ours in db/rates.sql, or a user's own) and an empty one end here with the same schema. Hence IF NOT EXISTS and
-- the guarded constraints: on a loaded database this migration is the baseline.

create table if not exists public.regions (
    slug        text not null,
    name        text not null,
    parent_slug text
);

create table if not exists public.ports (
    code        text not null,
    name        text not null,
    parent_slug text not null
);

-- Prices are US dollars. There is no key: several prices may stand for one lane and day, even equal ones.
create table if not exists public.prices (
    orig_code text    not null,
    dest_code text    not null,
    day       date    not null,
    price     integer not null
);

-- Adds a constraint unless one of that name is there. Checks are NOT VALID: they hold for every row written from
-- now on, and an odd row in an old dump does not stop its owner from migrating (`rates verify` reports such rows).
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            (1, 'regions', 'regions_pkey', 'primary key (slug)'),
            (1, 'ports', 'ports_pkey', 'primary key (code)'),
            (2, 'regions', 'regions_parent_slug_fkey', 'foreign key (parent_slug) references public.regions (slug)'),
            (2, 'ports', 'ports_parent_slug_fkey', 'foreign key (parent_slug) references public.regions (slug)'),
            (2, 'prices', 'prices_orig_code_fkey', 'foreign key (orig_code) references public.ports (code)'),
            (2, 'prices', 'prices_dest_code_fkey', 'foreign key (dest_code) references public.ports (code)'),
            -- A slug starts in lower case and a code in upper case, so that one name never means two places.
            (3, 'regions', 'regions_slug_format', 'check (slug ~ ''^[a-z][a-z0-9_-]{0,63}$'') not valid'),
            -- UN/LOCODE: two letters for the country, three letters or digits for the place.
            (3, 'ports', 'ports_code_format', 'check (code ~ ''^[A-Z]{2}[A-Z0-9]{3}$'') not valid'),
            (3, 'prices', 'prices_price_positive', 'check (price > 0) not valid'),
            -- PostgreSQL's infinite days would overflow every reader; four-digit years are what the API can name.
            (3, 'prices', 'prices_day_finite',
                'check (day between ''0001-01-01'' and ''9999-12-31'') not valid')
        ) as w(step, table_name, name, definition)
        order by step
    loop
        if not exists (
            select from pg_catalog.pg_constraint
            where conname = wanted.name
              and conrelid = ('public.' || wanted.table_name)::pg_catalog.regclass
        ) then
            execute format(
                'alter table public.%I add constraint %I %s', wanted.table_name, wanted.name, wanted.definition
            );
        end if;
    end loop;
end $$;

-- The lane index serves `statistics=full`, verification, and whether a port has prices; INCLUDE lets them read prices
-- without visiting the table.
create index if not exists prices_lane_day on public.prices (orig_code, dest_code, day) include (price);
create index if not exists prices_dest_code on public.prices (dest_code);
create index if not exists ports_parent_slug on public.ports (parent_slug);
create index if not exists regions_parent_slug on public.regions (parent_slug);
