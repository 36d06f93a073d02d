//! The right to send one call, and what is told at its end.

use std::sync::Arc;

use tokio::time::Instant;

use super::gate::Ticket;
use super::member::MemberTicket;
use super::settings::Amounts;
use super::{CallEnd, CallPermit, ModelGate, Need, Standing, Used};
use crate::types::RateReport;

/// What a call has taken, and from whom.
#[derive(Debug)]
pub(super) struct Tickets {
    pub need: Need,
    pub member: usize,
    pub of_member: MemberTicket,
    pub of_provider: Ticket,
}

/// The right to send one call now. Dropping it frees the permits of the run, the model and the provider.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<ModelGate>,
    /// Apart, as an admission goes through many hands until its call's line is written.
    tickets: Box<Tickets>,
    permit: CallPermit,
    ended: bool,
}

impl Admission {
    pub(super) fn new(gate: Arc<ModelGate>, tickets: Tickets, permit: CallPermit) -> Self {
        Self { gate, tickets: Box::new(tickets), permit, ended: false }
    }

    /// Which member the call goes to.
    #[must_use]
    pub fn member(&self) -> usize {
        self.tickets.member
    }

    /// The call permit's slot number.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.permit.slot()
    }

    /// Whether it is sent to see if the member is up again.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.tickets.of_member.pass.probe
    }

    /// The tokens that the call used in truth: what was reserved beyond is given back, what is missing is owed, and
    /// later estimates are read in the light of it. Only the first figure counts. A call that ends without one counts as
    /// used what was reserved, and teaches nothing: an answer that tells no usage is settled with the estimate.
    pub fn settle(&mut self, used: Used) {
        let (provider, counted) = {
            let mut state = self.gate.lock();
            let member = &mut state.members[self.tickets.member];
            let counted = Amounts::counted(self.tickets.need, used, member.counting());
            member.settle(&mut self.tickets.of_member, counted);
            (Arc::clone(&member.provider), counted)
        };
        provider.settle(&mut self.tickets.of_provider, counted);
    }

    /// The call is not sent: limits count it no more.
    pub fn give_back(mut self) {
        let provider = {
            let mut state = self.gate.lock();
            let member = &mut state.members[self.tickets.member];
            member.give_back(&mut self.tickets.of_member);
            Arc::clone(&member.provider)
        };
        provider.give_back(&mut self.tickets.of_provider);
    }

    /// What the reply told of limits; told before how the call ended.
    pub fn learn(&self, report: &RateReport) {
        if report.is_empty() {
            return;
        }
        self.gate.lock().members[self.tickets.member].learn(Instant::now(), report, &self.tickets.of_member);
        self.gate.news();
    }

    /// How the call ended, told once before it is dropped; dropped without, it was cut. Returns whether the member's
    /// breaker is open now.
    pub fn ended(&mut self, end: CallEnd) -> Standing {
        let standing = {
            let mut state = self.gate.lock();
            let member = &mut state.members[self.tickets.member];
            if !self.ended {
                member.ended(Instant::now(), end, &self.tickets.of_member);
            }
            member.standing()
        };
        self.ended = true;
        self.gate.news();
        standing
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.ended {
            self.ended(CallEnd::Cut);
        }
        let provider = {
            let mut state = self.gate.lock();
            let member = &mut state.members[self.tickets.member];
            member.left(&self.tickets.of_member);
            Arc::clone(&member.provider)
        };
        // The provider's news reach this model's head too.
        provider.end(&self.tickets.of_provider);
    }
}
