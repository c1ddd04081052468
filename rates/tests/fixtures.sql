-- At least two of everything, so that a predicate that is dropped changes an answer:
-- asia > china > {china_south: CNGGZ, CNSZX}, {china_east: CNSGH}; europe > north_europe > baltic: EETLL, SESTO;
-- north_europe itself: NLRTM.
insert into regions (slug, name, parent_slug) values
    ('asia', 'Asia', null), ('china', 'China', 'asia'), ('china_south', 'China South', 'china'),
    ('china_east', 'China East', 'china'), ('europe', 'Europe', null),
    ('north_europe', 'North Europe', 'europe'), ('baltic', 'Baltic', 'north_europe'), ('empty', 'Empty', null);
insert into ports (code, name, parent_slug) values
    ('CNGGZ', 'Guangzhou', 'china_south'), ('CNSZX', 'Shenzhen', 'china_south'), ('CNSGH', 'Shanghai', 'china_east'),
    ('EETLL', 'Tallinn', 'baltic'), ('SESTO', 'Stockholm', 'baltic'), ('NLRTM', 'Rotterdam', 'north_europe');
insert into prices (orig_code, dest_code, day, price) values
    ('CNGGZ', 'EETLL', '2021-01-01', 1000), ('CNGGZ', 'EETLL', '2021-01-01', 1000), ('CNGGZ', 'EETLL', '2021-01-01', 1003),
    ('CNGGZ', 'EETLL', '2021-01-02', 1100), ('CNGGZ', 'EETLL', '2021-01-02', 1200),
    ('CNGGZ', 'EETLL', '2021-01-04', 900),
    ('CNGGZ', 'EETLL', '2021-01-05', 100), ('CNGGZ', 'EETLL', '2021-01-05', 200), ('CNGGZ', 'EETLL', '2021-01-05', 300), ('CNGGZ', 'EETLL', '2021-01-05', 400),
    ('CNSZX', 'SESTO', '2021-01-01', 2000), ('CNSZX', 'NLRTM', '2021-01-01', 5000),
    ('CNSGH', 'EETLL', '2021-01-01', 7), ('CNSGH', 'EETLL', '2021-01-02', 70),
    ('EETLL', 'CNGGZ', '2021-01-01', 50), ('EETLL', 'CNGGZ', '2021-01-01', 51), ('EETLL', 'CNGGZ', '2021-01-01', 53),
    ('EETLL', 'SESTO', '2021-01-01', 10), ('SESTO', 'EETLL', '2021-01-01', 11), ('NLRTM', 'EETLL', '2021-01-01', 12);
