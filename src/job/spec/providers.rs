//! `[providers.X]`, and what is built in for known ones.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Map, Value};

use super::models::read_limits;
use crate::job::checked::{JobProvider, ProviderKind};
use crate::job::environment::is_variable_name;
use crate::job::known::{KNOWN, Known, known, listed_as};
use crate::job::reader::{Field, Reader};
use crate::limit::Limits;
use crate::provider::{HttpVersion, Profile, ProviderSettings, Timeouts, TokenParam};
use crate::types::Secret;

const HTTP_VERSIONS: [(&str, HttpVersion); 3] =
    [("auto", HttpVersion::Auto), ("1.1", HttpVersion::One), ("2", HttpVersion::Two)];
/// One address has no more ports.
const MAX_CONNECTIONS: u64 = 65_535;

/// A provider before the environment is asked: that is done for those that the job uses.
#[derive(Default)]
pub(in crate::job) struct ProviderSpec<'a> {
    pub(in crate::job) name: String,
    profile: Option<&'static Known>,
    simulated: Option<Map<String, Value>>,
    /// Replicas; none: by name.
    base_urls: Vec<Field<'a>>,
    /// The variables of several keys; `None`: by name.
    api_key_envs: Option<Vec<Field<'a>>>,
    headers: Vec<(String, Field<'a>)>,
    limits: Limits,
    timeouts: Timeouts,
    adaptive: bool,
    http: HttpVersion,
    connections: Option<usize>,
    cost_header: Option<String>,
    /// `kind = "openai"` beside an address of its own says how the server speaks, not whose key it gets.
    keyless_profile: bool,
}

impl ProviderSpec<'_> {
    /// A provider without a table.
    pub(super) fn built_in(name: &str) -> Option<Self> {
        Some(Self { name: name.to_owned(), profile: Some(known(name)?), adaptive: true, ..Self::default() })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Known(&'static str),
    Simulated,
}

/// The names as written, and the providers that are right.
pub(in crate::job) fn read_providers<'a>(reader: &Reader<'a>) -> (Vec<&'a str>, Vec<ProviderSpec<'a>>) {
    let entries = reader.entries();
    let names = entries.iter().map(|(name, _)| *name).collect();
    let read = |(name, field): (&str, Field<'a>)| field.table(|reader| read_provider(name, reader)).flatten();
    (names, entries.into_iter().filter_map(read).collect())
}

fn read_provider<'a>(name: &str, reader: &Reader<'a>) -> Option<ProviderSpec<'a>> {
    let kind = reader.take("kind").map(|field| field.choice(&kinds()));
    let urls = reader.take("base_url");
    let simulated = read_simulated(matches!(kind, Some(Some(Kind::Simulated))), urls.as_ref(), reader);
    // What is wrong with it is told: then it is not missing.
    let has_urls = urls.is_some();
    let mut base_urls = urls.and_then(|field| field.one_or_more()).unwrap_or_default();
    base_urls.retain(|field| field.text().is_some());
    let mut spec = ProviderSpec {
        name: name.to_owned(),
        simulated,
        api_key_envs: reader.take("api_key_env").map(|field| field.one_or_more().unwrap_or_default()),
        headers: reader.section("headers", read_headers).unwrap_or_default(),
        limits: read_limits(reader),
        timeouts: reader.section("timeout", read_timeouts).unwrap_or_default(),
        adaptive: reader.take("adaptive").and_then(|field| field.flag()).unwrap_or(true),
        http: reader.take("http").and_then(|field| field.choice(&HTTP_VERSIONS)).unwrap_or_default(),
        connections: read_connections(reader),
        cost_header: reader.take("cost_header").and_then(|field| header_name(&field)),
        ..ProviderSpec::default()
    };
    match kind {
        Some(kind) => match kind? {
            Kind::Known(kind) => {
                spec.keyless_profile = kind == "openai" && !base_urls.is_empty() && name != kind;
                spec.profile = known(kind);
            }
            Kind::Simulated => {}
        },
        None => spec.profile = known(name),
    }
    if base_urls.is_empty() && spec.profile.is_none() && spec.simulated.is_none() {
        let hint = format!("{name} is not a provider known by name: write base_url = \"https://.../v1\"");
        if !has_urls {
            reader.scope().problems.add(reader.problem("base_url is missing").with_hint(hint));
        }
        return None;
    }
    spec.base_urls = base_urls;
    Some(spec)
}

