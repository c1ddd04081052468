-- Webhooks: where messages about batches and changes of the data are sent. A message that waits is a job of the queue
-- `hooks`.
create table public.hooks (
    id              bigint generated always as identity primary key,
    -- Null for a hook of the operator, which gets messages about the batches of all suppliers.
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
    -- The version of the data in the last message `data.changed`, and its time.
    sent_version    bigint not null,
    sent_at         timestamptz,
    constraint hooks_events check (events <@ array['batch.done', 'batch.failed', 'data.changed'] and events <> '{}'),
    constraint hooks_disabled_for_a_reason check ((disabled_at is null) = (disabled_reason is null))
);
