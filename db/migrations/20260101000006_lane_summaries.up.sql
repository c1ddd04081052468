-- What GET /lanes lists: each pair of places with prices that answers may show. A worker keeps it up to date
-- (rates/src/summaries), within seconds of a change. It is computed from daily_rates.
create table public.lane_summaries (
    origin      integer not null,
    destination integer not null,
    first_day   date    not null,
    last_day    date    not null,
    priced_days integer not null,
    mean_days   integer not null, -- with enough prices for a mean
    prices      bigint  not null,
    -- The newest day with a mean that is not in the future, and the mean.
    latest_day  date,
    latest_mean double precision,
    -- latest_mean divided by the newest mean that is at least 7, 30 and 365 days older, and at most twice as many; less 1.
    change_7    double precision,
    change_30   double precision,
    change_365  double precision,
    primary key (origin, destination)
);
comment on table public.lane_summaries is 'What GET /lanes lists; kept by a worker from daily_rates.';

-- One row: what lane_summaries was computed from. Nothing yet.
create table public.lane_summaries_state (
    only_row      boolean primary key default true check (only_row),
    version       bigint  not null, -- of the data
    today         date    not null,
    min_count     bigint  not null, -- how many prices a mean needs
    min_suppliers integer not null, -- how many suppliers a day needs
    price_step    integer not null  -- what means are rounded to; 0: not at all
) with (fillfactor = 10); -- as data_version
insert into public.lane_summaries_state (version, today, min_count, min_suppliers, price_step)
values (0, '0001-01-01', 0, 0, 0);
comment on table public.lane_summaries_state is 'The state of the data that lane_summaries is of.';

-- A mean as answers show it.
create function public.round_mean(mean double precision, price_step integer) returns double precision
    language sql immutable
as $$
    select case when price_step = 0 then mean else floor(mean / price_step + 0.5) * price_step end
$$;
