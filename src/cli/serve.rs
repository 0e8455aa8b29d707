//! `course-service serve`.

use clap::ValueEnum;

use super::asked_to_end;
use crate::app::config::Config;
use crate::app::service::{self, Options, Roles};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What this process does; by default everything.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES")]
    role: Vec<Role>,
    /// Refuse to start when migrations are pending, instead of applying them.
    #[arg(long)]
    no_migrate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Serves GraphQL.
    Api,
    /// Drives the read models.
    Projections,
    /// Publishes to Kafka.
    Bridge,
    /// Takes in what comes from Kafka.
    Inbound,
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let has = |role| self.role.is_empty() || self.role.contains(&role);
        let roles = Roles {
            api: has(Role::Api),
            projections: has(Role::Projections),
            bridge: has(Role::Bridge),
            inbound: has(Role::Inbound),
        };
        let asked = asked_to_end();
        let mut running =
            service::start(config, Options { roles, migrate: !self.no_migrate }).await?;
        tokio::select! {
            () = asked => {
                tracing::info!("asked to stop; finishing what is under way");
                running.stop().await
            }
            ended = running.ended() => ended,
        }
    }
}
