//! Read models rebuilt beside the live ones: nobody who reads notices, whatever happens on the way.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;
use std::time::Duration;

use course_service::app::service::Roles;
use course_service::event_store::log;
use course_service::projections::rebuild::{self, Options, Progress, RebuildError, Report};
use course_service::projections::{Checkpoints, ReadModel};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, waits_for_a_lock};
use crate::process::{Finished, Process, run};
use crate::projections::{
    TABLES, catch_up, model, models, position, quiet, run_all, tables, workload,
};
use crate::support::{self, eventually};

const AND_SWITCH: Options = Options { workers: 2, switch: true };
const WITHOUT_SWITCH: Options = Options { workers: 2, switch: false };

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::query(sql).execute(pool).await.unwrap();
}

/// What stands beside a live table, as `list` tells.
async fn beside(pool: &PgPool, name: &str) -> Option<(i32, String)> {
    let list = Checkpoints::new(pool.clone()).list().await.unwrap();
    let found = list.into_iter().find(|row| row.name == name).unwrap();
    found.beside.map(|beside| (beside.generation, beside.state))
}

async fn live_generation(pool: &PgPool, name: &str) -> i32 {
    let generation = "SELECT generation FROM projections WHERE name = $1";
    sqlx::query_scalar(generation).bind(name).fetch_one(pool).await.unwrap()
}

/// Waits until the live read models have seen the whole log.
async fn settled(pool: &PgPool) {
    let head = log::head(pool).await.unwrap().position;
    Checkpoints::new(pool.clone()).wait_for(head, Duration::from_mins(1)).await.unwrap();
}

/// Every live table is what a fresh fold gives.
async fn is_as_the_log_has_it(pool: &PgPool) {
    for table in rebuild::verify(pool, &models(), 2, &quiet()).await.unwrap() {
        assert_eq!(table.differences, [], "{}", table.name);
        assert_eq!(table.rows, table.expected_rows);
    }
}

/// Does `what` once the operation says that it does `when`.
fn once(when: &'static str, pool: &PgPool, what: &'static str) -> Report {
    let pool = pool.clone();
    Report::to(move |progress| {
        let now = match progress {
            Progress::Stage { doing, .. } | Progress::Doing(doing) => doing,
            Progress::Events(_) => "",
        };
        if now == when {
            block_in_place(|| Handle::current().block_on(execute(&pool, what)));
        }
    })
}

