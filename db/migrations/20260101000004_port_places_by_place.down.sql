drop index public.port_places_place;
