delete from public.jobs where queue = 'hooks';
drop table public.hooks;
