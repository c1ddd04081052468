-- Prices that come in over HTTP: who may send them, what was sent, and what waits to be put in.

create table public.suppliers (
    name       text primary key,
    created_at timestamptz not null default now(),
    constraint suppliers_name_format check (name ~ '^[a-z0-9][a-z0-9_-]{0,63}$')
);

-- A key is shown once, when it is made; what is kept cannot be turned back into it. Its scope says what it may do:
-- read where reads need a key, write (send batches and withdraw one's own), or both and for all suppliers (admin).
create table public.api_keys (
    id           bigint generated always as identity primary key,
    supplier     text not null references public.suppliers (name),
    scope        text not null default 'write',
    secret_hash  bytea not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    -- To the minute: a write for every request would cost more than the request.
    last_used_at timestamptz,
    constraint api_keys_scope check (scope in ('read', 'write', 'admin')),
    -- The secret has 256 random bits, so a fast hash is as good as a slow one.
    constraint api_keys_secret_hash_is_sha256 check (length(secret_hash) = 32)
);
create index api_keys_supplier on public.api_keys (supplier);

create table public.batches (
    id              bigint generated always as identity primary key,
    supplier        text not null references public.suppliers (name),
    state           text not null,
    idempotency_key text,
    -- Of the content as it is once unzipped.
    content_sha256  bytea not null,
    content_bytes   bigint not null,
    -- What was read and checked so far.
    rows            bigint not null default 0,
    checked_bytes   bigint not null default 0,
    -- Of one that is done: how many prices its rows had, on how many days and lanes.
    prices          bigint,
    days            bigint,
    lanes           bigint,
    -- The state of the data that first had these prices, or had them no more.
    data_version    bigint,
    -- The batch that this one was sent in place of.
    replaces        bigint references public.batches (id),
    -- Prices that look wrong: the first, and the number of all.
    warnings        jsonb not null default '[]',
    total_warnings  bigint not null default 0,
    -- Why it failed: the problem that a client who waited would have been answered.
    problem         jsonb,
    -- How often a worker began with it.
    attempts        integer not null default 0,
    created_at      timestamptz not null default now(),
    ended_at        timestamptz,
    withdrawn_at    timestamptz,
    constraint batches_state check (state in ('queued', 'checking', 'storing', 'done', 'failed', 'withdrawn')),
    constraint batches_done_is_whole check (state not in ('done', 'withdrawn')
        or (prices is not null and days is not null and lanes is not null and data_version is not null
            and ended_at is not null)),
    constraint batches_content_sha256_length check (length(content_sha256) = 32)
);
-- The name of a batch that failed is free again: what was wrong may be right later, as a port that was missing.
create unique index batches_idempotency_key on public.batches (supplier, idempotency_key)
    where idempotency_key is not null and state <> 'failed';
create index batches_content on public.batches (supplier, content_sha256);
create index batches_supplier on public.batches (supplier, id desc);

-- The queue: a row for each batch that waits. Its worker holds the row's lock in the very transaction that puts the
-- prices in and removes the row, so a batch is put in once, and a worker that dies leaves it as it was.
create table public.batch_jobs (
    id       bigint generated always as identity primary key,
    -- Null only inside the transaction that takes the content in: what it is a batch of is known at its end.
    batch_id bigint unique references public.batches (id),
    format   text not null,
    constraint batch_jobs_format check (format in ('json', 'ndjson', 'csv'))
);

-- The content of the batches that wait, in pieces, so that neither side ever holds a whole one in memory.
create table public.batch_pieces (
    job_id  bigint not null references public.batch_jobs (id) on delete cascade,
    number  integer not null,
    content bytea not null,
    primary key (job_id, number)
);

-- Null for prices that no batch brought: those of a dump. A foreign key would check each row of a batch that has just been
-- written; that batches stay is ensured by a trigger.
alter table public.prices add column batch_id bigint;
-- To withdraw a batch, and to see whether it has prices. Prices of dumps cost it nothing. Not built concurrently: that would
-- wait for a second `rates migrate`, which waits for this one. Before the first batch there is nothing to sort, so
-- writers wait for one scan of the table.
create index prices_batch on public.prices (batch_id) where batch_id is not null;

create function public.keep_batches_with_prices() returns trigger
    language plpgsql security definer set search_path = ''
as $$
begin
    if exists (select from public.prices where batch_id = old.id) then
        raise exception 'batch % has prices', old.id using errcode = 'foreign_key_violation', table = 'batches';
    end if;
    return old;
end $$;
create trigger keep_batches_with_prices before delete on public.batches
    for each row execute function public.keep_batches_with_prices();

-- What monthly_statistics should have for these pairs in a month, from the prices.
create function public.compute_statistics(origins integer[], destinations integer[], month date)
    returns table (origin integer, destination integer, percentiles bytea, suppliers bytea)
    language sql stable set search_path = '' set jit = off
as $$
    with wanted as (select * from unnest(origins, destinations) w (origin, destination)),
    pair_days as materialized (
        select w.origin, w.destination, p.day, count(*) as prices,
               percentile_cont(array[0.025, 0.25, 0.5, 0.75, 0.975]::float8[])
                   within group (order by p.price) as dollars,
               least(count(distinct coalesce(b.supplier, '') collate "C"), 255)::integer as suppliers
        from wanted w
        join public.port_places o on o.place = w.origin
        join public.port_places d on d.place = w.destination
        join public.places op on op.id = o.port
        join public.places dp on dp.id = d.port
        join public.prices p on p.orig_code = op.name and p.dest_code = dp.name
            and p.day >= compute_statistics.month
            and p.day < (compute_statistics.month + interval '1 month')::date
        left join public.batches b on b.id = p.batch_id
        group by w.origin, w.destination, p.day
    ),
    percentiles_of_month as (
        select d.origin, d.destination, bool_and(d.dollars[5] <= 53687091) as fits,
               string_agg(
                   (select string_agg(int4send(round(least(one, 53687091) * 40)::integer), '' order by position)
                    from unnest(d.dollars) with ordinality each (one, position)),
                   '' order by d.day desc
               ) as packed
        from pair_days d
        where d.prices >= 3
        group by d.origin, d.destination
    ),
    suppliers_of_month as (
        select w.origin, w.destination,
               string_agg(set_byte('\x00', 0, coalesce(d.suppliers, 0)), '' order by number) as packed
        from wanted w
        cross join generate_series(0, 30) number
        left join pair_days d on d.origin = w.origin and d.destination = w.destination
            and d.day = compute_statistics.month + number
        group by w.origin, w.destination
    )
    select s.origin, s.destination, case when p.fits then p.packed when p.fits is null then '' end, s.packed
    from suppliers_of_month s
    left join percentiles_of_month p on p.origin = s.origin and p.destination = s.destination
$$;
