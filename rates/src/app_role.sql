do $$
declare
    role_name constant text := current_setting('app.role');
begin
    if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
        execute format('create role %I login', role_name);
    end if;
    execute format('alter role %I login password %L', role_name, current_setting('app.password'));
    execute format('grant usage on schema public to %I', role_name);
    execute format('grant select on all tables in schema public to %I', role_name);
    -- Batches: prices are staged in a temporary table, and are added and deleted with their batch; none is updated.
    execute format('grant temporary on database %I to %I', current_database(), role_name);
    execute format('grant insert, delete on public.prices to %I', role_name);
    execute format('grant insert, update on public.batches to %I', role_name);
    execute format('grant insert, update, delete on public.jobs to %I', role_name);
    execute format('grant insert, delete on public.batch_pieces to %I', role_name);
    execute format('grant usage on sequence public.batch_contents to %I', role_name);
    -- Statistics that the worker fills in, and what it notes of them.
    execute format('grant insert, delete on public.monthly_statistics to %I', role_name);
    execute format('grant delete, update (statistics_due) on public.changed_months to %I', role_name);
    execute format('grant update (log_since) on public.data_version to %I', role_name);
    -- Summaries of lanes that the worker keeps.
    execute format('grant insert, delete on public.lane_summaries to %I', role_name);
    execute format('grant update on public.lane_summaries_state to %I', role_name);
    -- Hooks: what was delivered, and those that the worker disables.
    execute format('grant update (delivered_at, disabled_at, disabled_reason, sent_version, sent_at) on public.hooks to %I',
        role_name);
    execute format('grant update (last_used_at) on public.api_keys to %I', role_name);
end $$;
