//! What a model costs, and what a call costs by it: exact to the picodollar, and unknown where one rate that it takes is.
//!
//! List prices are USD per million tokens, so a price times tokens is millionths of the same amount: sums are exact, and
//! what is left of a picodollar at the end of a call is rounded up.

use super::{Billing, Money, Service, Usage};

const MILLION: u128 = 1_000_000;

/// USD per million tokens, by what becomes of them. `None`: not known; what is no dearer than plain input or output stands
/// here at their rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input tokens that are neither read from the prompt cache nor written to it.
    pub input: Option<Money>,
    /// Input tokens that the provider read from its prompt cache.
    pub cached_input: Option<Money>,
    /// Input tokens that it wrote to the cache.
    pub cache_write: Option<Money>,
    /// Input tokens that it wrote to the cache for an hour.
    pub cache_write_1h: Option<Money>,
    /// Output tokens but for reasoning.
    pub output: Option<Money>,
    /// Output tokens spent on reasoning.
    pub reasoning: Option<Money>,
}

impl Rates {
    /// All input at one rate but for what is read from the cache, all output at another.
    #[must_use]
    pub const fn flat(input: Money, cached_input: Money, output: Money) -> Self {
        Self {
            input: Some(input),
            cached_input: Some(cached_input),
            cache_write: Some(input),
            cache_write_1h: Some(input),
            output: Some(output),
            reasoning: Some(output),
        }
    }

    /// What tokens cost, in millionths of picodollars.
    fn of(&self, usage: &Usage) -> Option<u128> {
        let written = usage.cache_write_tokens.min(usage.input_tokens);
        let hour = usage.cache_write_1h_tokens.min(written);
        let cached = usage.cached_input_tokens.min(usage.input_tokens - written);
        let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
        let parts = [
            (usage.input_tokens - written - cached, self.input),
            (cached, self.cached_input),
            (written - hour, self.cache_write),
            (hour, self.cache_write_1h),
            (usage.output_tokens - reasoning, self.output),
            (reasoning, self.reasoning),
        ];
        let mut taken = parts.into_iter().filter(|(tokens, _)| *tokens > 0);
        taken.try_fold(0_u128, |sum, (tokens, rate)| Some(sum.saturating_add(times(tokens, rate?))))
    }

    /// The most that so many tokens cost, whatever becomes of them, as far as rates are known.
    fn at_most(&self, input_tokens: u64, output_tokens: u64) -> u128 {
        let input = [self.input, self.cached_input, self.cache_write, self.cache_write_1h].into_iter().flatten().max();
        let output = self.output.max(self.reasoning);
        times(input_tokens, input.unwrap_or_default()).saturating_add(times(output_tokens, output.unwrap_or_default()))
    }
}

fn times(tokens: u64, rate: Money) -> u128 {
    u128::from(tokens).saturating_mul(u128::from(rate.pico()))
}

/// The rates of requests of some size: they are those of the whole request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Band {
    /// Requests with more input tokens than this.
    pub above: u64,
    /// As usual.
    pub standard: Rates,
    /// In the provider's slow and cheap mode.
    pub flex: Option<Rates>,
    /// In its fast and dear mode.
    pub priority: Option<Rates>,
    /// In its batches.
    pub batch: Option<Rates>,
}

impl Band {
    fn rates(&self, service: Service) -> Option<&Rates> {
        match service {
            Service::Standard => Some(&self.standard),
            Service::Flex => self.flex.as_ref(),
            Service::Priority => self.priority.as_ref(),
            Service::Batch => self.batch.as_ref(),
            Service::Other => None,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Rates> {
        std::iter::once(&self.standard).chain(&self.flex).chain(&self.priority).chain(&self.batch)
    }
}

/// Hours in which a model costs less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffPeak {
    /// What it costs then.
    pub rates: Rates,
    /// When, in UTC.
    pub windows: Vec<Window>,
}

/// Some hours on some days of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    pub days: u8,
    /// Its first minute of the day.
    pub from: u32,
    /// The minute of the day in which it is over; at most 1440.
    pub to: u32,
}

impl Window {
    /// Whether a moment lies in it, in milliseconds since 1970.
    fn holds(&self, at_ms: u64) -> bool {
        let minutes = at_ms / 60_000;
        // 1970 began on a Thursday.
        let day = (minutes / 1440 + 3) % 7;
        let minute = minutes % 1440;
        self.days & (1 << day) != 0 && (u64::from(self.from)..u64::from(self.to)).contains(&minute)
    }
}