fn read_connections(reader: &Reader<'_>) -> Option<usize> {
    let connections = reader.take("connections")?.whole(1..=MAX_CONNECTIONS)?;
    usize::try_from(connections).ok()
}

fn kinds() -> Vec<(&'static str, Kind)> {
    let known = KNOWN.iter().map(|known| (known.name, Kind::Known(known.name)));
    known.chain([("simulated", Kind::Simulated)]).collect()
}

fn read_simulated(simulated: bool, base_url: Option<&Field<'_>>, reader: &Reader<'_>) -> Option<Map<String, Value>> {
    let field = reader.take("simulate");
    if !simulated {
        if let Some(field) = field {
            field.refuse("goes with kind = \"simulated\" only", None);
        }
        return None;
    }
    if let Some(base_url) = base_url {
        base_url.refuse("a simulated provider has no address of its own", Some("leave it out".to_owned()));
    }
    Some(field.and_then(|field| field.json_table()).unwrap_or_default())
}

fn header_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        field.refuse("is not a header's name", Some("write for example \"x-litellm-response-cost\"".to_owned()));
        return None;
    }
    Some(name.to_ascii_lowercase())
}

fn read_headers<'a>(reader: &Reader<'a>) -> Vec<(String, Field<'a>)> {
    let headers = reader.entries().into_iter().filter(|(name, field)| {
        let right = HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !right {
            field.refuse("is not a header's name", None);
        }
        right
    });
    headers.map(|(name, field)| (name.to_owned(), field)).collect()
}

fn read_timeouts(reader: &Reader<'_>) -> Timeouts {
    let timeout = |name| reader.take(name).and_then(|field| field.positive_duration());
    let (connect, attempt, row) = (timeout("connect"), timeout("attempt"), timeout("row"));
    let default = Timeouts::default();
    Timeouts {
        connect: connect.unwrap_or(default.connect),
        attempt: attempt.unwrap_or(default.attempt),
        row: row.unwrap_or(default.row),
    }
}

/// Asks the environment for what the provider needs. `named_by` is where the job asks for the provider; a missing key is
/// a problem only where it is `needed`.
pub(super) fn resolve(spec: &ProviderSpec<'_>, named_by: &Field<'_>, needed: bool) -> Option<JobProvider> {
    let addresses = addresses(spec);
    let headers: Vec<_> = spec.headers.iter().map(|(name, field)| Some((name.clone(), header(field)?))).collect();
    let own_server = spec.profile.is_some_and(|profile| profile.self_hosted)
        || spec.simulated.is_some()
        || addresses.as_ref().is_some_and(|all| all.iter().all(Address::is_loopback));
    let keys = keys(spec, named_by, needed, own_server);
    let headers: Vec<(String, Secret)> = headers.into_iter().collect::<Option<_>>()?;
    let member = |address: &Address, key: &Key| ProviderSettings {
        name: spec.name.clone(),
        profile: profile(spec, address),
        token_param: address.token_param(),
        base_url: address.url.clone(),
        api_key: key.value.clone(),
        headers: headers.clone(),
        timeouts: spec.timeouts,
        http: spec.http,
        connections: spec.connections,
        cost_header: spec.cost_header.clone(),
    };
    let addresses = addresses?;
    let listed = addresses.first().and_then(|address| listed_as(profile(spec, address), &address.host));
    let same = |address: &Address| listed_as(profile(spec, address), &address.host) == listed;
    let listed = listed.filter(|_| addresses.iter().all(same));
    let mut members = addresses.iter().flat_map(|address| keys.iter().map(move |key| member(address, key)));
    Some(JobProvider {
        settings: members.next()?,
        further: members.collect(),
        kind: spec.simulated.clone().map_or(ProviderKind::Http, ProviderKind::Simulated),
        limits: spec.limits,
        adaptive: spec.adaptive,
        free: own_server,
        listed_as: listed,
        key_envs: keys.iter().filter_map(|key| key.env.clone()).collect(),
        missing_keys: keys.iter().filter(|key| key.missing).filter_map(|key| key.env.clone()).collect(),
    })
}

