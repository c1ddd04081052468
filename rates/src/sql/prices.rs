//! Prices as they come in.

use sqlx::{PgConnection, postgres::PgCopyIn};

/// Whether there is any price.
pub(crate) async fn any(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from prices) as "any!""#).fetch_one(connection).await
}

/// Removes all prices. DELETE, since TRUNCATE would lock readers out until the transaction ends.
pub(crate) async fn delete_all(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from prices").execute(connection).await?;
    Ok(())
}

/// Takes rows in COPY's text format: `orig_code`, `dest_code`, `day`, `price`.
pub(crate) async fn copy_in(
    connection: &mut PgConnection,
) -> Result<PgCopyIn<&mut PgConnection>, sqlx::Error> {
    connection.copy_in_raw("copy public.prices (orig_code, dest_code, day, price) from stdin").await
}

/// Fresh statistics, which a bulk load leaves behind; the vacuum also lets index-only scans skip the table.
pub(crate) async fn analyze(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("vacuum analyze prices, daily_rates, ports, regions, port_places")
        .execute(connection)
        .await?;
    Ok(())
}
