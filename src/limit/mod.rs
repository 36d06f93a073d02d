//! Waits until a call may be sent: the run's call permits, and the turnstiles of providers and models.
//!
//! Owns rates (requests and tokens a minute), calls in flight and cooldowns, and the promise that a quota is used fully
//! and never overrun in any sliding window. Does not send, does not read replies, does not choose models: the caller
//! says how large a call is, what it used in the end, and what the server said about waiting.
//!
//! Within a model calls go first come, first served, and only the head of each line looks at the limits, so nobody
//! races. A head waits for its own model and for its provider without a call permit of the run: a model that must wait
//! holds up no other.

#[cfg_attr(not(test), expect(dead_code, reason = "not asked yet"))]
mod adaptive;
#[cfg_attr(not(test), expect(dead_code, reason = "not asked yet"))]
mod breaker;
mod budget;
mod clock;
mod forecast;
mod gate;
mod model;
mod pace;
#[cfg_attr(not(test), expect(dead_code, reason = "not asked yet"))]
mod ramp;
mod settings;
mod slots;
mod window;

pub use model::{Admission, Closed, GateState, GateView, ModelGate, ProviderGate};
pub use settings::Limits;
pub use slots::{CallPermit, Slots};

#[cfg(test)]
mod tests;
