//! Finding a model in what is listed.

use std::path::Path;
use std::sync::Arc;

use super::built_in;
use super::entry::Entry;
use super::error::PriceError;
use super::file::PriceFile;
use super::listing::Listing;
use super::name::{candidates, is_version_of, nearest, provider_of_table, without_date};
use crate::types::{Price, PriceSource};

/// What is listed: in the table that is built in, and before it in a file.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    file: Option<Arc<PriceFile>>,
}

/// One of the two.
#[derive(Clone, Copy)]
enum Table<'a> {
    BuiltIn,
    File(&'a PriceFile),
}

impl Prices {
    /// What a file lists, and the table that is built in for all that it does not.
    ///
    /// # Errors
    /// Where it cannot be read, or is no price file.
    pub fn with_file(path: &Path) -> Result<Self, PriceError> {
        Ok(Self { file: Some(Arc::new(PriceFile::read(path)?)) })
    }

    /// What is listed of a provider's model, by any of their names; `None`: nothing is.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<Listing> {
        self.find_at(provider, model, "")
    }

    /// The same for calls to this host, which some providers bill otherwise.
    #[must_use]
    pub fn find_at(&self, provider: &str, model: &str, host: &str) -> Option<Listing> {
        let provider = provider_of_table(provider);
        self.tables().find_map(|table| table.find(provider, model, host))
    }

    /// All that is listed, of the file alone where there is one: by provider and model.
    pub fn all(&self) -> impl Iterator<Item = Listing> {
        let filed = self.file.iter().flat_map(|file| file.all().map(|entry| Table::File(file).listing(entry)));
        let built_in = built_in::all().map(|entry| Table::BuiltIn.listing(entry));
        filed.chain(built_in.take_while(|_| self.file.is_none()))
    }

    /// The names that are listed and look most like this one: `provider/model`, or a model's alone.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Vec<String> {
        nearest(name, self.all().map(|listing| listing.name()))
    }

    fn tables(&self) -> impl Iterator<Item = Table<'_>> {
        self.file.as_deref().map(Table::File).into_iter().chain([Table::BuiltIn])
    }
}

impl Table<'_> {
    fn get(self, provider: &str, model: &str) -> Option<Entry> {
        match self {
            Self::BuiltIn => built_in::get(provider, model),
            Self::File(file) => file.get(provider, model),
        }
    }

    /// The dated versions of a model.
    fn versions(self, provider: &str, model: &str) -> Vec<Entry> {
        let versions = |entries: &mut dyn Iterator<Item = Entry>| {
            entries.filter(|entry| is_version_of(&entry.model, model)).collect()
        };
        match self {
            Self::BuiltIn => versions(&mut built_in::starting(provider, model)),
            Self::File(file) => versions(&mut file.starting(provider, model)),
        }
    }

    fn find(self, provider: &str, model: &str, host: &str) -> Option<Listing> {
        let names = candidates(provider, model);
        let named = names.iter().find_map(|name| self.get(provider, name));
        let entry = named.or_else(|| names.iter().find_map(|name| self.agreed_version(provider, name)))?;
        let price = entry.price_at(host).map(|price| self.with_versions(price, &entry, model, host));
        Some(Listing { price, ..self.listing(entry) })
    }

    /// A model of which only dated versions are listed costs what they cost, where they cost the same.
    fn agreed_version(self, provider: &str, model: &str) -> Option<Entry> {
        let versions = self.versions(provider, model);
        let first = versions.last()?.clone();
        let price = first.price();
        versions.iter().all(|version| version.price() == price).then_some(first)
    }

    /// Whoever asks for a model without a date may be served by any of its versions.
    fn with_versions(self, mut price: Price, entry: &Entry, asked: &str, host: &str) -> Price {
        if without_date(asked).is_some() && !asked.ends_with("-latest") {
            return price;
        }
        let versions = self.versions(&entry.provider, &entry.model).into_iter();
        let priced = versions.filter_map(|version| Some((version.model.as_str().into(), version.price_at(host)?)));
        price.versions = priced.filter(|(_, version)| *version != price).collect();
        price
    }

    fn listing(self, entry: Entry) -> Listing {
        let source = match self {
            Self::BuiltIn => built_in::source(&entry),
            Self::File(file) => PriceSource::File(file.name.as_str().into()),
        };
        Listing::new(entry, source)
    }
}
