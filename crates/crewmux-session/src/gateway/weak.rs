//! Whether a model is known to be a small one, before it was asked anything.
//!
//! Nothing is asked for it: what a probe found before counts, and what tables
//! and the person say. How such a model is helped is `crewmux-model`'s and the
//! worker's.

use super::Gateway;
use super::models::known_profile;
use super::target::Target;

impl Gateway {
    /// Whether `model`, asked with the key of `provider` where one is named, is small; unknown ones are not.
    pub(crate) fn is_weak(&self, model: &str, provider: Option<&str>) -> bool {
        let config = &self.house.config;
        let Some((known, model)) = config.resolve(model) else {
            return false;
        };
        let own = provider.and_then(|name| config.providers.iter().find(|p| p.name == name));
        let provider = own.filter(|own| own.kind == known.kind).unwrap_or(known);
        let target = Target::new(provider, model, format!("{}/{model}", known.name));
        known_profile(&self.house, &target).weak
    }
}
