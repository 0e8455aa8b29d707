//! What `serve` costs while nobody asks anything: all roles, with its database and its broker up.

use std::time::Duration;

use tokio::time::sleep;

use crate::figures::{Table, median};
use crate::process::{Broker, Service};
use crate::server::Server;

const STARTS: usize = 5;
/// How long it idles before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let broker = Broker::start().await?;
    let service = Service::on(&server.migrated("serve").await?, &broker, "serve").await?;
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    let mut first = 0.0;
    for start in 0..=STARTS {
        let mut running = service.start().await?;
        service.all_up(&mut running).await?; // the first time it creates the topics
        if start == 0 {
            first = running.took.as_secs_f64();
        } else {
            starts.push(running.took.as_secs_f64());
        }
        if start + 1 >= STARTS {
            sleep(IDLE).await;
            memory.push(running.memory("VmRSS")?);
        }
        running.stop().await?;
    }
    let note = format!("the first start, which creates the topics: {first:.2} s");
    table.limit("serve, all roles: start to /readyz", median(&starts), &note, 1.0, "s");
    let note = "VmRSS of the release binary, idle for 3 s";
    table.limit("serve, all roles: memory", median(&memory), note, 64.0, "MiB");
    service.shutdown().await;
    broker.stop().await?;
    server.drop("serve").await
}
