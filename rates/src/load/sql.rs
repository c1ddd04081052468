//! The SQL of loading.

use sqlx::{PgConnection, postgres::PgCopyIn};

/// Whether the database holds any price.
pub(super) async fn has_prices(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from prices) as "any!""#).fetch_one(connection).await
}

/// Deletes all prices. TRUNCATE would be faster, but readers would wait until the transaction ends.
pub(super) async fn delete_prices(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from prices").execute(connection).await?;
    Ok(())
}

/// Takes rows in COPY's text format: `orig_code`, `dest_code`, `day`, `price`.
pub(super) async fn copy_in(
    connection: &mut PgConnection,
) -> Result<PgCopyIn<&mut PgConnection>, sqlx::Error> {
    connection.copy_in_raw("copy public.prices (orig_code, dest_code, day, price) from stdin").await
}

/// Updates the statistics, which a bulk load makes worthless, and lets index-only scans skip the table.
pub(super) async fn vacuum_analyze(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("vacuum analyze prices, daily_rates, changed_months, ports, regions, places, port_places")
        .execute(connection)
        .await?;
    Ok(())
}
