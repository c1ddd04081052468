drop function public.round_mean(double precision, integer);
drop table public.lane_summaries_state;
drop table public.lane_summaries;