/// The addresses of its replicas, at least one; `None` where one of them is wrong.
fn addresses(spec: &ProviderSpec<'_>) -> Option<Vec<Address>> {
    if spec.simulated.is_some() {
        return Some(vec![Address::default()]);
    }
    if spec.base_urls.is_empty() {
        return Some(vec![Address::parse(spec.profile?.base_url).ok()?]);
    }
    let addresses: Vec<_> = spec.base_urls.iter().map(address).collect();
    for (number, address) in addresses.iter().enumerate() {
        let again =
            address.as_ref().is_some_and(|address| addresses[..number].iter().flatten().any(|one| one == address));
        if again {
            let hint = "each of the list has limits of its own: name each server once".to_owned();
            spec.base_urls[number].refuse("is the same address as one before", Some(hint));
        }
    }
    addresses.into_iter().collect()
}

/// By `kind` as written, else by the name. Azure has no name among them: every resource has an address of its own.
fn profile(spec: &ProviderSpec<'_>, address: &Address) -> Profile {
    match spec.profile.map_or(Profile::Generic, |known| known.profile) {
        Profile::OpenAi | Profile::Generic if address.is_azure() => Profile::Azure,
        // Others that speak like OpenAI count tokens as they are used.
        Profile::OpenAi if !address.is_openai() => Profile::Generic,
        profile => profile,
    }
}

/// The variable that holds a key, and the key.
#[derive(Default)]
struct Key {
    env: Option<String>,
    value: Option<Secret>,
    missing: bool,
}

/// Its keys, or the one that stands for none.
fn keys(spec: &ProviderSpec<'_>, named_by: &Field<'_>, needed: bool, own: bool) -> Vec<Key> {
    let by_profile = || spec.profile.filter(|_| !spec.keyless_profile).and_then(|profile| profile.key_env);
    let keys: Vec<Key> = match &spec.api_key_envs {
        Some(fields) => {
            let named = |field| variable_name(field).map(|name| key(spec, name, field, needed, own));
            let keys: Vec<Key> = fields.iter().map(|field| named(field).unwrap_or_default()).collect();
            refuse_same_keys(fields, &keys);
            keys
        }
        None => by_profile().map(|name| key(spec, name, named_by, needed, own)).into_iter().collect(),
    };
    if keys.is_empty() { vec![Key::default()] } else { keys }
}

