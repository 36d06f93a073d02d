//! A moment as people and programs read it.

use std::fmt;

use serde::{Serialize, Serializer};

/// A moment in milliseconds since 1970. Told as RFC 3339 in UTC: to people with seconds, to programs with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// `None` where no calendar reaches that far.
    fn timestamp(self) -> Option<jiff::Timestamp> {
        i64::try_from(self.0).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
    }
}

/// `2026-01-31T03:12:05Z`: cut, not rounded, as clocks show it.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timestamp() {
            Some(at) => write!(f, "{at:.0}"),
            None => f.write_str("unknown"),
        }
    }
}

/// `"2026-01-31T03:12:05.123Z"`.
impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.timestamp() {
            Some(at) => serializer.collect_str(&format_args!("{at:.3}")),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_milliseconds_and_people_seconds_both_in_utc() {
        let at = Moment(1_769_829_125_999);
        assert_eq!(at.to_string(), "2026-01-31T03:12:05Z");
        assert_eq!(serde_json::to_string(&at).unwrap(), r#""2026-01-31T03:12:05.999Z""#);
        assert_eq!(serde_json::to_string(&Moment(1_769_829_125_000)).unwrap(), r#""2026-01-31T03:12:05.000Z""#);
        assert_eq!(
            (Moment(u64::MAX).to_string(), serde_json::to_string(&Moment(u64::MAX)).unwrap()),
            ("unknown".into(), "null".into())
        );
    }
}
