//! A course's mailbox: its commands one after the other, many per append.
//!
//! The task takes what waits, decides it as one chain on the cached state, appends it in one go and answers. Where the
//! guess was wrong, the append brings what was missing and the chain is decided again. The next chain is decided only
//! after the outcome of this one is known. The task ends when the mailbox is empty.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::cache::Known;
use super::decision::{Decided, Draft, Facts, Step};
use super::request::{Answer, Cause, Reply, Request};
use super::{CommandError, Inner, Place};
use crate::domain::course::CourseAction;
use crate::domain::{Course, CourseId, Enrollment, EnrollmentId, Seats, UserId};
use crate::event_store::{AppendError, Outcome, Proposal};

/// The most commands of one chain.
const MAX_CHAIN: usize = 256;
/// The most events of one chain, beyond its last command: an append must not take longer than it may.
const MAX_CHAIN_EVENTS: usize = 4_000;

/// A command on its way.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) cause: Cause,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Reply, CommandError>>,
    pub(super) _place: Place,
}

/// Serves a mailbox until it is empty.
pub(super) async fn serve(
    inner: Arc<Inner>,
    course: CourseId,
    mut mailbox: mpsc::UnboundedReceiver<Job>,
) {
    let mut desk =
        Desk { known: inner.cache.take(&course), inner, course, waiting: VecDeque::new() };
    loop {
        while let Ok(job) = mailbox.try_recv() {
            desk.waiting.push_back(job);
        }
        if desk.waiting.is_empty() {
            let mut mailboxes = desk.inner.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody can post while the map is locked.
            if mailbox.is_empty() {
                mailboxes.remove(&desk.course);
                if let Some(known) = desk.known.take() {
                    desk.inner.cache.put(desk.course.clone(), known);
                }
                return;
            }
            continue;
        }
        desk.work().await;
    }
}

struct Desk {
    inner: Arc<Inner>,
    course: CourseId,
    known: Option<Known>,
    waiting: VecDeque<Job>,
}

impl Desk {
    /// Answers all that waits.
    async fn work(&mut self) {
        let mut facts = Facts::default();
        let mut longest = MAX_CHAIN;
        while !self.waiting.is_empty() {
            self.drop_late();
            let Some(first) = self.waiting.front() else { return };
            let mut known = match self.known.take() {
                Some(known) => known,
                None => match self.load(&first.request).await {
                    Ok(known) => known,
                    Err(error) => {
                        self.fail_all(&error);
                        return;
                    }
                },
            };
            let mut chain = Chain::default();
            let outcome = match self.decide(&mut known, &facts, longest, &mut chain).await {
                Ok(()) => self.append(&mut chain).await,
                Err(error) => {
                    self.put_back(chain.jobs);
                    self.fail_all(&error);
                    return;
                }
            };
            match outcome {
                Ok(Outcome::Appended(appended)) => {
                    chain.keep_in(&mut known);
                    known.trim();
                    self.known = Some(known);
                    for ((job, decided), position) in
                        chain.jobs.into_iter().zip(chain.decided).zip(appended.positions)
                    {
                        let reply = match decided {
                            Decided::Now(state, part) => {
                                Ok(Reply::Now(Answer { position, state, part }))
                            }
                            Decided::Before(done) => Ok(Reply::Before(done)),
                            Decided::Refused(refusal) => Err(CommandError::Refused(refusal)),
                        };
                        answer(job, reply);
                    }
                }
                Ok(Outcome::Stale { actual, missing }) => {
                    self.put_back(chain.jobs);
                    match known.catch_up(&self.course, &actual, missing) {
                        Ok(true) => self.known = Some(known),
                        Ok(false) => {} // loaded afresh
                        Err(error) => self.fail_all(&error.into()),
                    }
                }
                Ok(Outcome::Keys(keys)) => {
                    self.put_back(chain.jobs);
                    self.known = Some(known);
                    facts.extend(keys.into_iter().map(|(space, key, held)| ((space, key), held)));
                }
                Err(AppendError::Rejected(_)) if chain.jobs.len() > 1 => {
                    // One of them cannot be stored: each for itself, so that it alone fails.
                    longest = 1;
                    self.put_back(chain.jobs);
                }
                Err(error) => {
                    let error = CommandError::from(error);
                    for job in chain.jobs {
                        answer(job, Err(error.again()));
                    }
                }
            }
        }
    }

    /// Decides what waits as one chain, looking up the enrollments that it needs.
    async fn decide(
        &mut self,
        known: &mut Known,
        facts: &Facts,
        longest: usize,
        chain: &mut Chain,
    ) -> Result<(), CommandError> {
        loop {
            let needed = chain.fill(&self.course, known, facts, longest, &mut self.waiting);
            if needed.is_empty() {
                return Ok(());
            }
            // Decided so far stands on nothing that this changes, but the draft borrows it: start again.
            self.put_back(std::mem::take(chain).jobs);
            self.look_up(known, needed).await?;
        }
    }

