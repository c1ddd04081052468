drop table public.lane_summaries_state;
drop table public.lane_summaries;
