//! cqrs-es and postgres-es as their documentation shows them: the tables of their `init.sql`, their pool, their
//! framework.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent};
use postgres_es::{PostgresCqrs, default_postgress_pool, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::{Executor as _, PgPool};

use crate::server::Server;

/// The table of events of postgres-es 0.5.
pub(crate) const EVENTS: &str = "CREATE TABLE events (
    aggregate_type text                         NOT NULL,
    aggregate_id   text                         NOT NULL,
    sequence       bigint CHECK (sequence >= 0) NOT NULL,
    event_type     text                         NOT NULL,
    event_version  text                         NOT NULL,
    payload        json                         NOT NULL,
    metadata       json                         NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

pub(crate) async fn framework<A: Aggregate<Services = ()>>(
    server: &Server,
    name: &str,
) -> anyhow::Result<(PostgresCqrs<A>, PgPool)> {
    let pool = default_postgress_pool(&server.empty(name).await?).await;
    pool.execute(EVENTS).await?;
    Ok((postgres_cqrs(pool.clone(), Vec::new(), ()), pool))
}

/// The aggregate of their guide.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    open: bool,
}

#[derive(Debug)]
pub(crate) struct OpenAccount {
    pub(crate) account_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    AccountOpened { account_id: String },
}

#[derive(Debug, thiserror::Error)]
#[error("the account is open already")]
pub(crate) struct Opened;

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        "AccountOpened".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = OpenAccount;
    type Event = AccountEvent;
    type Error = Opened;
    type Services = ();

    async fn handle(
        &mut self,
        OpenAccount { account_id }: OpenAccount,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Opened> {
        if self.open {
            return Err(Opened);
        }
        sink.write(AccountEvent::AccountOpened { account_id }, self).await;
        Ok(())
    }

    fn apply(&mut self, _: AccountEvent) {
        self.open = true;
    }
}

/// One course as one aggregate, seats and all.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Classroom {
    taken: Vec<String>,
    waitlist: Vec<String>,
}

/// The seats of every classroom.
pub(crate) const SEATS: usize = 500;

#[derive(Debug)]
pub(crate) struct TakeSeat {
    pub(crate) student: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum ClassroomEvent {
    SeatTaken { student: String },
    SeatWaitlisted { student: String },
}

impl DomainEvent for ClassroomEvent {
    fn event_type(&self) -> String {
        match self {
            Self::SeatTaken { .. } => "SeatTaken".to_owned(),
            Self::SeatWaitlisted { .. } => "SeatWaitlisted".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Classroom {
    const TYPE: &'static str = "classroom";
    type Command = TakeSeat;
    type Event = ClassroomEvent;
    type Error = Opened;
    type Services = ();

    async fn handle(
        &mut self,
        TakeSeat { student }: TakeSeat,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Opened> {
        let event = if self.taken.len() < SEATS {
            ClassroomEvent::SeatTaken { student }
        } else {
            ClassroomEvent::SeatWaitlisted { student }
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: ClassroomEvent) {
        match event {
            ClassroomEvent::SeatTaken { student } => self.taken.push(student),
            ClassroomEvent::SeatWaitlisted { student } => self.waitlist.push(student),
        }
    }
}

/// Takes a seat; after a lost race, again.
pub(crate) async fn take_seat(
    cqrs: &PostgresCqrs<Classroom>,
    classroom: &str,
    student: &str,
) -> anyhow::Result<()> {
    loop {
        match cqrs.execute(classroom, TakeSeat { student: student.to_owned() }).await {
            Ok(()) => return Ok(()),
            Err(AggregateError::AggregateConflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