/// What multiplies the cost of a whole call, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplift {
    /// When it counts.
    pub when: UpliftWhen,
    /// In millionths: 1.1 times is `1_100_000`.
    pub millionths: u64,
}

/// When an uplift counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpliftWhen {
    /// For all calls of the job: by the address they go to.
    Always,
    /// Where the reply says that it came from this region.
    Region(Box<str>),
    /// Where the reply says that it was made at more than the usual speed.
    Fast,
}

impl Uplift {
    fn counts(&self, billing: &Billing) -> bool {
        match &self.when {
            UpliftWhen::Always => true,
            UpliftWhen::Region(region) => billing.region.as_deref() == Some(region),
            UpliftWhen::Fast => billing.fast,
        }
    }
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    base: Band,
    larger: Vec<Band>,
    /// It is the user's own word, and holds whatever a reply says of the way in which it was made.
    given: bool,
    /// Hours in which it costs less.
    pub off_peak: Option<OffPeak>,
    /// What multiplies it.
    pub uplifts: Vec<Uplift>,
    /// Dated versions of the model that may serve a call to it, by name, where they cost otherwise.
    pub versions: Vec<(Box<str>, Self)>,
}

impl Price {
    /// A model that costs nothing, such as one on a server of one's own.
    pub const FREE: Self = Self::flat(Money::ZERO, Money::ZERO, Money::ZERO);

    /// A price as a user gives it, in USD per million tokens: it holds for all that a call can be.
    #[must_use]
    pub const fn flat(input: Money, cached_input: Money, output: Money) -> Self {
        let standard = Rates::flat(input, cached_input, output);
        let base = Band { above: 0, standard, flex: None, priority: None, batch: None };
        Self { base, larger: Vec::new(), given: true, off_peak: None, uplifts: Vec::new(), versions: Vec::new() }
    }

    /// A price as a table lists it: requests of all sizes cost as the first band, but those above a larger one's size as
    /// that one.
    #[must_use]
    pub fn listed(base: Band, mut larger: Vec<Band>) -> Self {
        larger.sort_by_key(|band| band.above);
        Self { base, larger, given: false, off_peak: None, uplifts: Vec::new(), versions: Vec::new() }
    }

    /// Whether it costs nothing, whatever a call is.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let free = |rates: &Rates| *rates == Self::FREE.base.standard;
        self.bands().all(|band| band.all().all(free)) && self.versions.iter().all(|(_, version)| version.is_free())
    }

    /// The bands by size, the smallest first: at least one.
    #[must_use]
    pub fn bands(&self) -> impl DoubleEndedIterator<Item = &Band> {
        std::iter::once(&self.base).chain(&self.larger)
    }

    /// What a usual call with this usage costs at the list price of its size; `None` where a rate is not known.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<Money> {
        self.band(usage.input_tokens).standard.of(usage).map(|parts| whole(parts, 0))
    }

    /// What a call cost that ended at this time (in milliseconds since 1970), by its usage and what its reply tells;
    /// `None` where that is not known.
    #[must_use]
    pub fn bill(&self, usage: &Usage, billing: &Billing, at_ms: u64) -> Option<Money> {
        let price = self.version(billing.served.as_deref());
        if billing.audio && !price.given {
            return None;
        }
        let parts = price.rates(usage.input_tokens, billing.service, at_ms)?.of(usage)?;
        let uplifts = price.uplifts.iter().filter(|uplift| uplift.counts(billing));
        let (parts, scales) = uplifts.fold((parts, 0), |(parts, scales), uplift| {
            (parts.saturating_mul(u128::from(uplift.millionths)), scales + 1)
        });
        Some(whole(parts, scales))
    }

    /// The most that a call of at most so many tokens can cost, whatever its reply will tell; `None` where that is not
    /// known.
    #[must_use]
    pub fn at_most(&self, input_tokens: u64, output_tokens: u64) -> Option<Money> {
        let known = self.base.standard;
        if (input_tokens > 0 && known.input.is_none()) || (output_tokens > 0 && known.output.is_none()) {
            return None;
        }
        let bands = self.bands().filter(|band| band.above == 0 || band.above < input_tokens);
        let off_peak = self.off_peak.iter().map(|hours| &hours.rates);
        let rates = bands.flat_map(Band::all).chain(off_peak);
        let parts = rates.map(|rates| rates.at_most(input_tokens, output_tokens)).max().unwrap_or_default();
        let dearer = self.uplifts.iter().filter(|uplift| u128::from(uplift.millionths) > MILLION);
        let (parts, scales) = dearer.fold((parts, 0), |(parts, scales), uplift| {
            (parts.saturating_mul(u128::from(uplift.millionths)), scales + 1)
        });
        let versions = self.versions.iter().filter_map(|(_, price)| price.at_most(input_tokens, output_tokens));
        versions.chain([whole(parts, scales)]).max()
    }

    fn version(&self, served: Option<&str>) -> &Self {
        let found = self.versions.iter().find(|(name, _)| served == Some(name));
        found.map_or(self, |(_, price)| price)
    }

    fn band(&self, input_tokens: u64) -> &Band {
        self.larger.iter().rev().find(|band| input_tokens > band.above).unwrap_or(&self.base)
    }

    fn rates(&self, input_tokens: u64, service: Service, at_ms: u64) -> Option<&Rates> {
        let service = if self.given { Service::Standard } else { service };
        let hours = self.off_peak.as_ref().filter(|_| service == Service::Standard);
        let cheap = hours.filter(|hours| hours.windows.iter().any(|window| window.holds(at_ms)));
        cheap.map_or_else(|| self.band(input_tokens).rates(service), |hours| Some(&hours.rates))
    }
}

