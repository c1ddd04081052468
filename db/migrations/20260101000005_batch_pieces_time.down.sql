alter table public.batch_pieces drop column stored_at;
