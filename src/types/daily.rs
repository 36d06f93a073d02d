//! Requests by the day on which they were sent, for limits that hold for a day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LogLine;

/// Providers count days by UTC.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Before the last day: calls of a killed invocation may be told late.
const KEPT_DAYS: u64 = 1;

/// How many requests went to each provider and model on the last days, 429s and calls of unknown end included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DailyRequests(BTreeMap<u64, BTreeMap<String, BTreeMap<String, u64>>>);

impl DailyRequests {
    /// Counts a line's request, if it tells of one.
    pub fn count(&mut self, line: &LogLine) {
        match line {
            LogLine::Attempt(line) => self.add(line.at, &line.provider, &line.model, 1),
            LogLine::Outcome(line) if line.call != 0 => self.add(line.at, &line.provider, &line.model, 1),
            LogLine::Carried(carried) => self.merge(&carried.requests),
            LogLine::Outcome(_) | LogLine::Run(_) | LogLine::RunEnd(_) => {}
        }
    }

    /// How many went on the day of this time, in milliseconds since 1970, to a provider: to one model of it, or to all.
    #[must_use]
    pub fn on_day_of(&self, at_ms: u64, provider: &str, model: Option<&str>) -> u64 {
        let models = self.0.get(&(at_ms / DAY_MS)).and_then(|providers| providers.get(provider));
        let Some(models) = models else { return 0 };
        match model {
            Some(model) => models.get(model).copied().unwrap_or(0),
            None => models.values().sum(),
        }
    }

    fn merge(&mut self, other: &Self) {
        for (day, providers) in &other.0 {
            for (provider, models) in providers {
                for (model, requests) in models {
                    self.add(day * DAY_MS, provider, model, *requests);
                }
            }
        }
    }

    fn add(&mut self, at_ms: u64, provider: &str, model: &str, requests: u64) {
        let day = at_ms / DAY_MS;
        if !self.0.contains_key(&day) {
            self.0 = self.0.split_off(&day.saturating_sub(KEPT_DAYS));
        }
        let models = self.0.entry(day).or_default();
        // Names are copied once a day, not for each request.
        if let Some(count) = models.get_mut(provider).and_then(|models| models.get_mut(model)) {
            *count += requests;
        } else {
            models.entry(provider.to_owned()).or_default().insert(model.to_owned(), requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_on_their_own_day_and_to_their_own_model() {
        let mut requests = DailyRequests::default();
        for (day, model) in [(3, "a"), (3, "b"), (4, "a"), (4, "a"), (3, "a")] {
            requests.add(day * DAY_MS + 5, "p", model, 1);
        }
        let on = |day: u64, model| requests.on_day_of(day * DAY_MS + DAY_MS - 1, "p", model);
        assert_eq!([on(3, Some("a")), on(3, Some("b")), on(3, None), on(4, None), on(5, None)], [2, 1, 3, 2, 0]);
        assert_eq!(requests.on_day_of(4 * DAY_MS, "q", None), 0);
        let read: DailyRequests = serde_json::from_str(&serde_json::to_string(&requests).unwrap()).unwrap();
        assert_eq!(read, requests);
    }

    #[test]
    fn days_that_are_over_are_forgotten() {
        let mut requests = DailyRequests::default();
        (0..400).for_each(|day| requests.add(day * DAY_MS, "p", "m", 1));
        assert_eq!(requests.0.len(), 2);
    }
}
