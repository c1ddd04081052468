//! Any sequence of changes, by any writers, leaves the rollup equal to the raw prices.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sqlx::{AssertSqlSafe, Executor, PgPool};

/// Rows that differ between the rollup and the raw prices.
pub(crate) async fn differing(pool: &PgPool) -> Vec<String> {
    let statement = "
        with truth as (
            select o.place as origin, d.place as destination, day, sum(price) as price_sum, count(*) as price_count
            from prices
            join places origin on origin.name = orig_code
            join places destination on destination.name = dest_code
            join current_port_places o on o.port = origin.id
            join current_port_places d on d.port = destination.id
            group by 1, 2, 3
        )
        select format('%s %s %s: %s/%s kept, %s/%s true', origin, destination, day, k.price_sum, k.price_count, t.price_sum, t.price_count)
        from truth t full join daily_rates k using (origin, destination, day)
        where (k.price_sum, k.price_count) is distinct from (t.price_sum, t.price_count::integer)
        union all
        select format('place %s %s', port, place) from (
            (table port_places except table current_port_places) union all (table current_port_places except table port_places)
        ) places";
    sqlx::query_scalar(statement).fetch_all(pool).await.unwrap()
}

async fn version(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as("select version, places_version from data_version").fetch_one(pool).await.unwrap()
}

/// One change. Places are numbered: ports P0 to P5, regions r0 to r5; what a number cannot do is an error that must
/// leave everything as it was.
#[derive(Debug, Clone)]
enum Change {
    Insert(Vec<(u8, u8, u8, u16)>),
    Update { day: u8, shift: i8, origin: u8 },
    DeleteDay(u8),
    DeleteLane(u8, u8),
    MovePort(u8, u8),
    MoveRegion(u8, Option<u8>),
    MoveTwoAtOnce(u8, u8, u8),
    SwapPorts(u8, u8),
    AddPort(u8, u8),
    DropPort(u8),
    AddRegion(u8, Option<u8>),
    DropRegion(u8),
    RenameRegion(u8),
    Truncate,
    RolledBack(Box<Change>),
    InOneTransaction(Vec<Change>),
}

fn port(number: u8) -> String {
    format!("QQP{:02}", number % 6)
}

fn region(number: u8) -> String {
    format!("r{}", number % 6)
}

fn nullable(number: Option<u8>) -> String {
    number.map_or("null".into(), |number| format!("'{}'", region(number)))
}

fn day(number: u8) -> String {
    format!("'2021-01-{:02}'", number % 4 + 1)
}

impl Change {
    fn sql(&self) -> String {
        match self {
            Self::Insert(rows) => {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|(origin, destination, number, price)| {
                        format!("('{}', '{}', {}::date, {})", port(*origin), port(*destination), day(*number), u32::from(*price) + 1)
                    })
                    .collect();
                // Only what the triggers allow, so that most inserts do something.
                format!(
                    "insert into prices select v.* from (values {}) v(o, d, day, price)
                     where o in (select code from ports) and d in (select code from ports)",
                    rows.join(",")
                )
            }
            Self::Update { day: number, shift, origin } => format!(
                "update prices set price = price + 1, day = day + {shift}, orig_code = coalesce((select code from ports where code = '{}'), orig_code) where day = {}",
                port(*origin),
                day(*number)
            ),
            Self::DeleteDay(number) => format!("delete from prices where day = {}", day(*number)),
            Self::DeleteLane(origin, destination) => {
                format!("delete from prices where orig_code = '{}' and dest_code = '{}'", port(*origin), port(*destination))
            }
            Self::MovePort(number, to) => {
                format!("update ports set parent_slug = '{}' where code = '{}'", region(*to), port(*number))
            }
            Self::MoveRegion(number, to) => {
                format!("update regions set parent_slug = {} where slug = '{}'", nullable(*to), region(*number))
            }
            Self::MoveTwoAtOnce(one, two, to) => format!(
                "with moved as (update regions set parent_slug = null where slug = '{}' returning slug)
                 update ports set parent_slug = '{}' where code = '{}'",
                region(*one),
                region(*to),
                port(*two)
            ),
            Self::SwapPorts(one, two) => format!(
                "update ports a set parent_slug = b.parent_slug from ports b
                 where a.code in ('{0}', '{1}') and b.code in ('{0}', '{1}') and a.code <> b.code",
                port(*one),
                port(*two)
            ),
            Self::AddPort(number, to) => {
                format!("insert into ports values ('{}', 'x', '{}') on conflict do nothing", port(*number), region(*to))
            }
            Self::DropPort(number) => format!("delete from ports where code = '{}'", port(*number)),
            Self::AddRegion(number, to) => format!(
                "insert into regions values ('{}', 'x', {}) on conflict do nothing",
                region(*number),
                nullable(*to)
            ),
            Self::DropRegion(number) => format!("delete from regions where slug = '{}'", region(*number)),
            // One statement that renames a region under its ports: foreign keys hold at its end.
            Self::RenameRegion(number) => format!(
                "with old as (select slug, parent_slug from regions where slug = '{0}' and not exists (select from regions where parent_slug = '{0}')),
                 made as (insert into regions select 'renamed', 'x', parent_slug from old on conflict do nothing returning slug)
                 update ports set parent_slug = 'renamed' where parent_slug in (select slug from old) and exists (select from made)",
                region(*number)
            ),
            Self::Truncate => "truncate prices".into(),
            Self::RolledBack(change) => format!("begin; {}; rollback", change.sql()),
            Self::InOneTransaction(changes) => {
                let changes: Vec<_> = changes.iter().map(Self::sql).collect();
                format!("begin; {}; commit", changes.join("; "))
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    use Change as C;
    let n = any::<u8>;
    let leaf = prop_oneof![
        6 => prop::collection::vec((n(), n(), n(), any::<u16>()), 1..12).prop_map(C::Insert),
        2 => (n(), -2_i8..3, n()).prop_map(|(day, shift, origin)| C::Update { day, shift, origin }),
        1 => n().prop_map(C::DeleteDay),
        1 => (n(), n()).prop_map(|(a, b)| C::DeleteLane(a, b)),
        3 => (n(), n()).prop_map(|(a, b)| C::MovePort(a, b)),
        3 => (n(), prop::option::weighted(0.8, n())).prop_map(|(a, b)| C::MoveRegion(a, b)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| C::MoveTwoAtOnce(a, b, c)),
        1 => (n(), n()).prop_map(|(a, b)| C::SwapPorts(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| C::AddPort(a, b)),
        1 => n().prop_map(C::DropPort),
        1 => (n(), prop::option::of(n())).prop_map(|(a, b)| C::AddRegion(a, b)),
        1 => n().prop_map(C::DropRegion),
        1 => n().prop_map(C::RenameRegion),
        1 => Just(C::Truncate),
    ];
    leaf.prop_recursive(1, 4, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|change| C::RolledBack(Box::new(change))),
            prop::collection::vec(inner, 1..4).prop_map(C::InOneTransaction),
        ]
    })
}

