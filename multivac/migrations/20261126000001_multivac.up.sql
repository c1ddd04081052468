-- The queue of all services (chassis/src/worker/jobs.sql), where no other service of this database has made it.
create table if not exists public.jobs (
    id         bigint generated always as identity primary key,
    queue      text not null,
    payload    jsonb not null,
    -- How often a worker has begun with it.
    attempts   integer not null default 0,
    -- A worker takes it at this time at the earliest.
    due_at     timestamptz not null default now(),
    created_at timestamptz not null default now(),
    -- Why the last attempt failed.
    last_error text,
    -- Since when it is given up (a dead letter).
    dead_since timestamptz
);
create index if not exists jobs_due on public.jobs (queue, id) where dead_since is null;

create schema multivac;
create table multivac.data (
    -- In the order in which they were stored.
    position   bigint generated always as identity primary key,
    -- The job that brought it.
    job        text not null unique,
    -- {"data": …}; none once it is deleted.
    document   jsonb,
    deleted_at timestamptz
);
create index data_there on multivac.data (position) where document is not null;
create index data_deleted on multivac.data (deleted_at) where deleted_at is not null;
