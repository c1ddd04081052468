use super::*;

#[derive(Debug, Clone, Deserialize)]
struct Example {
    api: Api,
    database: Database,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Api {
    limit: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[expect(dead_code, reason = "read through Debug, which must hide them")]
struct Database {
    url: SecretString,
    password: SecretString,
    hosts: List,
}

impl Settings for Example {
    const DEFAULTS: &'static [&'static str] = &[
        "[server]\n# Where it is.\nport = 5000\n[api]\n# The most.\nlimit = 5\n",
        "[database]\n# [DATABASE_URL] The URL.\nurl = ''\npassword = ''\nhosts = 'a, b'\n",
    ];
    const FLAT: &'static [&'static [Flat]] = &[&[
        Flat::new("DATABASE_URL", "database.url"),
        Flat::new("EXAMPLE_LOG_DIR", "logs.folder").empty_counts(),
    ]];

    fn faults(&self, shell: &ShellSettings) -> Vec<Fault> {
        let too_large = self.api.limit > u32::from(shell.server.port);
        too_large.then(|| ("api.limit", "must not be above server.port".to_owned())).into_iter().collect()
    }
}

fn load(pairs: &[(&str, &str)]) -> Result<Loaded<Example>, Faults> {
    super::load("example", pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn defaults_apply_where_nothing_is_given() {
    let loaded = load(&[("PORT", "")]).unwrap();
    assert_eq!(loaded.shell.server.port, 5000, "the service's default wins over that of the chassis");
    assert_eq!(loaded.service.database.hosts.0, ["a", "b"]);
    assert_eq!(loaded.origins["server.port"].from, "default");
}

#[test]
fn a_later_layer_wins_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("example.toml"), "server.port = 1\n[api]\nlimit = 1\n").unwrap();
    std::fs::write(folder.path().join("example.production.toml"), "server.port = 2\n").unwrap();
    let folder = folder.path().to_str().unwrap();
    let base = [("EXAMPLE_CONFIG_DIR", folder), ("APP_ENV", "production")];
    let port = |more: &[(&str, &str)]| {
        let loaded = load(&[&base[..], more].concat()).unwrap();
        (loaded.shell.server.port, loaded.origins["server.port"].from.clone(), loaded.service.api.limit)
    };
    assert_eq!(port(&[]), (2, format!("{folder}/example.production.toml"), 1));
    assert_eq!(port(&[("PORT", "3")]), (3, "PORT".into(), 1));
    let both = [("PORT", "3"), ("EXAMPLE__SERVER__PORT", "4")];
    assert_eq!(port(&both), (4, "EXAMPLE__SERVER__PORT".into(), 1));
}

#[test]
fn an_empty_variable_turns_off_what_it_can_turn_off() {
    let folder = |pairs: &[(&str, &str)]| load(pairs).unwrap().shell.logs.folder;
    assert_eq!(folder(&[("EXAMPLE__LOGS__FOLDER", "logs"), ("EXAMPLE_LOG_DIR", "x")]).to_str(), Some("logs"));
    assert_eq!(folder(&[("EXAMPLE_LOG_DIR", "x")]).to_str(), Some("x"));
    assert_eq!(load(&[("EXAMPLE_LOG_DIR", "")]).unwrap().origins["logs.folder"].from, "EXAMPLE_LOG_DIR");
}

#[test]
fn every_fault_is_reported_at_once() {
    let faults = load(&[
        ("PORT", "many"),
        ("EXAMPLE__API__LIMIT", "6000"),
        ("EXAMPLE__SERVER__PROT", "1"),
        ("EXAMPLE__DATABASE__URLS", "1"),
        ("EXAMPLE_CONFIG_DIR", "/nowhere"),
        ("APP_ENV", "../x"),
    ])
    .err()
    .unwrap()
    .to_string();
    for part in [
        "server.port (from PORT)",
        "api.limit (from EXAMPLE__API__LIMIT): must not be above server.port",
        "EXAMPLE__SERVER__PROT: there is no setting server.prot",
        "EXAMPLE__DATABASE__URLS: there is no setting database.urls",
        "EXAMPLE_CONFIG_DIR: no example.toml found in /nowhere",
        "APP_ENV",
        "6 faults",
    ] {
        assert!(faults.contains(part), "{part} is missing in:\n{faults}");
    }
}

#[test]
fn secrets_are_hidden() {
    let loaded = load(&[
        ("DATABASE_URL", "postgres://me:hush@db:5432/rates?password=hush&host=/run"),
        ("EXAMPLE__DATABASE__PASSWORD", "hush"),
    ])
    .unwrap();
    assert_eq!(loaded.origins["database.url"].value, "postgres://***@db:5432/rates?***");
    assert_eq!(loaded.origins["database.password"].value, "***");
    let printed = format!("{loaded:?} {} {}", loaded.to_text(), loaded.changed());
    assert!(!printed.contains("hush"), "{printed}");
    for (url, shown) in [
        ("postgres://me:se,cret@db/x", "postgres://***@db/x"),
        ("postgres://db/x?password=a@b", "postgres://db/x?***"),
        ("postgres://me:a@one/x?y,postgres://me:b@two/x", "postgres://***@one/x?***,postgres://***@two/x"),
        ("https://one,two", "https://one,two"),
    ] {
        assert_eq!(load(&[("DATABASE_URL", url)]).unwrap().origins["database.url"].value, shown);
    }
}

#[test]
fn the_table_has_the_default_and_the_variable_of_each_setting() {
    let table = markdown::<Example>();
    for row in [
        "| `server.port` | `5000` | `PORT` | Where it is. |",
        "| `database.url` |  | `DATABASE_URL` | The URL. |",
        "| `api.limit` | `5` |  | The most. |",
    ] {
        assert!(table.contains(row), "{row} is missing in:\n{table}");
    }
    assert_eq!(table.lines().count(), 2 + defaults::values::<Example>().len());
}
