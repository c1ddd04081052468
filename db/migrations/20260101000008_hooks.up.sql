-- Webhooks: who is told of batches and of changes of the data. A message that waits is a job of the queue `hooks`.
create table public.hooks (
    id              bigint generated always as identity primary key,
    -- Null for one of the operator, who is told of the batches of all.
    supplier        text references public.suppliers (name),
    url             text not null,
    events          text[] not null,
    -- Kept as it is: each message is signed with it.
    secret          bytea not null,
    created_at      timestamptz not null default now(),
    -- When the last message was delivered.
    delivered_at    timestamptz,
    disabled_at     timestamptz,
    disabled_reason text,
    -- The version of the data that it was last told of, and when.
    told_version    bigint not null,
    told_at         timestamptz,
    constraint hooks_events check (events <@ array['batch.done', 'batch.failed', 'data.changed'] and events <> '{}'),
    constraint hooks_disabled_for_a_reason check ((disabled_at is null) = (disabled_reason is null))
);
