//! Makes the upstreams of a run: clients and the servers of simulated providers, and the gates before them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::RunError;
use super::plan::Plan;
use super::upstream::{Health, Member, Upstream, UpstreamParts};
use crate::job::{Job, JobError, JobProvider, Model, Problem, ProviderKind};
use crate::limit::{self, Limits, ModelGate, ProviderGate, ProviderSetup, Slots};
use crate::provider::{HttpTransport, OpenAiProvider, Provider, ProviderSettings};
use crate::sim::{self, Sim, SimSettings};
use crate::types::{DailyRequests, Transport};

/// Transports by provider name, in place of HTTP: for tests on paused time, and for programs with a way of their own. Of a
/// provider with several members the second one goes by `NAME/2`, and so on.
pub type Transports = HashMap<String, Arc<dyn Transport>>;

/// The ways to the providers of a plan, and what must live as long as they do.
pub(super) struct Connected {
    /// By the provider's index in the job; one for each replica with each key.
    providers: HashMap<usize, Vec<Arc<dyn Provider>>>,
    /// Servers of simulated providers; dropping them ends them.
    pub servers: JoinSet<()>,
    pub simulated: Vec<String>,
}

/// What the models of one provider share: for each replica with each key.
struct SharedMember {
    provider: Arc<dyn Provider>,
    name: String,
    gate: Arc<ProviderGate>,
    health: Arc<Health>,
}

/// Connects the models that the plan uses.
pub(super) async fn connect(plan: &Plan, transports: &Transports) -> Result<Connected, RunError> {
    check_simulated(plan)?;
    let mut servers = JoinSet::new();
    let mut simulated = Vec::new();
    let mut providers: HashMap<usize, Vec<Arc<dyn Provider>>> = HashMap::new();
    for &model in &plan.models {
        let index = plan.job.models[model].provider;
        if providers.contains_key(&index) {
            continue;
        }
        let configured = &plan.job.providers[index];
        let mut members = Vec::new();
        for (number, settings) in configured.members().enumerate() {
            let transport = if let Some(given) = given(transports, &settings.name, number) {
                given
            } else {
                let settings = reachable(&plan.job, &configured.kind, settings, &mut servers, &mut simulated).await?;
                Arc::new(HttpTransport::new(&settings, plan.job.concurrency)?)
            };
            let provider = OpenAiProvider::new(transport, settings.profile, settings.token_param)
                .believing(settings.cost_header.clone());
            members.push(Arc::new(provider) as Arc<dyn Provider>);
        }
        providers.insert(index, members);
    }
    Ok(Connected { providers, servers, simulated })
}

fn given(transports: &Transports, name: &str, number: usize) -> Option<Arc<dyn Transport>> {
    match number {
        0 => transports.get(name).cloned(),
        _ => transports.get(&format!("{name}/{}", number + 1)).cloned(),
    }
}

/// A provider's members, each with its limits.
fn shared_members(configured: &JobProvider, ways: &[Arc<dyn Provider>], used_today: u64) -> Vec<SharedMember> {
    let member = |(number, way): (usize, &Arc<dyn Provider>)| {
        let setup = ProviderSetup {
            limits: configured.limits,
            adaptive: configured.adaptive,
            used_today: share_of_each(used_today, ways.len()),
            counting: configured.settings.profile.counting(),
        };
        let name = configured.member_name(number);
        SharedMember { provider: Arc::clone(way), name, gate: ProviderGate::new(setup), health: Arc::default() }
    };
    ways.iter().enumerate().map(member).collect()
}

/// Which member earlier requests went to is not on record: it is taken to be each as often, as rows go where there is room.
fn share_of_each(requests: u64, members: usize) -> u64 {
    requests.div_ceil(u64::try_from(members).unwrap_or(u64::MAX).max(1))
}