/// Two names for one key would take its limits twice.
fn refuse_same_keys(fields: &[Field<'_>], keys: &[Key]) {
    let value = |key: &Key| key.value.as_ref().map(|value| value.expose().to_owned());
    for (number, (field, key)) in fields.iter().zip(keys).enumerate() {
        let mut before = keys[..number].iter();
        let same =
            |one: &Key| (one.env.is_some() && one.env == key.env) || (key.value.is_some() && value(one) == value(key));
        if before.any(same) {
            let hint = "each of the list has limits of its own: name each key once".to_owned();
            field.refuse("holds the same key as one before", Some(hint));
        }
    }
}

fn key(spec: &ProviderSpec<'_>, name: &str, field: &Field<'_>, needed: bool, own: bool) -> Key {
    let env = Some(name.to_owned());
    let Some(value) = field.scope().environment.get(name) else {
        let missing = spec.api_key_envs.is_some() || !own;
        if needed && missing && !field.scope().environment.keys_optional {
            missing_key(spec, name, field);
        }
        return Key { env, value: None, missing };
    };
    let key = value.trim();
    if HeaderValue::from_str(key).is_err() {
        field.refuse(
            format!("environment variable {name} does not hold a key: a header cannot hold some of its characters"),
            None,
        );
    }
    Key { env, value: Some(Secret::new(key)), missing: false }
}

fn missing_key(spec: &ProviderSpec<'_>, name: &str, field: &Field<'_>) {
    // A key that was pasted where its variable's name belongs must not be shown.
    let shown = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !shown {
        let hint = "this takes the name of a variable, not the key itself".to_owned();
        return field.refuse("the environment variable named here is not set", Some(hint));
    }
    let was_made = field.node.spot.origin.called.is_some();
    let hint = match spec.api_key_envs {
        Some(_) | None if was_made => {
            "set it, name another variable with --api-key-env, or a server with --base-url".to_owned()
        }
        Some(_) => "set it in the environment or in `env_file`".to_owned(),
        None => format!(
            "provider {0} needs a key: set it in the environment or in `env_file`, or name another variable in \
             providers.{0}.api_key_env",
            spec.name
        ),
    };
    field.refuse(format!("environment variable {name} is not set"), Some(hint));
}

fn variable_name<'a>(field: &Field<'a>) -> Option<&'a str> {
    let name = field.text()?;
    if is_variable_name(name) {
        return Some(name);
    }
    let hint = "this takes the name of a variable, such as GATEWAY_API_KEY, not the key itself".to_owned();
    field.refuse("is not the name of an environment variable", Some(hint));
    None
}

fn header(field: &Field<'_>) -> Option<Secret> {
    let value = field.expanded()?;
    if HeaderValue::from_str(&value).is_err() {
        field.refuse("is not a header's value: a header cannot hold some of its characters", None);
        return None;
    }
    Some(Secret::new(value))
}

/// A base URL, without a slash at its end.
#[derive(Default, PartialEq)]
struct Address {
    url: String,
    host: String,
}

fn address(field: &Field<'_>) -> Option<Address> {
    let address = Address::parse(&field.expanded()?);
    // The message does not quote the URL: a `${NAME}` in it may have put in what nobody should see.
    address.map_err(|(message, hint)| field.refuse(message, Some(hint.to_owned()))).ok()
}

impl Address {
    fn parse(url: &str) -> Result<Self, (&'static str, &'static str)> {
        const EXAMPLE: &str = "write for example \"https://gateway.example/v1\"";
        let url = url.trim().trim_end_matches('/');
        let uri: Uri = url.parse().map_err(|_| ("is not a URL", EXAMPLE))?;
        let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(("is not an http or https URL", EXAMPLE));
        };
        if authority.as_str().contains('@') {
            return Err(("must not hold a name or password", "use api_key_env or headers"));
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(("must not have a query", EXAMPLE));
        }
        if url.ends_with("/completions") {
            return Err(("must end before the endpoint's path", "leave off /chat/completions"));
        }
        Ok(Self { url: url.to_owned(), host: authority.host().to_ascii_lowercase() })
    }

    fn is_loopback(&self) -> bool {
        let ip = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        self.host == "localhost" || self.host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    }

    fn is_openai(&self) -> bool {
        self.host == "api.openai.com" || self.host.ends_with(".api.openai.com")
    }

    fn is_azure(&self) -> bool {
        let hosts = [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"];
        hosts.iter().any(|host| self.host.ends_with(host))
    }

    /// By the address and not by the profile: servers that only speak like OpenAI know the older name for certain.
    fn token_param(&self) -> TokenParam {
        if self.is_openai() || self.host.ends_with(".openai.azure.com") {
            TokenParam::MaxCompletionTokens
        } else {
            TokenParam::MaxTokens
        }
    }
}
