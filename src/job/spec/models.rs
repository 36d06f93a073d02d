//! `[models]` and `limits`.

use serde_json::{Map, Value};

use super::tasks::read_params;
use crate::job::reader::{Field, Reader};
use crate::job::tree;
use crate::limit::Limits;
use crate::price::Prices;
use crate::types::{Endpoint, Money, Price, PriceSource};

/// A model before its provider is looked up.
pub(in crate::job) struct ModelSpec<'a> {
    pub(in crate::job) alias: String,
    pub(in crate::job) provider: String,
    /// Where the provider is named.
    pub(in crate::job) named_by: Field<'a>,
    pub(in crate::job) wire: String,
    pub(in crate::job) price: Option<(Price, PriceSource)>,
    pub(in crate::job) limits: Limits,
    pub(in crate::job) context: Option<u64>,
    pub(in crate::job) max_output: Option<u64>,
    pub(in crate::job) params: Map<String, Value>,
    pub(in crate::job) params_at: Option<Field<'a>>,
    pub(in crate::job) endpoint: Endpoint,
}

impl<'a> ModelSpec<'a> {
    /// The model that `provider/model` stands for; `None` where the text is not of this form.
    pub(super) fn short(alias: &str, text: &str, named_by: Field<'a>) -> Option<Self> {
        let (provider, wire) = text.split_once('/')?;
        if provider.is_empty() || wire.is_empty() {
            return None;
        }
        Some(Self {
            alias: alias.to_owned(),
            provider: provider.to_owned(),
            named_by,
            wire: wire.to_owned(),
            price: None,
            limits: Limits::default(),
            context: None,
            max_output: None,
            params: Map::new(),
            params_at: None,
            endpoint: Endpoint::Chat,
        })
    }
}

/// The aliases as written, and the models of those that are right.
pub(in crate::job) fn read_models<'a>(reader: &Reader<'a>, prices: &Prices) -> (Vec<&'a str>, Vec<ModelSpec<'a>>) {
    let entries = reader.entries();
    let aliases = entries.iter().map(|(alias, _)| *alias).collect();
    (aliases, entries.into_iter().filter_map(|(alias, field)| read_model(alias, &field, prices)).collect())
}

fn read_model<'a>(alias: &str, field: &Field<'a>, prices: &Prices) -> Option<ModelSpec<'a>> {
    let tree::Value::Text(text) = &field.node.value else {
        return field.table(|reader| read_table(alias, reader, prices)).flatten();
    };
    let spec = ModelSpec::short(alias, text, field.clone());
    if spec.is_none() {
        let hint = "write for example \"openai/gpt-4o-mini\"".to_owned();
        field.refuse("must be \"provider/model\" or a table", Some(hint));
    }
    spec
}

fn read_table<'a>(alias: &str, reader: &Reader<'a>, prices: &Prices) -> Option<ModelSpec<'a>> {
    let named_by = reader.require("provider", "provider = \"openai\"");
    let wire = reader.take("model").map(|field| field.text());
    let price = reader.take("price").and_then(|field| read_price(&field, prices));
    let positive = |name| reader.take(name).and_then(|field| field.positive());
    let (context, max_output) = (positive("context"), positive("max_output"));
    let limits = read_limits(reader);
    let params_at = reader.take("params");
    let params = params_at.as_ref().and_then(read_params).unwrap_or_default();
    let words = Endpoint::ALL.map(|endpoint| (endpoint.name(), endpoint));
    let endpoint = reader.take("endpoint").map(|field| field.choice(&words));
    let named_by = named_by?;
    Some(ModelSpec {
        alias: alias.to_owned(),
        provider: named_by.text()?.to_owned(),
        named_by,
        wire: wire.unwrap_or(Some(alias))?.to_owned(),
        price,
        limits,
        context,
        max_output,
        params,
        params_at,
        endpoint: endpoint.unwrap_or(Some(Endpoint::Chat))?,
    })
}

fn read_price(field: &Field<'_>, prices: &Prices) -> Option<(Price, PriceSource)> {
    match &field.node.value {
        tree::Value::Text(name) => borrow_price(name, field, prices),
        _ => Some((field.table(read_rates).flatten()?, PriceSource::JobFile)),
    }
}

/// The price of another model.
fn borrow_price(name: &str, field: &Field<'_>, prices: &Prices) -> Option<(Price, PriceSource)> {
    let listing = name.split_once('/').and_then(|(provider, model)| prices.find(provider, model));
    let price = listing.as_ref().and_then(|listing| listing.price.clone());
    match (listing, price) {
        (Some(listing), Some(price)) => {
            let source = format!("{} ({})", listing.name(), listing.source);
            Some((price, PriceSource::Borrowed(source.into())))
        }
        (Some(listing), None) => {
            let why = if listing.suspect { "is known to be wrong" } else { "tells no rate for tokens" };
            field.refuse(format!("the price that is listed of {} {why}", listing.name()), Some(PRICE_HINT.to_owned()));
            None
        }
        (None, _) => {
            let nearest = prices.nearest(name);
            let hint = match nearest.as_slice() {
                [] => "`overnight models` lists those that are".to_owned(),
                names => format!(
                    "did you mean {}?",
                    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
                ),
            };
            field.refuse(format!("no price is listed of {name:?}"), Some(hint));
            None
        }
    }
}

const PRICE_HINT: &str = "write for example price = { input = 0.40, output = 1.20 }, in USD per million tokens";

fn read_rates(reader: &Reader<'_>) -> Option<Price> {
    let example = "price = { input = 0.40, output = 1.20 }, in USD per million tokens";
    let (input, output) = (reader.require("input", example), reader.require("output", example));
    let cached_input = reader.take("cached_input").map(|field| money(&field));
    let (input, output) = (input.and_then(|field| money(&field)), output.and_then(|field| money(&field)));
    Some(Price::flat(input?, cached_input.unwrap_or(input)?, output?))
}

fn money(field: &Field<'_>) -> Option<Money> {
    let usd = field.number()?;
    let money = Money::from_usd(usd);
    if money.is_none() {
        let hint = "at least 0, with at most twelve decimals".to_owned();
        field.refuse("is not an amount of USD per million tokens", Some(hint));
    }
    money
}

/// `limits` of a model or provider.
pub(super) fn read_limits(reader: &Reader<'_>) -> Limits {
    let limits = reader.section("limits", |reader| {
        let limit = |name| reader.take(name).and_then(|field| field.positive());
        Limits {
            rpm: limit("rpm"),
            tpm: limit("tpm"),
            input_tpm: limit("input_tpm"),
            output_tpm: limit("output_tpm"),
            rpd: limit("rpd"),
            concurrency: limit("concurrency"),
        }
    });
    limits.unwrap_or_default()
}
