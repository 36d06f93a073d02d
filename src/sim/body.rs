//! Bodies on their way over HTTP: whole, trickling or cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::core::Call;

/// Into how many pieces a trickling body is cut.
const PIECES: usize = 10;

/// A body. The content length that it announces is always that of the whole.
pub(super) enum SimBody {
    /// Goes out at once; nothing when it has.
    Whole(Option<Bytes>),
    Paced(Box<Paced>),
}

/// A body that takes its time, or never ends.
pub(super) struct Paced {
    rest: Bytes,
    /// The call lasts as long as its body.
    call: Option<Call>,
    pace: Pace,
}

enum Pace {
    Slow { piece: usize, every: Duration, pause: Pin<Box<Sleep>> },
    Cut { half: usize, flushed: bool },
}

impl SimBody {
    /// A body that trickles out over the time that the settings give.
    pub(super) fn slow(body: Bytes, call: Call) -> Self {
        let piece = body.len().div_ceil(PIECES).max(1);
        let every = call.slowness() / u32::try_from(PIECES).unwrap_or(1);
        let pause = Box::pin(tokio::time::sleep(every));
        Self::Paced(Box::new(Paced { rest: body, call: Some(call), pace: Pace::Slow { piece, every, pause } }))
    }

    /// A body that breaks off half-way.
    pub(super) fn cut(body: Bytes, call: Call) -> Self {
        let half = body.len() / 2;
        Self::Paced(Box::new(Paced { rest: body, call: Some(call), pace: Pace::Cut { half, flushed: false } }))
    }
}

impl Paced {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match &mut self.pace {
            Pace::Slow { piece, every, pause } => {
                if self.rest.is_empty() {
                    return Poll::Ready(None);
                }
                std::task::ready!(pause.as_mut().poll(context));
                let deadline = pause.deadline() + *every;
                pause.as_mut().reset(deadline);
                let next = self.rest.split_to((*piece).min(self.rest.len()));
                if self.rest.is_empty()
                    && let Some(call) = self.call.take()
                {
                    call.complete();
                }
                Poll::Ready(Some(Ok(next)))
            }
            Pace::Cut { half, .. } if *half > 0 => {
                let half = std::mem::take(half);
                Poll::Ready(Some(Ok(self.rest.split_to(half))))
            }
            Pace::Cut { flushed, .. } => {
                // The first half leaves only when the body has nothing ready.
                if !std::mem::replace(flushed, true) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset))))
            }
        }
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Paced(paced) => paced.poll(context).map(|next| next.map(|next| next.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_none(),
            Self::Paced(paced) => paced.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match self {
            Self::Whole(body) => body.as_ref().map_or(0, Bytes::len),
            Self::Paced(paced) => paced.rest.len(),
        };
        SizeHint::with_exact(rest as u64)
    }
}
