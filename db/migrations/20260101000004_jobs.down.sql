alter table public.batches add column attempts integer not null default 0;
create table public.batch_jobs (
    id       bigint generated always as identity primary key,
    batch_id bigint unique references public.batches (id),
    format   text not null,
    constraint batch_jobs_format check (format in ('json', 'ndjson', 'csv'))
);
insert into public.batch_jobs (id, batch_id, format) overriding system value
select (payload ->> 'content')::bigint, (payload ->> 'batch')::bigint, payload ->> 'format'
from public.jobs
where queue = 'batches' and dead_since is null;
select setval(
    pg_get_serial_sequence('public.batch_jobs', 'id'), (select coalesce(max(id), 0) + 1 from public.batch_jobs), false
);
update public.batches b set attempts = j.attempts
from public.jobs j
where j.queue = 'batches' and j.dead_since is null and b.id = (j.payload ->> 'batch')::bigint;
delete from public.batch_pieces p where not exists (select from public.batch_jobs j where j.id = p.content_id);
alter table public.batch_pieces rename column content_id to job_id;
alter table public.batch_pieces add constraint batch_pieces_job_id_fkey
    foreign key (job_id) references public.batch_jobs (id) on delete cascade;
drop sequence public.batch_contents;
drop table public.jobs;
