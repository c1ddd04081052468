-- The data goes with its tables: `rates migrate` never runs this; it is for tests and for people who mean it.
drop table public.prices;
drop table public.ports;
drop table public.regions;
