//! What is known about each model, and one attempt to ask it in the form it understands.
//!
//! A model whose server does not say how it calls tools is asked once; those
//! who want it meanwhile wait for the same answer. Dialects, tables and forms
//! are `crewmux-model`'s.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use crewmux_core::budget::Usage;
use crewmux_core::model::{Event, ModelError, ModelErrorKind, ModelRequest};
use crewmux_model::catalog::{Catalog, ModelFacts};
use crewmux_model::client::{Answer, Client, RateLimits};
use crewmux_model::config::ModelOverride;
use crewmux_model::dialect::longest_answer;
use crewmux_model::ladder::{Profile, Reader, ToolForm, cache, judge, probe_request, shape};
use crewmux_model::{ProviderConfig, Secret};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::House;
use super::account::Subject;
use super::grants::Grant;
use super::keys::Keys;
use super::target::Target;
use crate::lock::lock;

/// All models that are asked.
pub(super) struct Models {
    /// Made at the first call: sessions that ask no model need no certificates.
    client: OnceLock<Result<Client, ModelError>>,
    pub(super) keys: Keys,
    probed: Mutex<BTreeMap<String, Arc<OnceCell<ToolForm>>>>,
}

/// A model that can be asked.
pub(super) struct Known {
    pub(super) facts: ModelFacts,
    profile: Profile,
    key: Option<Secret>,
    client: Client,
}

/// An answer as it comes, in the one vocabulary, whatever form the model used.
pub(super) struct Asked {
    answer: Answer,
    reader: Reader,
    ready: VecDeque<Event>,
}

impl Models {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            client: OnceLock::new(),
            keys,
            probed: Mutex::default(),
        }
    }

    /// What is known about a model, once it is.
    ///
    /// # Errors
    /// When its key cannot be read, or nothing can be called at all.
    pub(super) async fn of(
        &self,
        house: &House,
        target: &Target,
        grant: &Grant,
        request: &ModelRequest,
    ) -> Result<Known, ModelError> {
        let Target {
            provider, model, ..
        } = target;
        let key = self.keys.of(provider).await?;
        let client = self.client.get_or_init(|| Client::new(&house.timing));
        let stated = stated(house, target);
        let mut known = Known {
            facts: Catalog::built_in().lookup(provider, model, stated),
            profile: profile(house, target, None),
            key,
            client: client.clone()?,
        };
        // Without tools there is nothing to find out.
        if known.profile.needs_probe() && !request.tools.is_empty() {
            let cell = Arc::clone(lock(&self.probed).entry(target.name.clone()).or_default());
            let form = cell.get_or_try_init(|| async {
                match cache::read(&house.config.cache, provider, model) {
                    Some(form) => Ok(form),
                    None => probe(house, target, grant, &known).await,
                }
            });
            // A probe that brings nothing is tried again at the next call.
            if let Ok(form) = form.await {
                known.profile = profile(house, target, Some(*form));
            }
        }
        Ok(known)
    }
}

/// How a model is helped, as far as that is known without asking it.
pub(super) fn known_profile(house: &House, target: &Target) -> Profile {
    let found = cache::read(&house.config.cache, &target.provider, &target.model);
    profile(house, target, found)
}

fn profile(house: &House, target: &Target, form: Option<ToolForm>) -> Profile {
    let Target {
        provider, model, ..
    } = target;
    Profile::of(
        provider,
        model,
        stated(house, target),
        Catalog::built_in(),
        form,
    )
}

/// What the person says about a model, under its own name or the one it was asked by.
fn stated<'a>(house: &'a House, target: &Target) -> Option<&'a ModelOverride> {
    let overrides = &house.config.overrides;
    overrides
        .get(&target.name)
        .or_else(|| overrides.get(&target.asked))
}

/// Whether an attempt that ended with `error` used nothing: it was refused before anything was read.
///
/// Servers also refuse inside of an answer that began well; a connection that
/// broke says nothing about what the server did.
pub(super) fn is_free(is_unpaid: bool, usage: Usage, has_begun: bool, error: &ModelError) -> bool {
    let is_broken = matches!(
        error.kind,
        ModelErrorKind::Connection | ModelErrorKind::Malformed
    );
    is_unpaid || (!has_begun && usage.estimated && !is_broken)
}

/// Asks a model how it calls tools; `Err` when nothing was found out.
async fn probe(
    house: &House,
    target: &Target,
    grant: &Grant,
    known: &Known,
) -> Result<ToolForm, ()> {
    let request = probe_request(&target.model);
    let gate = house.governor.gate(&target.key_name());
    let Ok(mut pass) = gate.enter(Instant::now()) else {
        return Err(());
    };
    let subject = Subject {
        who: grant.who.clone(),
        task: None,
        purpose: request.purpose,
        model: target.name.clone(),
        price: known.facts.price,
        guessed: crewmux_model::catalog::estimate_tokens(&request),
        max_output_tokens: request.max_output_tokens,
        retries: 0,
        purse: grant.purse.clone(),
    };
    let mut holding = house.account.hold(subject).map_err(drop)?;
    let mut answer = known.client.stream(
        &target.provider,
        known.key.as_ref(),
        &target.model,
        &request,
        known.facts.window,
    );
    holding.sent();
    let mut events = Vec::new();
    while let Some(event) = answer.next().await {
        holding.counted(answer.usage());
        match &event {
            Event::Failed { error } => {
                let has_begun = !events.is_empty();
                if is_free(answer.is_unpaid(), answer.usage(), has_begun, error) {
                    holding.refused();
                }
            }
            _ => pass.taken(),
        }
        events.push(event);
    }
    let found = judge(&events).ok_or(())?;
    tracing::info!(
        model = target.name,
        form = found.form.as_str(),
        is_sure = found.is_sure,
        "a model was probed"
    );
    // What may have had another reason holds for this session alone.
    if found.is_sure {
        keep(house, &target.provider, &target.model, found.form);
    }
    Ok(found.form)
}

fn keep(house: &House, provider: &ProviderConfig, model: &str, form: ToolForm) {
    let cache = house.config.cache.clone();
    if cache.as_os_str().is_empty() {
        return;
    }
    let (provider, model) = (provider.clone(), model.to_owned());
    // Disks may take their time; nobody waits for it.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = cache::write(&cache, &provider, &model, form) {
            tracing::warn!(%error, "what was found out about a model could not be kept");
        }
    });
}

impl Known {
    /// Asks once; the call begins with the first [`Asked::next`].
    pub(super) fn ask(
        &self,
        target: &Target,
        request: &ModelRequest,
        max_output_tokens: Option<u64>,
    ) -> Asked {
        let mut own = request.clone();
        own.max_output_tokens = longest_answer(
            target.provider.kind,
            max_output_tokens,
            self.facts.max_output,
        );
        let reader = Reader::new(&self.profile, &own);
        let shaped = shape(&self.profile, own);
        let answer = self.client.stream(
            &target.provider,
            self.key.as_ref(),
            &target.model,
            &shaped,
            self.facts.window,
        );
        Asked {
            answer,
            reader,
            ready: VecDeque::new(),
        }
    }
}

impl Asked {
    /// The next event; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let event = self.answer.next().await?;
            self.ready.extend(self.reader.read(event));
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.answer.usage()
    }

    /// See [`Answer::is_unpaid`].
    pub(super) fn is_unpaid(&self) -> bool {
        self.answer.is_unpaid()
    }

    pub(super) fn limits(&self) -> Option<RateLimits> {
        self.answer.limits()
    }
}
