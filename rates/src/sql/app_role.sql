do $$
declare
    role_name constant text := current_setting('rates.role');
begin
    if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
        execute format('create role %I login', role_name);
    end if;
    execute format('alter role %I login password %L', role_name, current_setting('rates.password'));
    execute format('grant usage on schema public to %I', role_name);
    execute format('grant select on all tables in schema public to %I', role_name);
end $$;
