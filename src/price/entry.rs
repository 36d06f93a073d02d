//! One entry of the table: a row of JSON becomes a price.

use serde_json::{Map, Value};

use crate::types::{Band, Money, OffPeak, Price, Rates, Uplift, UpliftWhen, Window};

/// A model as a price file has it, in USD per million tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) provider: String,
    pub(super) model: String,
    /// All that is told of it, `provider` and `model` too.
    pub(super) row: Map<String, Value>,
}

/// How the rates of the provider's modes are named.
const FLEX: &str = "flex_";
const PRIORITY: &str = "priority_";
const BATCH: &str = "batch_";

impl Entry {
    /// `None` where the row does not name a provider and a model.
    pub(super) fn new(row: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| row.get(name)?.as_str().map(str::to_owned);
        Some(Self { provider: text("provider")?, model: text("model")?, row })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.row.get(name)?.as_str()
    }

    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.row.get(name)?.as_u64().filter(|count| *count > 0)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.row.get(name).is_some_and(|value| value == &Value::Bool(true))
    }

    /// What it costs; `None` where the entry tells no price that can be understood, or one that is known to be wrong.
    pub(super) fn price(&self) -> Option<Price> {
        if self.flag("suspect") {
            return None;
        }
        let (base, larger) = self.bands()?;
        let mut price = Price::listed(base, larger);
        if let Some(hours) = self.row.get("off_peak") {
            price.off_peak = Some(self.off_peak(hours.as_object()?)?);
        }
        price.uplifts = self.uplifts();
        Some(price)
    }

    /// What calls to this address cost, for those who bill some regions' addresses otherwise.
    pub(super) fn price_at(&self, host: &str) -> Option<Price> {
        let mut price = self.price()?;
        let region = host.strip_suffix(".api.openai.com").filter(|_| self.provider == "openai");
        if let Some(region) = region {
            let name = format!("regional_processing_uplift_multiplier_{region}");
            let millionths = self.row.get("multipliers").and_then(|all| millionths(all.get(&name)?));
            price.uplifts.extend(millionths.map(|millionths| Uplift { when: UpliftWhen::Always, millionths }));
        }
        Some(price)
    }

    fn bands(&self) -> Option<(Band, Vec<Band>)> {
        let rows = |name: &str| self.row.get(name).and_then(Value::as_array).into_iter().flatten();
        let mut ranges = rows("range_tiers").filter_map(Value::as_object);
        if let Some(first) = ranges.next() {
            let above = |range: &Map<String, Value>| range.get("from").and_then(Value::as_u64);
            let larger = ranges.map(|range| self.band(above(range)?, range, Some(first)));
            return Some((self.band(0, first, None)?, larger.collect::<Option<_>>()?));
        }
        let tiers = rows("tiers").filter_map(Value::as_object);
        let larger = tiers.map(|tier| {
            let above = tier.get("above").and_then(Value::as_u64)?;
            // A request of just so many tokens is a large one there.
            let above = if self.provider == "xai" { above.saturating_sub(1) } else { above };
            self.band(above, tier, Some(&self.row))
        });
        Some((self.band(0, &self.row, None)?, larger.collect::<Option<_>>()?))
    }

    /// The rates of a table of them. `base`: those of small requests, where these are of larger ones.
    fn band(&self, above: u64, table: &Map<String, Value>, base: Option<&Map<String, Value>>) -> Option<Band> {
        let mode = |prefix: &str| {
            let listed = table.contains_key(&format!("{prefix}in"));
            listed.then(|| self.rates(table, prefix, Some(base.unwrap_or(table))))
        };
        let standard = self.rates(table, "", base);
        standard.input?;
        Some(Band { above, standard, flex: mode(FLEX), priority: mode(PRIORITY), batch: mode(BATCH) })
    }

    /// The rates of one mode. What is not listed costs as plain tokens do, unless `usual` has another rate for it: then it
    /// surely has one here too, which is not known.
    fn rates(&self, table: &Map<String, Value>, prefix: &str, usual: Option<&Map<String, Value>>) -> Rates {
        let listed = |name: &str| amount(table.get(&format!("{prefix}{name}"))?);
        let own_rate = |name: &str, plain: &str| {
            usual.is_some_and(|usual| usual.contains_key(name) && usual.get(name) != usual.get(plain))
        };
        let or_plain = |name: &str, plain_name: &str, plain: Option<Money>| {
            listed(name).or(plain.filter(|_| !own_rate(name, plain_name)))
        };
        let input = listed("in");
        let output = listed("out").or_else(|| (self.text("mode") == Some("embedding")).then_some(Money::ZERO));
        let cache_write = or_plain("cache_write", "in", input);
        Rates {
            input,
            cached_input: or_plain("cached_in", "in", input),
            cache_write,
            cache_write_1h: or_plain("cache_write_1h", "cache_write", cache_write),
            output,
            reasoning: or_plain("out_reasoning", "out", output),
        }
    }

    fn off_peak(&self, hours: &Map<String, Value>) -> Option<OffPeak> {
        let rates = self.rates(hours, "", Some(&self.row));
        let windows = hours.get("windows")?.as_array()?.iter().map(windows).collect::<Option<Vec<_>>>()?;
        Some(OffPeak { rates, windows: windows.concat() })
    }

    /// Those that a reply tells of.
    fn uplifts(&self) -> Vec<Uplift> {
        let listed = self.row.get("multipliers").and_then(Value::as_object).into_iter().flatten();
        let told = listed.filter_map(|(name, times)| {
            let when = match name.as_str() {
                "fast" => UpliftWhen::Fast,
                "us" => UpliftWhen::Region("us".into()),
                _ => return None,
            };
            Some(Uplift { when, millionths: millionths(times)? })
        });
        told.collect()
    }
}

/// An amount of USD per million tokens.
pub(super) fn amount(value: &Value) -> Option<Money> {
    match value {
        // The shortest decimal that reads back as this number is what its author wrote.
        Value::Number(number) => Money::from_decimal(&number.to_string(), 0),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn millionths(value: &Value) -> Option<u64> {
    Some(amount(value)?.pico() / 1_000_000)
}

/// `{"hours_utc": ["04:00-06:00", ...], "weekdays": [1, ...]}`, Monday being 1.
fn windows(value: &Value) -> Option<Vec<Window>> {
    let mut days =
        value.get("weekdays")?.as_array()?.iter().map(|day| day.as_u64().filter(|day| (1..=7).contains(day)));
    let days = days.try_fold(0_u8, |all, day| Some(all | 1 << (day? - 1)))?;
    let hours = value.get("hours_utc")?;
    let all: Vec<&str> = match hours {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(Value::as_str).collect::<Option<_>>()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    let windows = all.into_iter().map(|hours| {
        let (from, to) = hours.split_once('-')?;
        // Midnight ends a day as well as it begins one.
        let to = Some(minute(to)?).filter(|to| *to > 0).unwrap_or(1440);
        Some(Window { days, from: minute(from)?, to }).filter(|window| window.from < window.to)
    });
    windows.collect()
}

fn minute(time: &str) -> Option<u32> {
    let (hour, minute) = time.split_once(':')?;
    Some(hour.parse::<u32>().ok()? * 60 + minute.parse::<u32>().ok()?)
}
