//! How fast commands and queries are, as ratios to floors that are measured in the same run on the same Postgres.
//!
//! `cargo bench` starts a Postgres (with fsync) and a Kafka of its own, or uses those of `DATABASE_URL` and
//! `KAFKA_BROKER`; `cargo bench -- hot-course` runs one part. Times differ from machine to machine and are never
//! asserted; what the commands left in the log is.
//!
//! ## Decision
//! Every round measures each competitor once, in turn, and the table shows the median of the rounds' ratios: a noisy
//! neighbour then slows both sides of a ratio. No benchmark framework: none interleaves what it compares.

mod api;
mod big_log;
mod bridge;
mod create;
mod figures;
mod hot_course;
mod inbound;
mod lag;
mod mix;
mod ours;
mod pages;
mod process;
mod reads;
mod rebuild;
mod serve;
mod server;
mod sql;
mod through_http;
mod vanilla;

use std::time::Instant;

use anyhow::bail;

use crate::figures::Table;
use crate::server::Server;

const PARTS: [&str; 11] = [
    "create",
    "hot-course",
    "big-log",
    "reads",
    "pages",
    "http",
    "inbound",
    "bridge",
    "rebuild",
    "lag",
    "serve",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // As other harnesses do: `cargo test --benches` only shows that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing measured: run `cargo bench`");
        return Ok(());
    }
    let mut wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| !PARTS.contains(&name.as_str())) {
        bail!("there is no part `{unknown}`; the parts are {}", PARTS.join(", "));
    }
    let command =
        ["cargo bench", &wanted.join(" ")].join(if wanted.is_empty() { "" } else { " -- " });
    if wanted.is_empty() {
        wanted = PARTS.map(str::to_owned).to_vec();
    }
    let started = Instant::now();
    let server = Server::start().await?;
    let mut table = Table::default();
    for part in &wanted {
        eprintln!("{part}");
        match part.as_str() {
            "create" => create::run(&server, &mut table).await?,
            "hot-course" => hot_course::run(&server, &mut table).await?,
            "big-log" => big_log::run(&server, &mut table).await?,
            "reads" => reads::run(&server, &mut table).await?,
            "pages" => pages::run(&server, &mut table).await?,
            "inbound" => inbound::run(&server, &mut table).await?,
            "bridge" => bridge::run(&server, &mut table).await?,
            "rebuild" => rebuild::run(&server, &mut table).await?,
            "lag" => lag::run(&server, &mut table).await?,
            "http" => through_http::run(&server, &mut table).await?,
            _ => serve::run(&server, &mut table).await?,
        }
    }
    println!("{}", table.render());
    println!("{}", server.describe().await?);
    println!("Again: `{command}` (took {:.0} s)", started.elapsed().as_secs_f64());
    server.stop().await
}
