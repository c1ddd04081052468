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

-- Null for prices that no batch brought: those of a dump.
alter table public.prices add column batch_id bigint references public.batches (id);
-- To withdraw a batch, and for the foreign key. Prices of dumps cost it nothing. Not built concurrently: that would
-- wait for a second `rates migrate`, which waits for this one. Before the first batch there is nothing to sort, so
-- writers wait for one scan of the table.
create index prices_batch on public.prices (batch_id) where batch_id is not null;
