//! Models that are loaded or being loaded: modes that need the same one share it, and its instances.

use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use super::{instances::LoadedModel, loader::Artifacts, mode::ModeFault};
use crate::config::ModeSettings;

/// What a model is made of, and how. Modes for which that is equal share it.
#[derive(Clone)]
pub(super) struct Recipe {
    pub(super) settings: ModeSettings,
    pub(super) artifacts: Artifacts,
    /// How often somebody asked for processes afresh.
    pub(super) edition: u32,
}

impl Recipe {
    fn makes_the_same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.artifacts, &other.artifacts);
        self.edition == other.edition
            && self.settings.of_the_model() == other.settings.of_the_model()
            && (ours == theirs || ours.become_when_fetched(theirs))
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Arc<Place>>>);

/// One model. Whoever loads it holds the lock, and whoever else needs it waits there.
struct Place {
    recipe: Recipe,
    model: Mutex<Weak<LoadedModel>>,
}

impl Place {
    fn is_needed(self: &Arc<Self>) -> bool {
        let is_loaded = || match self.model.try_lock() {
            Ok(model) => model.strong_count() > 0,
            Err(TryLockError::Poisoned(model)) => model.into_inner().strong_count() > 0,
            Err(TryLockError::WouldBlock) => true,
        };
        Arc::strong_count(self) > 1 || is_loaded()
    }
}

impl Pool {
    /// The model of `recipe`; if there is none that is fit to serve, `load` makes it.
    pub(super) fn get(
        &self,
        recipe: &Recipe,
        load: impl FnOnce() -> Result<LoadedModel, ModeFault>,
    ) -> Result<Arc<LoadedModel>, ModeFault> {
        let place = self.place(recipe);
        let mut model = place.model.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = model.upgrade().filter(|model| model.is_fit()) {
            return Ok(shared);
        }
        let loaded = Arc::new(load()?);
        *model = Arc::downgrade(&loaded);
        Ok(loaded)
    }

    fn place(&self, recipe: &Recipe) -> Arc<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(Place::is_needed);
        if let Some(place) = places.iter().find(|place| place.recipe.makes_the_same_as(recipe)) {
            return Arc::clone(place);
        }
        let place = Arc::new(Place { recipe: recipe.clone(), model: Mutex::default() });
        places.push(Arc::clone(&place));
        place
    }
}
