use sqlx::PgPool;

use crate::support::Instance;

#[sqlx::test(migrator = "rates::database::MIGRATOR")]
async fn the_root_greets(pool: PgPool) {
    let answer = Instance::new(&pool).get("/").await.expect(200);
    assert_eq!(answer.text(), r#"{"message":"Hello world!"}"#);
}
