-- Pieces are committed while their upload goes on; those of an upload that never ended are deleted when they are old.
alter table public.batch_pieces add column stored_at timestamptz not null default now();
