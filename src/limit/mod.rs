//! Waits until a call may be sent: the run's call permits, and the turnstiles of providers and models.
//!
//! Owns rates (requests and tokens), calls in flight, cooldowns and breakers, and the promise that a quota is used fully
//! and never overrun in any sliding window. Does not send, does not read replies, does not choose models: the caller
//! says how large a call is, what it used in the end, what the server told of its limits, and how the call ended.
//!
//! Within a model calls go first come, first served, and only the head of each line looks at the limits, so nobody
//! races. It goes to whichever member (replica or key) has room. A head waits for its own model and for its provider
//! without a call permit of the run: a model that must wait holds up no other.
//!
//! What a member lets through is the least of what is configured, what its replies tell (`learnt`), what its refusals
//! teach (`caution`), what its throughput shows (`adaptive`, where nothing else is known), and a slow start (`ramp`)
//! after it was away. Whoever waits with limited patience is told by the model's `outlook`.

mod adaptive;
mod admission;
mod breaker;
mod budget;
mod caution;
mod clock;
mod cooldown;
mod day;
mod doubt;
mod ends;
mod forecast;
mod gate;
mod learnt;
mod member;
mod model;
mod noise;
mod outlook;
mod pace;
mod peak;
mod provider;
mod ramp;
mod settings;
mod slots;
mod view;
mod window;

pub use admission::Admission;
pub use breaker::Sickness;
pub use ends::{CallEnd, Refusal, Standing};
pub use model::ModelGate;
pub use provider::ProviderGate;
pub use settings::{Limits, Member, Need, ProviderSetup, Used};
pub use slots::{CallPermit, Slots};
pub use view::{GateState, GateView};

#[cfg(test)]
mod tests;
