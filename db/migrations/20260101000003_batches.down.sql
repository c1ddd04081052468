drop function public.compute_statistics(integer[], integer[], date);
-- The prices of batches stay; which batch brought them is forgotten.
drop index public.prices_batch;
alter table public.prices drop column batch_id;
drop table public.batch_pieces;
drop table public.batch_jobs;
drop table public.batches;
drop function public.keep_batches_with_prices();
drop table public.api_keys;
drop table public.suppliers;
