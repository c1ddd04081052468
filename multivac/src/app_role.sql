do $$
declare
    role_name constant text := current_setting('app.role');
begin
    if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
        execute format('create role %I login', role_name);
    end if;
    execute format('alter role %I login password %L', role_name, current_setting('app.password'));
    execute format('grant usage on schema public, multivac to %I', role_name);
    execute format('grant select on public._sqlx_migrations to %I', role_name);
    execute format('grant select, insert, update, delete on public.jobs, multivac.data to %I', role_name);
end $$;
