//! Looks names up: a task's models, a model's provider. Only what the job uses comes out.

use super::endpoints;
use super::models::ModelSpec;
use super::providers::{ProviderSpec, resolve};
use super::tasks::TaskSpec;
use crate::job::checked::{JobProvider, Model, Task};
use crate::job::known::{KNOWN, known};
use crate::job::problem::nearest;
use crate::job::reader::Field;
use crate::price::{Listing, Prices};
use crate::types::{Price, PriceSource};

/// Tasks, models and providers that name one another by index.
#[derive(Default)]
pub(in crate::job) struct Linked {
    pub(in crate::job) tasks: Vec<Task>,
    pub(in crate::job) models: Vec<Model>,
    pub(in crate::job) providers: Vec<JobProvider>,
}

/// Links what was read. `all_models`: rows may name a model themselves, so that those on no route are kept too.
pub(in crate::job) fn link<'a>(
    tasks: Vec<TaskSpec<'a>>,
    models: (Vec<&'a str>, Vec<ModelSpec<'a>>),
    providers: (Vec<&'a str>, Vec<ProviderSpec<'a>>),
    all_models: bool,
    prices: &'a Prices,
) -> Linked {
    let (aliases, specs) = models;
    let (provider_names, provider_specs) = providers;
    let mut linker = Linker {
        aliases,
        specs,
        provider_names,
        provider_specs,
        prices,
        chosen: Vec::new(),
        linked: Linked::default(),
    };
    for spec in &linker.specs {
        linker.check_provider(&spec.provider, &spec.named_by);
    }
    for task in tasks {
        let task = linker.task(task);
        linker.linked.tasks.push(task);
    }
    for spec in 0..if all_models { linker.specs.len() } else { 0 } {
        linker.model(spec, false);
    }
    linker.linked
}

struct Linker<'a> {
    /// Aliases as written, those of models that are wrong too: to name one is no second problem.
    aliases: Vec<&'a str>,
    specs: Vec<ModelSpec<'a>>,
    provider_names: Vec<&'a str>,
    provider_specs: Vec<ProviderSpec<'a>>,
    prices: &'a Prices,
    /// The spec that each linked model came from.
    chosen: Vec<usize>,
    linked: Linked,
}

impl<'a> Linker<'a> {
    fn task(&mut self, spec: TaskSpec<'a>) -> Task {
        let mut route = Vec::new();
        for name in &spec.route {
            let model = self.spec_of(name).and_then(|spec| self.model(spec, true));
            // `--model` may name what is a fallback already.
            let is_new = |model: &usize| route.iter().all(|(known, _)| known != model);
            route.extend(model.filter(is_new).map(|model| (model, name)));
        }
        let route = endpoints::check(&spec, &route, &self.linked.models);
        Task {
            name: spec.name,
            prompt: spec.prompt,
            params: spec.params,
            route,
            fallback_after: spec.fallback_after,
            max_cost: spec.max_cost,
            answer: spec.answer,
        }
    }

    /// The model that a route names: an alias first, else `provider/model`.
    fn spec_of(&mut self, field: &Field<'a>) -> Option<usize> {
        let name = field.text()?;
        if self.aliases.contains(&name) {
            return self.specs.iter().position(|spec| spec.alias == name);
        }
        let Some(short) = ModelSpec::short(name, name, field.clone()) else {
            let hint = nearest("the job's models", name, self.aliases.iter().copied());
            let hint = hint.unwrap_or_else(|| "write \"provider/model\", or add a table [models.X]".to_owned());
            field.refuse(format!("no model is called {name:?}"), Some(hint));
            return None;
        };
        // A model that has an alias keeps its price and limits when it is called by its full name.
        let same = |spec: &ModelSpec<'_>| spec.provider == short.provider && spec.wire == short.wire;
        if let Some(spec) = self.specs.iter().position(same) {
            return Some(spec);
        }
        if !self.check_provider(&short.provider, field) {
            return None;
        }
        self.specs.push(short);
        Some(self.specs.len() - 1)
    }

    fn check_provider(&self, name: &str, field: &Field<'_>) -> bool {
        let there = self.provider_names.contains(&name) || known(name).is_some();
        if !there {
            let names = self.provider_names.iter().copied().chain(KNOWN.iter().map(|known| known.name));
            let hint = nearest("providers known here", name, names);
            field.refuse(format!("no provider is called {name:?}"), hint);
        }
        there
    }

    /// The index of a linked model; links it when it is asked for the first time.
    fn model(&mut self, index: usize, needed: bool) -> Option<usize> {
        if let Some(known) = self.chosen.iter().position(|chosen| *chosen == index) {
            return Some(known);
        }
        let provider = self.provider(index, needed)?;
        let (spec, theirs) = (self.specs.get(index)?, self.linked.providers.get(provider)?);
        let listing = theirs.listed_as.and_then(|listed| self.prices.find_at(listed, &spec.wire, &theirs.host()));
        let (price, price_source) = price(spec, theirs, listing.as_ref());
        endpoints::check_params(spec.endpoint, &spec.params, spec.params_at.as_ref());
        self.linked.models.push(Model {
            alias: spec.alias.clone(),
            provider,
            wire: spec.wire.clone(),
            price,
            price_source,
            limits: spec.limits,
            context: spec.context.or(listing.as_ref().and_then(|listing| listing.context)),
            max_output: spec.max_output,
            listed_max_output: listing.and_then(|listing| listing.max_output),
            params: spec.params.clone(),
            endpoint: spec.endpoint,
        });
        self.chosen.push(index);
        Some(self.chosen.len() - 1)
    }

    fn provider(&mut self, model: usize, needed: bool) -> Option<usize> {
        let spec = self.specs.get(model)?;
        let name = spec.provider.as_str();
        if let Some(known) = self.linked.providers.iter().position(|provider| provider.settings.name == name) {
            return Some(known);
        }
        let resolved = if self.provider_names.contains(&name) {
            let provider = self.provider_specs.iter().find(|provider| provider.name == name)?;
            resolve(provider, &spec.named_by, needed)?
        } else {
            resolve(&ProviderSpec::built_in(name)?, &spec.named_by, needed)?
        };
        self.linked.providers.push(resolved);
        Some(self.linked.providers.len() - 1)
    }
}

/// What a model costs, and who says so: the job, else its provider's replies, else what is listed.
fn price(spec: &ModelSpec<'_>, provider: &JobProvider, listing: Option<&Listing>) -> (Option<Price>, PriceSource) {
    if let Some((price, source)) = &spec.price {
        return (Some(price.clone()), source.clone());
    }
    if provider.free && provider.settings.cost_header.is_none() {
        return (Some(Price::FREE), PriceSource::SelfHosted);
    }
    let price = listing.and_then(|listing| listing.price.clone());
    let listed = || listing.filter(|listing| listing.price.is_some()).map(|listing| listing.source.clone());
    let tells = provider.settings.profile.tells_cost() || provider.settings.cost_header.is_some();
    let told = tells.then_some(PriceSource::Provider);
    (price, told.or_else(listed).unwrap_or_default())
}
