//! Migrations interrupted at each statement that changes the schema, and at each row of the history.

use tern_common::store::postgres::{OpenError, migrate};
use tern_common::store::{PostgresConfig, PostgresStore};
use tern_testkit::postgres::Postgres;

use crate::{connect, user};

/// Ends the session that runs the statement numbered `cut.at`, as killing the server's process would.
const CUT: &str = "
    CREATE SCHEMA cut;
    CREATE SEQUENCE cut.steps;
    CREATE TABLE cut.at (step bigint);
    INSERT INTO cut.at VALUES (0);
    CREATE FUNCTION cut.step() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('cut.steps') = (SELECT step FROM cut.at) THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(10);
        END IF;
    END $$;
    CREATE FUNCTION cut.at_statement() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM cut.step();
    END $$;
    CREATE FUNCTION cut.at_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM cut.step();
        RETURN NULL;
    END $$;
    CREATE TABLE refinery_schema_history (
        version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255)
    );
    CREATE TRIGGER cut AFTER INSERT ON refinery_schema_history FOR EACH ROW EXECUTE FUNCTION cut.at_row();
    CREATE EVENT TRIGGER cut ON ddl_command_end EXECUTE FUNCTION cut.at_statement();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migration_interrupted_at_any_statement_is_completed_by_the_next() {
    let config = PostgresConfig::new(Postgres::shared().create_database());
    let other = connect(&config).await;
    other.batch_execute(CUT).await.unwrap();
    let recorded =
        async || -> i64 { other.query_one("SELECT count(*) FROM refinery_schema_history", &[]).await.unwrap().get(0) };
    let (mut cuts, mut step) = (0, 1);
    loop {
        let sql = format!("UPDATE cut.at SET step = {step}; SELECT setval('cut.steps', 1, false)");
        other.batch_execute(&sql).await.unwrap();
        let before = recorded().await;
        match migrate(&config).await {
            Ok(()) => break,
            // The statements before the migration create an extension.
            Err(OpenError::Unavailable(_) | OpenError::Migration(_)) => {}
            Err(error) => panic!("step {step}: {error}"),
        }
        cuts += 1;
        // A complete version is not run again, so the steps of the next one are counted from its beginning.
        step = if recorded().await > before { 1 } else { step + 1 };
    }
    assert!(cuts > 50, "{cuts}");
    let store = PostgresStore::open(&config).await.unwrap();
    user(&store, "ada").await;
}
