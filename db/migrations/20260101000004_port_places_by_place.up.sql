-- The ports of a place, for `statistics=full`: the primary key starts with the port, and reading it whole for each
-- region would cost what all ports of the world do. Not CONCURRENTLY: the table has a row for each port and level of
-- the tree, so the lock is held for milliseconds.
create index port_places_place on public.port_places (place, port);
