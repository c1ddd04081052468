drop schema multivac cascade;
-- Another service of this database may use the table.
delete from public.jobs where queue = 'multivac';
