//! `GET /v1/plugins` and `GET /v1/models`: what lies in the directories, and which modes it serves.

use std::{io, sync::Arc};

use axum::{extract::State, response::Json};
use serde_json::{Value, json};

use super::{App, refusal::Refusal};
use crate::model::{FoundPlugin, Mode, ModeState};

/// Every plugin file, usable or refused.
pub(super) async fn plugins(State(app): State<App>) -> Result<Json<Value>, Refusal> {
    let (registry, modes) = (app.service.registry.clone(), app.service.configuration().modes.clone());
    let list = move || {
        let entry_of = |found: FoundPlugin| match found.plugin {
            Ok(plugin) => {
                let told = plugin.descriptor;
                let serves = modes.of_backend(&told.name).filter(|mode| is_of(mode, &plugin.sha256));
                let is_behind = found.is_behind.map(|path| path.to_string_lossy().into_owned());
                json!({
                    "file": found.path.to_string_lossy(), "name": told.name, "version": told.version,
                    "build": told.build, "abi": format!("{}.{}", told.abi.0, told.abi.1), "sha256": plugin.sha256,
                    "is_behind": is_behind, "modes": serves.map(|mode| describe(mode)).collect::<Vec<_>>(),
                })
            }
            Err(reason) => json!({ "file": found.path.to_string_lossy(), "refused": reason.to_string() }),
        };
        Ok(registry.plugins()?.into_iter().map(entry_of).collect::<Vec<_>>())
    };
    let plugins: Vec<Value> = read(&app, "plugin", list).await?;
    Ok(Json(json!({ "plugins": plugins })))
}

/// Every model of the catalog.
pub(super) async fn models(State(app): State<App>) -> Result<Json<Value>, Refusal> {
    let (registry, modes) = (app.service.registry.clone(), app.service.configuration().modes.clone());
    let list = move || {
        let catalog = registry.catalog();
        let entry_of = |name: String| match catalog.entry(&name) {
            Ok(entry) => {
                let serves = modes.all().iter().filter(|mode| mode.settings.model == name);
                let default = entry.variants.get(&entry.default_variant);
                let classes = entry.classes_of(default);
                json!({
                    "name": name, "title": entry.title, "licence": entry.licence, "backend": entry.backend,
                    "default_variant": entry.default_variant, "variants": entry.variants.keys().collect::<Vec<_>>(),
                    "non_commercial": entry.non_commercial,
                    "expected_miou": default.and_then(|variant| entry.expected_miou_of(variant)),
                    "labels": classes.iter().map(|class| &class.label).collect::<Vec<_>>(),
                    "palette": classes.iter().map(|class| class.colour).collect::<Vec<_>>(),
                    "modes": serves.map(|mode| describe(mode)).collect::<Vec<_>>(),
                })
            }
            Err(error) => json!({ "name": name, "refused": error.to_string() }),
        };
        Ok(catalog.names().map_err(io::Error::other)?.into_iter().map(entry_of).collect::<Vec<_>>())
    };
    let models: Vec<Value> = read(&app, "model", list).await?;
    Ok(Json(json!({ "models": models })))
}

/// Whether the mode serves by this build.
fn is_of(mode: &Mode, sha256: &str) -> bool {
    matches!(mode.state(), ModeState::Ready(model) if model.build == sha256)
}

fn describe(mode: &Mode) -> Value {
    json!({ "name": &*mode.name, "index": mode.index, "model": mode.model, "state": mode.state().name() })
}

/// Reads a directory off the threads that serve clients: it may be one of a network.
async fn read<T: Send + 'static>(
    app: &App,
    what: &str,
    list: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    // Nobody closes the semaphore.
    let turn = Arc::clone(&app.listings).acquire_owned().await;
    let read = move || {
        // It goes with the work: whoever hangs up does not end that.
        let _turn = turn;
        list()
    };
    let listed = tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    listed.map_err(|error| Refusal::unreadable(what, &error))
}