/// Reads all views in some order in one transaction; how many rows it saw of each.
async fn read_in_a_transaction(pool: &PgPool, order: usize, isolation: &str) -> Vec<(usize, i64)> {
    let mut transaction = pool.begin().await.unwrap();
    let begin = format!("SET TRANSACTION ISOLATION LEVEL {isolation}");
    sqlx::query(&begin).execute(&mut *transaction).await.unwrap();
    let mut seen = Vec::new();
    for place in 0..TABLES.len() {
        let table = if order.is_multiple_of(2) { place + order } else { order * 7 - place };
        let table = table % TABLES.len();
        let count = format!("SELECT count(*) FROM {}", TABLES[table]);
        let rows = sqlx::query_scalar(&count).fetch_one(&mut *transaction).await.unwrap();
        seen.push((table, rows));
        tokio::task::yield_now().await;
    }
    transaction.commit().await.unwrap();
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_in_whatever_order_see_no_error_and_no_gap_while_generations_come_and_go() {
    let url = support::database_url().await;
    let instance = Instance::on(&url).await;
    let pool = &instance.pool;
    workload(&instance, 0, 8).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    let least: Vec<i64> =
        TABLES.iter().map(|table| i64::try_from(live[table].len()).unwrap()).collect();
    let stop = CancellationToken::new();
    run_all(pool, &instance.head, &stop);
    let readers: Vec<_> = (0..6)
        .map(|reader: usize| {
            let (url, stop, least) = (url.clone(), stop.clone(), least.clone());
            tokio::spawn(async move {
                let pool = support::pool(&url).await;
                let mut reads = 0;
                while !stop.is_cancelled() {
                    let isolation = ["READ COMMITTED", "REPEATABLE READ"][reads % 2];
                    for (table, rows) in
                        read_in_a_transaction(&pool, reader + reads, isolation).await
                    {
                        // Modules and items may go; of the others each stays.
                        let may_go = ["modules_v2", "module_items_v2"].contains(&TABLES[table]);
                        let enough = if may_go { rows > 0 } else { rows >= least[table] };
                        assert!(enough, "{rows} rows of {} ({isolation})", TABLES[table]);
                    }
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let operations = async {
        for round in 0..3 {
            rebuild::rebuild(pool, &models(), AND_SWITCH, &quiet()).await.unwrap();
            rebuild::roll_back(pool, &models()).await.unwrap();
            if round == 1 {
                rebuild::switch(pool, &models()).await.unwrap();
            }
        }
    };
    futures::future::join(operations, workload(&instance, 8, 20)).await;
    settled(pool).await;
    stop.cancel();
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    is_as_the_log_has_it(pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_go_back_and_forth_without_losing_what_was_written_meanwhile() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 4).await;
    catch_up(pool).await;
    rebuild::rebuild(pool, &models(), WITHOUT_SWITCH, &quiet()).await.unwrap();
    assert_eq!(live_generation(pool, "users_v1").await, 1);
    assert_eq!(beside(pool, "users_v1").await, Some((2, "ready".to_owned())));
    let nothing = rebuild::roll_back(pool, &models()).await.unwrap_err();
    assert!(nothing.to_string().contains("no previous generation"), "{nothing}");

    workload(&instance, 4, 8).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    rebuild::switch(pool, &models()).await.unwrap();
    assert_eq!(tables(pool).await, live);
    assert_eq!(live_generation(pool, "users_v1").await, 2);
    assert_eq!(beside(pool, "users_v1").await, Some((1, "previous".to_owned())));

    workload(&instance, 8, 10).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    rebuild::roll_back(pool, &model("courses_v2")).await.unwrap();
    assert_eq!(tables(pool).await, live);
    assert_eq!(live_generation(pool, "courses_v2").await, 1);
    assert_eq!(live_generation(pool, "users_v1").await, 2);
    assert_eq!(beside(pool, "courses_v2").await, Some((2, "ready".to_owned())));
    is_as_the_log_has_it(pool).await;

    // The next rebuild takes the place of whatever stands beside.
    rebuild::rebuild(pool, &models(), AND_SWITCH, &quiet()).await.unwrap();
    assert_eq!(live_generation(pool, "courses_v2").await, 3);
    let tables_of_users: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relname ~ '^(users|courses)_v[0-9]+_[a-z0-9]+$' AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(tables_of_users, ["courses_v2_g1", "courses_v2_g3", "users_v1_g2", "users_v1_g3"]);
    assert_eq!(tables(pool).await, live);
}

/// How a table was made: columns, constraints, indexes, settings; its own name left out. (What must not be null is said
/// with the columns.)
async fn made(pool: &PgPool, table: &str) -> BTreeSet<String> {
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), attnum, attnotnull, attcollation::regcollation, \
                          attgenerated, attstorage, pg_get_expr(adbin, adrelid)) \
         FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
         WHERE attrelid = $1::regclass AND attnum > 0 \
         UNION ALL SELECT pg_get_indexdef(indexrelid) || indisprimary FROM pg_index WHERE indrelid = $1::regclass \
         UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint \
           WHERE conrelid = $1::regclass AND contype <> 'n' \
         UNION ALL SELECT concat_ws(' ', reloptions, relpersistence) FROM pg_class WHERE oid = $1::regclass",
    )
    .bind(table)
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter().map(|row| row.replace(table, "it")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_generation_is_made_as_the_old_one_was() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 1).await;
    catch_up(pool).await;
    rebuild::rebuild(pool, &models(), AND_SWITCH, &quiet()).await.unwrap();
    for table in TABLES {
        let (old, new) = (format!("{table}_g1"), format!("{table}_g2"));
        let expected = made(pool, &old).await;
        assert!(expected.len() > 6, "{expected:?}");
        assert_eq!(made(pool, &new).await, expected, "{table}");
        let analyzed: bool =
            sqlx::query_scalar("SELECT reltuples >= 0 FROM pg_class WHERE relname = $1")
                .bind(&new)
                .fetch_one(pool)
                .await
                .unwrap();
        assert!(analyzed, "the planner knows {new}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_differ_from_a_fresh_fold_are_never_read() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 2).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    let spoil = once("catching up", pool, "UPDATE courses_v2_g2 SET taken = taken + 1");
    let refused = rebuild::rebuild(pool, &models(), AND_SWITCH, &spoil).await;
    let Err(RebuildError::Differs(found)) = refused else { panic!("{refused:?}") };
    for table in &found {
        let expected = if table.name == "courses_v2" { 2 } else { 0 };
        assert_eq!(table.count, expected, "{table:?}");
        assert!(table.differences.iter().all(|row| row.what == "differs in taken"), "{table:?}");
    }
    assert_eq!(tables(pool).await, live);
    assert_eq!(live_generation(pool, "courses_v2").await, 1);
    assert_eq!(beside(pool, "courses_v2").await, Some((2, "refused".to_owned())));
    rebuild::switch(pool, &models()).await.unwrap_err();
    rebuild::rebuild(pool, &models(), AND_SWITCH, &quiet()).await.unwrap();
    assert_eq!(live_generation(pool, "courses_v2").await, 3);
    assert_eq!(tables(pool).await, live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_holds_on_to_a_view_is_waited_for_and_hurt_by_nothing() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 2).await;
    catch_up(pool).await;
    // It holds one view, and will want one that the switch takes before that.
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT * FROM users_v1").execute(&mut *reader).await.unwrap();
    let (built, mut is_built) = tokio::sync::watch::channel(false);
    let report = Report::to(move |progress| {
        if progress == Progress::Doing("switching") {
            built.send_replace(true);
        }
    });
    let all = models();
    let rebuilding = rebuild::rebuild(pool, &all, AND_SWITCH, &report);
    let reading = async {
        is_built.wait_for(|built| *built).await.unwrap();
        for table in TABLES.iter().cycle().take(60) {
            let sql = format!("SELECT count(*) FROM {table}");
            sqlx::query(&sql).execute(&mut *reader).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await; // what a reader does between its reads
        }
        assert_eq!(live_generation(pool, "users_v1").await, 1, "the switch waits");
        reader.commit().await.unwrap();
    };
    let (rebuilt, ()) = futures::future::join(rebuilding, reading).await;
    rebuilt.unwrap();
    assert_eq!(live_generation(pool, "users_v1").await, 2);
}

/// From now on whoever is done with this portion of a rebuild waits until `hold` ends.
async fn stop_before(pool: &PgPool, portion: i32) {
    execute(
        pool,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$",
    )
    .await;
    let trigger = format!(
        "CREATE TRIGGER hold BEFORE UPDATE ON projection_chunks FOR EACH ROW WHEN (OLD.number = {portion}) \
         EXECUTE FUNCTION hold()"
    );
    execute(pool, &trigger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time_rebuilds_and_after_a_kill_another_goes_on_where_it_was() {
    let url = support::database_url().await;
    let instance = Instance::on(&url).await;
    let pool = &instance.pool;
    workload(&instance, 0, 6).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    stop_before(pool, 2).await;
    let mut hold = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(4711)").execute(&mut *hold).await.unwrap();

    let environment = [("DATABASE_URL", url.as_str())];
    let all = ["projections", "rebuild", "all", "--workers", "1"];
    let first = Process::start(&all, &environment);
    waits_for_a_lock(pool, 1).await; // one portion is done, the other is not
    for arguments in
        [&["projections", "rebuild", "users_v1"], &["projections", "verify", "users_v1"]]
    {
        let refused = run(arguments, &environment).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let sentence = "error: users_v1 is being rebuilt by another process";
        assert!(refused.stderr.contains(sentence), "{refused:?}");
    }
    assert_eq!(tables(pool).await, live, "nothing half-built is read");

    drop(first); // kill -9
    hold.rollback().await.unwrap();
    workload(&instance, 6, 8).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    let second = run(&all, &environment).await;
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.stdout.contains("were done by an interrupted run"), "{second:?}");
    assert_eq!(tables(pool).await, live);
    assert_eq!(
        live_generation(pool, "users_v1").await,
        2,
        "the tables of the first were taken over"
    );
    is_as_the_log_has_it(pool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_lease_changes_nothing_more() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 2).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    for stage in ["filling", "catching up", "verifying", "switching"] {
        let take = once(
            stage,
            pool,
            "UPDATE projection_leases SET owner = gen_random_uuid(), beat_at = now() - interval '1 hour'",
        );
        let lost = rebuild::rebuild(pool, &models(), AND_SWITCH, &take).await.unwrap_err();
        assert!(matches!(lost, RebuildError::LeaseLost), "{stage}: {lost:?}");
        assert_eq!(live_generation(pool, "courses_v2").await, 1, "{stage}");
    }
    rebuild::rebuild(pool, &models(), AND_SWITCH, &quiet()).await.unwrap();
    assert_eq!(tables(pool).await, live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_some_of_an_interrupted_rebuild_are_built_into_is_not_taken_for_whole() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 3).await;
    catch_up(pool).await;
    let live = tables(pool).await;
    let take = "UPDATE projection_leases SET owner = gen_random_uuid(), beat_at = now() - interval '1 hour'";
    rebuild::rebuild(pool, &models(), AND_SWITCH, &once("filling", pool, take)).await.unwrap_err();
    let some: Vec<&'static ReadModel> = models().into_iter().take(2).collect();
    rebuild::rebuild(pool, &some, AND_SWITCH, &quiet()).await.unwrap();
    let rest: Vec<&'static ReadModel> = models().into_iter().skip(2).collect();
    rebuild::rebuild(pool, &rest, AND_SWITCH, &quiet()).await.unwrap();
    assert_eq!(tables(pool).await, live);
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM projection_chunks").fetch_one(pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_tables_are_verified_while_writes_go_on() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    let stop = CancellationToken::new();
    run_all(pool, &instance.head, &stop);
    let writing = workload(&instance, 0, 14);
    let verifying = async {
        let mut furthest = 0;
        for _ in 0..12 {
            for table in rebuild::verify(pool, &models(), 2, &quiet()).await.unwrap() {
                assert_eq!(table.differences, [], "{}", table.name);
                furthest = furthest.max(table.position);
            }
        }
        furthest
    };
    let ((), furthest) = futures::future::join(writing, verifying).await;
    assert!(furthest > 0);
    stop.cancel();
}

/// `projections verify` of these; what it printed.
async fn verify(url: &str, names: &[&str]) -> Finished {
    let arguments = [&["projections", "verify"], names].concat();
    run(&arguments, &[("DATABASE_URL", url)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_that_is_not_as_the_log_has_it_is_named() {
    let url = support::database_url().await;
    let instance = Instance::on(&url).await;
    let pool = &instance.pool;
    let course = instance.published("RUST-101", Some(3)).await;
    let taken = instance.published("GO-1", Some(3)).await;
    workload(&instance, 0, 2).await;
    catch_up(pool).await;
    let well = verify(&url, &["all"]).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    assert_eq!(well.stdout.matches("as the log has them").count(), 6, "{well:?}");

    let spoil = format!(
        "UPDATE courses_v2_g1 SET title = 'wrong', version = 0 WHERE course_id = '{course}'"
    );
    execute(pool, &spoil).await;
    execute(pool, &format!("DELETE FROM courses_v2_g1 WHERE course_id = '{taken}'")).await;
    let stray = "INSERT INTO enrollments_v3_g1 SELECT 'stray', 'c', student_id, status, version, requested_at, \
         enrolled_at, withdrawn_at, completed_at, waitlisted_from, completed, item_completed_at, results \
         FROM enrollments_v3_g1 LIMIT 1";
    execute(pool, stray).await;
    let at = position(pool, "courses_v2").await;
    let ill = verify(&url, &["all"]).await;
    assert_eq!(ill.code, Some(1), "{ill:?}");
    for line in [
        format!("courses_v2 {course} at position {at}: differs in search, title, version\n"),
        format!("courses_v2 {taken} at position {at}: the row is missing\n"),
        format!("enrollments_v3 stray at position {at}: the log has no such row\n"),
    ] {
        assert!(ill.stdout.contains(&line), "{line} is not in {ill:?}");
    }
    assert!(
        ill.stderr.contains("error: not as the log has it: courses_v2, enrollments_v3"),
        "{ill:?}"
    );
    assert_eq!(ill.stdout.matches("as the log has them").count(), 4, "{ill:?}");
    let json = verify(&url, &["courses_v2", "--json"]).await;
    let json: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["differing"]), (&json!("courses_v2"), &json!(2)));

    rebuild::rebuild(pool, &models(), AND_SWITCH, &quiet()).await.unwrap();
    assert_eq!(verify(&url, &["all"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_model_of_a_new_shape_is_read_once_it_has_been_built() {
    let url = support::database_url().await;
    let old = support::start(&[("DATABASE_URL", &url)], Roles::WITHOUT_KAFKA).await;
    let course = old.published_course("RUST-101", None).await;
    settled(&old.pool).await;
    // As a migration leaves a new shape: empty, at the beginning of the log.
    old.pool.close().await;
    let pool = support::pool(&url).await;
    let api = Roles { projections: false, ..Roles::WITHOUT_KAFKA };
    old.stop().await;
    let old = support::start(&[("DATABASE_URL", &url)], api).await; // it knows that its own are built
    let course_of = async |app: &support::TestApp| {
        let query = format!("{{ course(id: \"{course}\") {{ title modules {{ totalCount }} }} }}");
        app.graphql("", &query, json!({})).await
    };
    assert_eq!(course_of(&old).await["data"]["course"]["title"], "RUST-101");
    execute(
        &pool,
        "UPDATE projections SET position = 0, built_at = NULL WHERE name = 'modules_v2'",
    )
    .await;
    execute(&pool, "TRUNCATE modules_v2_g1").await;

    let new = support::started(&[("DATABASE_URL", &url)], api).await;
    eventually("the new release says what it waits for", async || {
        let ready = new.client().get(new.url("/readyz")).send().await.unwrap();
        let (status, report) = (ready.status(), ready.json::<Value>().await.unwrap());
        let part = &report["parts"]["readModels"];
        status == 503
            && part["status"] == "starting"
            && part["why"].as_str().unwrap().contains("modules_v2")
    })
    .await;
    let refused = course_of(&new).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "PROJECTION_LAGGING", "{refused}");
    assert_eq!(course_of(&old).await["data"]["course"]["title"], "RUST-101", "the old one serves");

    let projector = Roles { api: false, ..Roles::WITHOUT_KAFKA };
    let _projector = support::start(&[("DATABASE_URL", &url)], projector).await;
    eventually("the new release is ready", async || {
        new.client().get(new.url("/readyz")).send().await.unwrap().status().is_success()
    })
    .await;
    assert_eq!(course_of(&new).await["data"]["course"]["title"], "RUST-101");
}

#[tokio::test]
async fn a_shape_that_nobody_reads_any_more_goes_with_all_its_generations() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 1).await;
    catch_up(pool).await;
    rebuild::rebuild(pool, &model("users_v1"), AND_SWITCH, &quiet()).await.unwrap();
    execute(pool, "SELECT drop_read_model('users_v1')").await;
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'users\\_v1%') \
              + (SELECT count(*) FROM projections WHERE name = 'users_v1') \
              + (SELECT count(*) FROM projection_generations WHERE name = 'users_v1')",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
}
