-- Three ports, and two suppliers with a key each: rates_1_one is acme's, rates_2_two is other's.
insert into regions values ('asia', 'Asia', null), ('europe', 'Europe', null);
insert into ports values
    ('CNSGH', 'Shanghai', 'asia'), ('NLRTM', 'Rotterdam', 'europe'), ('GBFXT', 'Felixstowe', 'europe');
insert into suppliers values ('acme'), ('other');
insert into api_keys (supplier, secret_hash) values ('acme', sha256('one')), ('other', sha256('two'));