/// Whole picodollars of a sum of millionths that were multiplied by millionths so many times more.
fn whole(parts: u128, scales: u32) -> Money {
    let pico = parts.div_ceil(MILLION.saturating_pow(scales + 1));
    Money::from_pico(u64::try_from(pico).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(usd: f64) -> Money {
        Money::from_usd(usd).unwrap()
    }

    #[test]
    fn cached_tokens_are_part_of_the_input() {
        let price = Price::flat(usd(0.40), usd(0.16), usd(1.20));
        let usage = Usage { input_tokens: 412, cached_input_tokens: 100, output_tokens: 18, ..Usage::default() };
        // (312 * 0.40 + 100 * 0.16 + 18 * 1.20) / 1e6, by hand: 0.0001624
        assert_eq!(price.cost(&usage).unwrap().to_string(), "0.0001624");
    }

    #[test]
    fn what_is_left_of_a_picodollar_is_rounded_up_once() {
        let price = Price::flat(usd(0.083_333_333), usd(0.0), usd(0.000_001));
        let usage = Usage { input_tokens: 1, output_tokens: 1, ..Usage::default() };
        // 83333.333 + 1 picodollars
        assert_eq!(price.cost(&usage), Some(Money::from_pico(83_335)));
    }

    #[test]
    fn a_window_is_of_its_days_and_minutes_in_utc() {
        let monday_to_friday = Window { days: 0b001_1111, from: 4 * 60, to: 6 * 60 };
        // 2026-11-23 is a Monday: day 20780 since 1970.
        let at = |day: u64, hour: u64, minute: u64| (20_780 + day) * 86_400_000 + hour * 3_600_000 + minute * 60_000;
        assert!(monday_to_friday.holds(at(0, 4, 0)) && monday_to_friday.holds(at(4, 5, 59)));
        assert!(!monday_to_friday.holds(at(0, 3, 59)) && !monday_to_friday.holds(at(0, 6, 0)));
        assert!(!monday_to_friday.holds(at(5, 5, 0)) && !monday_to_friday.holds(at(6, 5, 0)));
    }

    #[test]
    fn a_given_price_holds_whatever_the_reply_says_and_a_listed_one_only_for_what_it_lists() {
        let usage = Usage { input_tokens: 10, output_tokens: 1, ..Usage::default() };
        let flex = Billing { service: Service::Flex, ..Billing::default() };
        let audio = Billing { audio: true, ..Billing::default() };
        let given = Price::flat(usd(1.0), usd(1.0), usd(2.0));
        let band = Band { standard: Rates::flat(usd(1.0), usd(1.0), usd(2.0)), ..Band::default() };
        let listed = Price::listed(band, Vec::new());
        for (price, known) in [(given, true), (listed, false)] {
            assert!(price.bill(&usage, &Billing::default(), 0).is_some());
            assert_eq!(price.bill(&usage, &flex, 0).is_some(), known);
            assert_eq!(price.bill(&usage, &audio, 0).is_some(), known);
        }
    }

    fn any_rates() -> impl Strategy<Value = Rates> {
        let rate = || prop::option::weighted(0.8, (0..50_000_000_000_000_u64).prop_map(Money::from_pico));
        let known = || (0..50_000_000_000_000_u64).prop_map(|pico| Some(Money::from_pico(pico)));
        (known(), rate(), rate(), rate(), known(), rate()).prop_map(
            |(input, cached_input, cache_write, cache_write_1h, output, reasoning)| Rates {
                input,
                cached_input,
                cache_write,
                cache_write_1h,
                output,
                reasoning,
            },
        )
    }

    fn any_band() -> impl Strategy<Value = Band> {
        let mode = || prop::option::of(any_rates());
        (0..200_000_u64, any_rates(), mode(), mode(), mode())
            .prop_map(|(above, standard, flex, priority, batch)| Band { above, standard, flex, priority, batch })
    }

    fn any_price() -> impl Strategy<Value = Price> {
        let version = |version: Option<Price>| version.map(|version| ("v".into(), version)).into_iter().collect();
        (plain_price(), prop::option::of(plain_price()))
            .prop_map(move |(price, other)| Price { versions: version(other), ..price })
    }

    fn plain_price() -> impl Strategy<Value = Price> {
        let when = prop_oneof![Just(UpliftWhen::Always), Just(UpliftWhen::Region("us".into())), Just(UpliftWhen::Fast)];
        let uplift = (when, 500_000..3_000_000_u64).prop_map(|(when, millionths)| Uplift { when, millionths });
        let bands = (any_band(), prop::collection::vec(any_band(), 0..3));
        (bands, prop::collection::vec(uplift, 0..3)).prop_map(|((base, larger), uplifts)| {
            let base = Band { above: 0, ..base };
            Price { uplifts, ..Price::listed(base, larger) }
        })
    }

    fn any_usage() -> impl Strategy<Value = Usage> {
        let tokens = || 0..300_000_u64;
        [tokens(), tokens(), tokens(), tokens(), tokens(), tokens()].prop_map(|[i, c, o, r, w, h]| Usage {
            input_tokens: i,
            cached_input_tokens: c,
            output_tokens: o,
            reasoning_tokens: r,
            cache_write_tokens: w,
            cache_write_1h_tokens: h,
        })
    }

    fn any_billing() -> impl Strategy<Value = Billing> {
        let service = prop::sample::select(vec![Service::Standard, Service::Flex, Service::Priority, Service::Batch]);
        let (served, region) = (prop::option::of(Just("v".to_owned())), prop::option::of(Just("us".to_owned())));
        (service, served, region, any::<bool>()).prop_map(|(service, served, region, fast)| Billing {
            served,
            service,
            region,
            fast,
            ..Billing::default()
        })
    }

    proptest! {
        #[test]
        fn no_call_costs_more_than_the_bound_of_its_tokens(
            price in any_price(), usage in any_usage(), billing in any_billing(), more in 0..1000_u64,
        ) {
            if let Some(cost) = price.bill(&usage, &billing, 0) {
                let bound = price.at_most(usage.input_tokens + more, usage.output_tokens + more).unwrap();
                prop_assert!(cost <= bound, "{cost} > {bound}");
            }
        }

        #[test]
        fn within_a_band_more_tokens_never_cost_less(rates in any_rates(), usage in any_usage(), more in 0..1000_u64) {
            let price = Price::listed(Band { standard: rates, ..Band::default() }, Vec::new());
            let larger = Usage {
                input_tokens: usage.input_tokens + more, output_tokens: usage.output_tokens + more, ..usage
            };
            // Tokens that are cached or thought stay as many: only plain ones are more.
            let whole = usage.cache_write_tokens + usage.cached_input_tokens <= usage.input_tokens
                && usage.reasoning_tokens <= usage.output_tokens;
            if let (true, Some(cost), Some(larger)) = (whole, price.cost(&usage), price.cost(&larger)) {
                prop_assert!(cost <= larger);
            }
        }
    }
}
