//! Refusals that have other reasons than how much is asked: a server that refuses some calls at random.

/// How many times the share of such refusals is let pass, how many at once, how slowly the share is learnt.
const MARGIN: f64 = 2.0;
const MOST_AT_ONCE: f64 = 10.0;
const WEIGHT: f64 = 0.001;

/// Where so many times that share is refused over the last calls, and so much more, it is not that any more.
const TIMES: f64 = 1.5;
const MORE: f64 = 0.05;
const LATELY: f64 = 0.005;

/// The share of calls that is refused whatever is asked. None, until it was found that asking less does not help.
#[derive(Debug, Default)]
pub(super) struct Noise {
    share: f64,
    most: f64,
    /// How many refusals are to be expected now.
    expected: f64,
    /// The share of what was refused over the last calls.
    lately: f64,
}

impl Noise {
    /// A call was answered, or refused.
    pub(super) fn count(&mut self, refused: bool) {
        if self.share <= 0.0 {
            return;
        }
        let refused = f64::from(u8::from(refused));
        self.expected = (self.expected + MARGIN * self.share).min(MOST_AT_ONCE);
        self.share = (self.share + (refused - self.share) * WEIGHT).min(self.most);
        self.lately += (refused - self.lately) * LATELY;
        if self.lately > self.most * TIMES + MORE {
            *self = Self::default();
        }
    }

    /// This share of calls was refused, however little was asked.
    pub(super) fn learn(&mut self, share: f64) {
        *self = Self { share, most: share, expected: MOST_AT_ONCE, lately: share };
    }

    /// Whether a refusal is one of those to be expected.
    pub(super) fn takes(&mut self) -> bool {
        let is_expected = self.expected >= 1.0;
        self.expected -= f64::from(u8::from(is_expected));
        is_expected
    }
}
