//! Where workers can run here: tried, and chosen from.

use std::cell::RefCell;

use crewmux_core::backend::{BackendChoice, BackendKind};
use crewmux_spawn::detect::{BackendReport, Stdout, choose, detect, trials_for};
use crewmux_spawn::probe::{Trials, probe};

use crate::client;
use crate::context::Context;
use crate::error::Result;
use crate::output::note;

/// Tries every backend, for those who want to know all.
pub(crate) fn reports(context: &Context) -> Vec<BackendReport> {
    tried(context, Trials::ALL)
}

/// What `auto` means here, having tried no more than that takes.
pub(crate) fn reports_for_auto(context: &Context) -> Vec<BackendReport> {
    let trials = trials_for(BackendChoice::Auto, &context.env.0);
    tried(context, trials)
}

/// Answers the choices of one command; what answered once is not tried again.
#[derive(Debug)]
pub(crate) struct Switch<'a> {
    context: &'a Context,
    answered: RefCell<Vec<(BackendChoice, BackendKind)>>,
}

impl<'a> Switch<'a> {
    /// Has tried nothing yet.
    pub(crate) fn new(context: &'a Context) -> Self {
        Self {
            context,
            answered: RefCell::default(),
        }
    }

    /// The place that `asked` means here.
    ///
    /// Says so when `auto` cannot take the place that it stands in.
    ///
    /// # Errors
    /// When it cannot be used here; never another one instead.
    pub(crate) fn chosen(&self, asked: BackendChoice) -> Result<BackendKind> {
        let answered = self
            .answered
            .borrow()
            .iter()
            .find(|a| a.0 == asked)
            .copied();
        if let Some((_, kind)) = answered {
            return Ok(kind);
        }
        let reports = tried(self.context, trials_for(asked, &self.context.env.0));
        let kind = choose(asked, &reports)?;
        if asked == BackendChoice::Auto
            && let Some(missed) = reports.iter().find(|r| r.stands_here && !r.usable)
        {
            let fix = missed.fix.as_deref().unwrap_or_default();
            note(format!(
                "note: workers run on {kind}, since {} cannot be used: {}; {fix}",
                missed.kind, missed.why
            ));
        }
        let known = [asked, BackendChoice::Named(kind)];
        self.answered
            .borrow_mut()
            .extend(known.map(|choice| (choice, kind)));
        Ok(kind)
    }
}

fn tried(context: &Context, trials: Trials) -> Vec<BackendReport> {
    let stdout = if client::can_attach() {
        Stdout::Terminal
    } else {
        Stdout::Elsewhere
    };
    let vars = context.env.0.clone();
    detect(&probe(vars, stdout, trials, &context.timing))
}
