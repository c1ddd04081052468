drop trigger apply_region_changes on public.regions;
drop trigger apply_port_changes on public.ports;
drop trigger roll_up_truncated on public.prices;
drop trigger roll_up_updated_2_old on public.prices;
drop trigger roll_up_updated_1_new on public.prices;
drop trigger roll_up_deleted on public.prices;
drop trigger roll_up_inserted on public.prices;
drop function public.apply_place_changes();
drop view public.current_port_places;
drop function public.empty_daily_rates();
drop function public.roll_up_prices();
drop function public.move_data_version(bigint, bigint);
drop table public.data_version;
drop table public.changed_months;
drop view public.supplied_days;
drop table public.monthly_statistics;
drop table public.port_places;
drop table public.daily_rates;
drop table public.places;
alter table public.prices
    add constraint prices_orig_code_fkey foreign key (orig_code) references public.ports (code),
    add constraint prices_dest_code_fkey foreign key (dest_code) references public.ports (code);