    /// The course as the log has it. A course that is only now created is guessed to be missing; the append knows.
    async fn load(&self, first: &Request) -> Result<Known, CommandError> {
        if let Request::Course(command) = first
            && let CourseAction::Create { .. } = command.action
        {
            return Ok(Known::default());
        }
        let id = self.course.as_str();
        let both = futures::future::try_join(
            self.inner.streams.load::<Course>(id),
            self.inner.streams.load::<Seats>(id),
        );
        let (course, seats) = self.inner.in_time(both).await?;
        Ok(Known { course: Arc::new(course), seats: Arc::new(seats), ..Known::default() })
    }

    async fn look_up(&self, known: &mut Known, students: Vec<UserId>) -> Result<(), CommandError> {
        let ids: Vec<EnrollmentId> =
            students.iter().map(|student| EnrollmentId::of(&self.course, student)).collect();
        let texts: Vec<&str> = ids.iter().map(EnrollmentId::as_str).collect();
        let found = self.inner.streams.load_many::<Enrollment>(&texts);
        let mut found = self.inner.in_time(found).await?;
        for (student, id) in students.into_iter().zip(&ids) {
            known.enrollments.insert(student, found.remove(id.as_str()).unwrap_or_default());
        }
        Ok(())
    }

    async fn append(&self, chain: &mut Chain) -> Result<Outcome, AppendError> {
        // The latest deadline of the chain: whoever gave up earlier has been told by their own clock.
        let deadline = chain.jobs.iter().map(|job| job.deadline).max();
        let proposals = std::mem::take(&mut chain.proposals);
        let deadline = deadline.unwrap_or_else(Instant::now);
        self.inner.appender.append(proposals, deadline).await
    }

    fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.waiting.push_front(job);
        }
    }

    fn drop_late(&mut self) {
        let now = Instant::now();
        for job in std::mem::take(&mut self.waiting) {
            if job.deadline <= now {
                answer(job, Err(CommandError::Timeout));
            } else {
                self.waiting.push_back(job);
            }
        }
    }

    fn fail_all(&mut self, error: &CommandError) {
        for job in std::mem::take(&mut self.waiting) {
            answer(job, Err(error.again()));
        }
    }
}

fn answer(job: Job, answer: Result<Reply, CommandError>) {
    let _ = job.reply.send(answer); // the caller may have given up
}

impl CommandError {
    /// The same error for another caller.
    fn again(&self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::Timeout => Self::Timeout,
            Self::Overloaded => Self::Overloaded,
            Self::Failed(source) => Self::Failed(source.clone()),
        }
    }
}

/// Commands that were decided together, with what they leave.
#[derive(Default)]
struct Chain {
    jobs: Vec<Job>,
    decided: Vec<Decided>,
    proposals: Vec<Proposal>,
    left: Option<Known>,
}

impl Chain {
    /// Decides from the front of `waiting`. Returns whose enrollments must be looked up before it can go on.
    fn fill(
        &mut self,
        course: &CourseId,
        known: &Known,
        facts: &Facts,
        longest: usize,
        waiting: &mut VecDeque<Job>,
    ) -> Vec<UserId> {
        let mut draft = Draft::new(course, known);
        let mut needed = Vec::new();
        let mut events = 0;
        while self.jobs.len() < longest
            && events < MAX_CHAIN_EVENTS
            && let Some(job) = waiting.pop_front()
        {
            match draft.step(&job.request, facts, &job.cause) {
                Step::Decided(proposal, decided) => {
                    events += proposal.events.len();
                    self.proposals.push(*proposal);
                    self.decided.push(decided);
                    self.jobs.push(job);
                }
                Step::Needs(students) => {
                    waiting.push_front(job);
                    needed = students;
                    needed.extend(others_needed(known, waiting));
                    needed.extend(next_promoted(known));
                    break;
                }
                Step::Later => {
                    waiting.push_front(job);
                    break;
                }
            }
        }
        self.left = Some(draft.into_states());
        needed
    }

    fn keep_in(&mut self, known: &mut Known) {
        if let Some(left) = self.left.take() {
            known.course = left.course;
            known.seats = left.seats;
            known.enrollments.extend(left.enrollments);
        }
    }
}

/// The students of the other waiting commands that are not known yet: one lookup for all of them.
fn others_needed(known: &Known, waiting: &VecDeque<Job>) -> Vec<UserId> {
    let students = waiting.iter().take(MAX_CHAIN).filter_map(|job| job.request.student());
    students.filter(|student| !known.enrollments.contains_key(*student)).cloned().collect()
}

/// Who would be promoted by the next withdrawals and is not known yet.
fn next_promoted(known: &Known) -> impl Iterator<Item = UserId> + '_ {
    let front = known.seats.waitlist.iter().take(MAX_CHAIN);
    front.filter(|student| !known.enrollments.contains_key(*student)).cloned()
}
