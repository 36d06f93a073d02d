//! Refusals that have other reasons than how much is asked: a server that refuses some calls at random.

/// How many times the share of such refusals is let pass, how many at once, how slowly the share is learnt.
const MARGIN: f64 = 2.0;
const MOST_AT_ONCE: f64 = 10.0;
const WEIGHT: f64 = 0.001;

/// The share of calls that is refused whatever is asked. None, until it was found that asking less does not help.
#[derive(Debug, Default)]
pub(super) struct Noise {
    share: f64,
    most: f64,
    /// How many refusals are to be expected now.
    expected: f64,
}

impl Noise {
    /// A call was answered, or refused.
    pub(super) fn count(&mut self, refused: bool) {
        self.expected = (self.expected + MARGIN * self.share).min(MOST_AT_ONCE);
        if self.share > 0.0 {
            self.share = (self.share + (f64::from(u8::from(refused)) - self.share) * WEIGHT).min(self.most);
        }
    }

    /// This share of calls was refused, however little was asked.
    pub(super) fn learn(&mut self, share: f64) {
        (self.share, self.most, self.expected) = (share, share, MOST_AT_ONCE);
    }

    /// Whether a refusal is one of those to be expected.
    pub(super) fn takes(&mut self) -> bool {
        let is_expected = self.expected >= 1.0;
        self.expected -= f64::from(u8::from(is_expected));
        is_expected
    }
}