/// Makes the upstreams, whose limits of a day know what was sent on this one, at `now_ms` since 1970.
pub(super) fn upstreams(plan: &Plan, connected: &Connected, requests: &DailyRequests, now_ms: u64) -> Arc<[Upstream]> {
    let used = |provider: &JobProvider, model| requests.on_day_of(now_ms, &provider.settings.name, model);
    let members = |(index, ways): (&usize, &Vec<Arc<dyn Provider>>)| {
        let configured = &plan.job.providers[*index];
        (*index, shared_members(configured, ways, used(configured, None)))
    };
    let providers: HashMap<usize, Vec<SharedMember>> = connected.providers.iter().map(members).collect();
    let slots = Slots::new(plan.job.concurrency);
    // Two aliases of one model share its limits.
    let mut gates: HashMap<(usize, &str), Arc<ModelGate>> = HashMap::new();
    let models = plan.models.iter().map(|&model| &plan.job.models[model]);
    models
        .map(|model| {
            let members = &providers[&model.provider];
            let settings = &plan.job.providers[model.provider].settings;
            let gate_members = || {
                let used = used(&plan.job.providers[model.provider], Some(&model.wire));
                let used_today = share_of_each(used, members.len());
                let of = |member: &SharedMember| limit::Member {
                    limits: limits_of(plan, model),
                    provider: Arc::clone(&member.gate),
                    used_today,
                };
                members.iter().map(of).collect()
            };
            let gate = gates
                .entry((model.provider, &model.wire))
                .or_insert_with(|| ModelGate::new(gate_members(), Arc::clone(&slots)));
            let member = |member: &SharedMember| {
                Member::new(Arc::clone(&member.provider), member.name.clone(), Arc::clone(&member.health))
            };
            let parts = UpstreamParts {
                provider_index: model.provider,
                provider_name: settings.name.as_str().into(),
                members: members.iter().map(member).collect(),
                gate: Arc::clone(gate),
                row_timeout: settings.timeouts.row,
                hedge: plan.job.hedge,
            };
            Upstream::new(&plan.job, model, parts)
        })
        .collect()
}

/// A model's own limits: where several aliases stand for it, the lowest of theirs.
fn limits_of(plan: &Plan, model: &Model) -> Limits {
    let all = plan.models.iter().map(|&other| &plan.job.models[other]);
    let same = all.filter(|other| other.provider == model.provider && other.wire == model.wire);
    same.fold(Limits::default(), |limits, other| limits.tightest(other.limits))
}

/// Whether all simulated providers of the plan can be started as they are set; tells of every key that is wrong.
pub(super) fn check_simulated(plan: &Plan) -> Result<(), RunError> {
    let providers: BTreeSet<usize> = plan.models.iter().map(|&model| plan.job.models[model].provider).collect();
    let mut problems = Vec::new();
    for provider in providers.into_iter().map(|provider| &plan.job.providers[provider]) {
        if let ProviderKind::Simulated(simulate) = &provider.kind {
            problems.extend(sim_settings(&plan.job, &provider.settings.name, simulate).err().into_iter().flatten());
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(RunError::Job(JobError { problems })) }
}

fn sim_settings(job: &Job, provider: &str, simulate: &Map<String, Value>) -> Result<SimSettings, Vec<Problem>> {
    SimSettings::from_table(simulate).map_err(|wrong| {
        let table = format!("providers.{provider}.simulate");
        let problem = |(key, message): (Option<String>, String)| {
            let key = key.map_or_else(|| table.clone(), |key| format!("{table}.{key}"));
            job.problem(&key, message)
        };
        wrong.into_iter().map(problem).collect()
    })
}

/// The settings to reach a provider by: for a simulated one its server is started first.
async fn reachable(
    job: &Job,
    kind: &ProviderKind,
    settings: &ProviderSettings,
    servers: &mut JoinSet<()>,
    simulated: &mut Vec<String>,
) -> Result<ProviderSettings, RunError> {
    let mut settings = settings.clone();
    match kind {
        ProviderKind::Http => {}
        ProviderKind::Simulated(simulate) => {
            let failed = |message: String| RunError::Simulator { name: settings.name.clone(), message };
            let sim_settings = sim_settings(job, &settings.name, simulate);
            let sim_settings = sim_settings.map_err(|problems| RunError::Job(JobError { problems }))?;
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| failed(error.to_string()))?;
            let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
            let serving = sim::serve(Sim::new(sim_settings), listener, std::future::pending());
            servers.spawn(async move {
                // It ends with the run; a failure to accept shows as failed connections.
                let _ = serving.await;
            });
            simulated.push(settings.name.clone());
            settings.base_url = format!("http://{address}/v1");
        }
    }
    Ok(settings)
}