async fn reset(pool: &PgPool) {
    let statement = "
        truncate prices, ports, regions;
        insert into regions select 'r' || n, 'x', case when n > 0 then 'r' || (n - 1) / 2 end from generate_series(0, 5) n;
        insert into ports select 'QQP0' || n, 'x', 'r' || n from generate_series(0, 4) n";
    pool.execute(sqlx::raw_sql(statement)).await.unwrap();
}

/// Makes a change; what the schema refuses is undone and no fault.
async fn apply(pool: &PgPool, change: &Change) {
    let mut connection = pool.acquire().await.unwrap();
    if connection.execute(sqlx::raw_sql(AssertSqlSafe(change.sql()))).await.is_err() {
        connection.execute("rollback").await.unwrap();
    }
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn any_sequence_of_changes_leaves_the_rollup_right(pool: PgPool) {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases: 40,
            max_shrink_iters: 200,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&prop::collection::vec(change(), 1..14), |changes| {
                runtime.block_on(async {
                    reset(&pool).await;
                    for (index, change) in changes.iter().enumerate() {
                        apply(&pool, change).await;
                        let differing = differing(&pool).await;
                        prop_assert!(
                            differing.is_empty(),
                            "after change {index}, {}: {differing:#?}",
                            change.sql()
                        );
                    }
                    Ok(())
                })
            })
            .unwrap();
    })
    .await
    .unwrap();
}

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn writers_at_once_leave_the_rollup_right(pool: PgPool) {
    reset(&pool).await;
    let write = async |writer: u8| {
        for round in 0..12 {
            let number = writer.wrapping_mul(7).wrapping_add(round);
            let change = match number % 5 {
                0 => Change::MovePort(number, number / 5),
                1 => Change::MoveRegion(number, Some(number / 3)),
                2 => Change::Update { day: number, shift: 1, origin: writer },
                3 => Change::InOneTransaction(vec![
                    Change::Insert(vec![(number, writer, round, 10)]),
                    Change::DeleteLane(writer, number),
                ]),
                _ => Change::Insert(
                    (0_u8..20).map(|n| (n, n.wrapping_add(writer), n, u16::from(round))).collect(),
                ),
            };
            apply(&pool, &change).await;
        }
    };
    tokio::join!(write(0), write(1), write(2), write(3));
    let differing = differing(&pool).await;
    assert!(differing.is_empty(), "{differing:#?}");
}

#[sqlx::test(migrator = "rates::database::MIGRATOR", fixtures("../fixtures.sql"))]
async fn every_change_moves_the_version_once_and_nothing_else_does(pool: PgPool) {
    let mut before = version(&pool).await;
    for (statement, prices, places) in [
        ("insert into prices values ('CNGGZ', 'EETLL', '2021-01-09', 1)", true, false),
        ("update prices set price = 2 where day = '2021-01-09'", true, false),
        ("delete from prices where day = '2021-01-09'", true, false),
        ("delete from prices where day = '1999-01-01'", false, false),
        ("update ports set name = 'Canton' where code = 'CNGGZ'", true, true),
        ("update regions set parent_slug = null where slug = 'china'", true, true),
        ("truncate prices", true, false),
    ] {
        pool.execute(statement).await.unwrap();
        let after = version(&pool).await;
        assert_eq!((after.0 > before.0, after.1 > before.1), (prices, places), "{statement}");
        before = after;
    }
    let mut transaction = pool.begin().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        transaction.execute("insert into prices values ('CNGGZ', 'EETLL', '2021-01-09', 1)").await.unwrap();
        seen.push(
            sqlx::query_scalar::<_, i64>("select version from data_version")
                .fetch_one(&mut *transaction)
                .await
                .unwrap(),
        );
    }
    assert_eq!(seen[0], seen[1], "once in a transaction");
    transaction.rollback().await.unwrap();
    assert_eq!(version(&pool).await, before);
}
