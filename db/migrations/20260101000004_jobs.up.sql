-- Batches that wait move into the queue that all services share (chassis/src/worker/jobs.sql), unless
-- another service of this database has made it.

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

insert into public.jobs (queue, payload, attempts)
select 'batches', jsonb_build_object('batch', j.batch_id, 'content', j.id, 'format', j.format), b.attempts
from public.batch_jobs j
join public.batches b on b.id = j.batch_id
order by j.id;

-- Pieces have a number of their own: they come in before it is known which batch they are of.
alter table public.batch_pieces drop constraint batch_pieces_job_id_fkey;
alter table public.batch_pieces rename column job_id to content_id;
create sequence public.batch_contents;
select setval('public.batch_contents', (select coalesce(max(content_id), 0) + 1 from public.batch_pieces), false);

drop table public.batch_jobs;
alter table public.batches drop column attempts;
