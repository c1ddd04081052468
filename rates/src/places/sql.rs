//! The SQL of ports and regions.

use sqlx::{Connection, PgConnection};

use super::{
    Catalogue, Port,
    model::{PlaceId, PlaceIds, RegionRow},
};
use crate::lanes::sql;

/// Reads all places, from one snapshot. Places are few: every port of UN/LOCODE would be some 20,000.
pub(crate) async fn read_all(connection: &mut PgConnection) -> Result<Catalogue, sqlx::Error> {
    let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
    let version = sql::current_version(&mut *transaction).await?;
    let ports =
        sqlx::query_as!(Port, r#"select code, name, parent_slug from ports order by code collate "C""#)
            .fetch_all(&mut *transaction)
            .await?;
    let regions = sqlx::query_as!(
        RegionRow,
        r#"select slug, name, parent_slug from regions order by slug collate "C""#
    )
    .fetch_all(&mut *transaction)
    .await?;
    let by_code = sqlx::query!("select id, name from places").fetch_all(&mut *transaction).await?;
    let above = sqlx::query!("select port, place from port_places").fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    let mut ids = PlaceIds::default();
    for row in by_code {
        ids.codes.insert(PlaceId(row.id), row.name.clone());
        ids.by_code.insert(row.name, PlaceId(row.id));
    }
    for row in above {
        ids.above.entry(PlaceId(row.port)).or_default().push(PlaceId(row.place));
    }
    Ok(Catalogue::new(version.places_version, ports, &regions, ids))
}

/// Adds regions, and updates name and parent of those that exist. It is one statement so that a region may come before
/// its parent: foreign keys are checked at the statement's end.
pub(crate) async fn upsert_regions(
    connection: &mut PgConnection,
    regions: &[RegionRow],
) -> Result<(), sqlx::Error> {
    let slugs: Vec<&str> = regions.iter().map(|region| region.slug.as_str()).collect();
    let names: Vec<&str> = regions.iter().map(|region| region.name.as_str()).collect();
    let parents: Vec<Option<&str>> = regions.iter().map(|region| region.parent_slug.as_deref()).collect();
    sqlx::query!(
        "insert into regions (slug, name, parent_slug)
         select * from unnest($1::text[], $2::text[], $3::text[])
         on conflict (slug) do update set name = excluded.name, parent_slug = excluded.parent_slug
         where (regions.name, regions.parent_slug) is distinct from (excluded.name, excluded.parent_slug)",
        &slugs as &[&str],
        &names as &[&str],
        &parents as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds ports, and updates name and region of those that exist.
pub(crate) async fn upsert_ports(connection: &mut PgConnection, ports: &[Port]) -> Result<(), sqlx::Error> {
    let codes: Vec<&str> = ports.iter().map(|port| port.code.as_str()).collect();
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let parents: Vec<&str> = ports.iter().map(|port| port.parent_slug.as_str()).collect();
    sqlx::query!(
        "insert into ports (code, name, parent_slug)
         select * from unnest($1::text[], $2::text[], $3::text[])
         on conflict (code) do update set name = excluded.name, parent_slug = excluded.parent_slug
         where (ports.name, ports.parent_slug) is distinct from (excluded.name, excluded.parent_slug)",
        &codes as &[&str],
        &names as &[&str],
        &parents as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes every port and region except these.
pub(crate) async fn delete_others(
    connection: &mut PgConnection,
    ports: &[Port],
    regions: &[RegionRow],
) -> Result<(), sqlx::Error> {
    let codes: Vec<&str> = ports.iter().map(|port| port.code.as_str()).collect();
    let slugs: Vec<&str> = regions.iter().map(|region| region.slug.as_str()).collect();
    sqlx::query!("delete from ports where code <> all ($1::text[])", &codes as &[&str])
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from regions where slug <> all ($1::text[])", &slugs as &[&str])
        .execute(connection)
        .await?;
    Ok(())
}
