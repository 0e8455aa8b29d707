//! `createCourse` through HTTP and GraphQL beside the command path alone, 64 in flight, on databases of their own.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::api::Api;
use crate::figures::{Rate, Rates, Table, for_a_while};
use crate::ours::Ours;
use crate::server::Server;

const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let api = Arc::new(Api::start(&server.migrated("http").await?, 16).await?);
    let ours = Ours::open(&server.migrated("alone").await?)?;
    through(&api, WARM_UP).await?;
    alone(&ours, WARM_UP).await?;
    let (mut a, mut b) = (Rates::default(), Rates::default());
    for round in 1..=ROUNDS {
        a.push(through(&api, TIME).await?);
        b.push(alone(&ours, TIME).await?);
        eprintln!("  round {round}: {:.0}/s, {:.0}/s", a.last(), b.last());
    }
    let what = "createCourse through HTTP and GraphQL, read models following";
    table.beside(what, &a, ("the command path alone", &b));
    if let Some(api) = Arc::into_inner(api) {
        api.stop().await?;
    }
    ours.pool.close().await;
    server.drop("http").await?;
    server.drop("alone").await
}

async fn through(api: &Arc<Api>, time: Duration) -> anyhow::Result<Rate> {
    let api = api.clone();
    let step = move |_, _| {
        let api = api.clone();
        async move { api.create(&Uuid::new_v4().to_string()).await.map(drop) }
    };
    for_a_while(IN_FLIGHT, time, step).await
}

async fn alone(ours: &Ours, time: Duration) -> anyhow::Result<Rate> {
    let ours = ours.clone();
    let step = move |_, _| {
        let ours = ours.clone();
        async move { ours.create(None, false).await.map(drop) }
    };
    for_a_while(IN_FLIGHT, time, step).await
}
