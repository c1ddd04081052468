-- The queue of `chassis::worker`: a row for each job that waits. A service has this table from one of its migrations.
create table public.jobs (
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
create index jobs_due on public.jobs (queue, id) where dead_since is null;
