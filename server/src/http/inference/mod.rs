//! The Open Inference Protocol, version 2: whoever speaks it can call a mode as a model, by REST and by gRPC, at an address of its own.
//!
//! A mode has one input, `image`: pixels (UINT8, height x width x 3, with or without a leading 1) or one encoded picture (BYTES). Its
//! outputs are `mask` (UINT8, 1 x height x width, a class id for each pixel) and, for those who ask, `confidence`.
//!
//! Architecture invariant: a picture that comes this way waits, runs and is traced as one of `POST /v1/segment`.

mod grpc;
mod rest;

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    middleware,
    routing::{get, post},
};
use bytes::Bytes;
use segue_oip::{TensorMetadata, UINT8};

use super::{App, access, one_shot, refusal::Refusal};
use crate::{
    config::Pass,
    model::Mode,
    pipeline::{Accepts, FrameError, Wanted},
};

/// The only one: what a mode is made of changes by reload, and every answer names its generation.
const VERSION: &str = "1";
const IMAGE: &str = "image";
const MASK: &str = "mask";
const CONFIDENCE: &str = "confidence";

/// What the server can beyond the protocol's core.
const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];

/// All of the protocol, by both ways.
pub(super) fn router(app: App) -> Router {
    let model = Router::new()
        .route("/", get(rest::model))
        .route("/ready", get(rest::model_ready))
        .route("/infer", post(rest::infer));
    Router::new()
        .route("/v2", get(rest::server))
        .route("/v2/", get(rest::server))
        .route("/v2/health/live", get(rest::live))
        .route("/v2/health/ready", get(rest::ready))
        .nest("/v2/models/{model}", model.clone())
        .nest("/v2/models/{model}/versions/{version}", model)
        .route("/inference.GRPCInferenceService/{method}", post(grpc::call))
        .fallback(rest::unknown)
        .with_state(app.clone())
        .layer(middleware::from_fn_with_state(app, access::authorize))
}

/// The mode that a request calls `model`.
fn mode_of(app: &App, model: &str, version: &str) -> Result<std::sync::Arc<Mode>, Refusal> {
    if !["", VERSION].contains(&version) {
        let message = format!("model {model:?} has no version {version:?}; there is {VERSION:?}");
        return Err(Refusal { status: StatusCode::NOT_FOUND, code: "unknown_version", message });
    }
    Ok(app.service.configuration().modes.get(model)?.clone())
}

fn tensors(all: &[(&str, &str, &[i64])]) -> Vec<TensorMetadata> {
    let tensor = |&(name, datatype, shape): &(&str, &str, &[i64])| TensorMetadata {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.into(),
    };
    all.iter().map(tensor).collect()
}

fn inputs() -> Vec<TensorMetadata> {
    tensors(&[(IMAGE, UINT8, &[1, -1, -1, 3])])
}

fn outputs() -> Vec<TensorMetadata> {
    tensors(&[(MASK, UINT8, &[1, -1, -1]), (CONFIDENCE, UINT8, &[1, -1, -1])])
}

/// The one input of a request.
struct Picture {
    bytes: Bytes,
    accepts: Accepts,
}

impl Picture {
    /// Pixels of this shape.
    fn of_pixels(shape: &[i64], bytes: Bytes) -> Result<Self, Refusal> {
        let (height, width) = match *shape {
            [1, height, width, 3] | [height, width, 3] => (height, width),
            _ => return Err(bad_input(format!("{IMAGE} has the shape {shape:?}; expected [1, height, width, 3]"))),
        };
        let side = |side: i64| u32::try_from(side).ok().filter(|&side| side > 0);
        let (Some(width_px), Some(height_px)) = (side(width), side(height)) else {
            return Err(bad_input(format!("{IMAGE} has the shape {shape:?}, which is no picture's")));
        };
        Ok(Self { bytes, accepts: Accepts::Pixels { width_px, height_px } })
    }

    /// One encoded picture.
    fn of_encoded(mut elements: Vec<Bytes>) -> Result<Self, Refusal> {
        match (elements.pop(), elements.len()) {
            (Some(bytes), 0) => Ok(Self { bytes, accepts: Accepts::AnyPicture }),
            (_, others) => Err(bad_input(format!("{IMAGE} has {} pictures; one at a time", others + 1))),
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Default)]
struct Outputs {
    confidence: bool,
}

impl Outputs {
    /// Those that are named; the mask when none is.
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, Refusal> {
        let mut outputs = Self::default();
        for name in names {
            match name {
                MASK => {}
                CONFIDENCE => outputs.confidence = true,
                other => {
                    return Err(bad_input(format!("there is no output {other:?}; there are {MASK} and {CONFIDENCE}")));
                }
            }
        }
        Ok(outputs)
    }
}

/// A segmented picture.
struct Planes {
    shape: [i64; 3],
    /// Each with its name.
    planes: Vec<(&'static str, Bytes)>,
    generation: u32,
    trace_id: String,
}

/// Segments one picture, as `POST /v1/segment` does.
async fn segment(
    app: &App,
    mode: &Mode,
    picture: Picture,
    outputs: Outputs,
    (pass, headers): (&Pass, &HeaderMap),
) -> Result<Planes, Refusal> {
    if outputs.confidence && mode.told().is_some_and(|(info, _)| !info.has_confidence) {
        return Err(bad_input(format!("the mode {:?} does not say how certain it is", &*mode.name)));
    }
    let wanted = Wanted::Planes { confidence: outputs.confidence };
    let configuration = app.service.configuration();
    let job = one_shot::Job { mode, bytes: picture.bytes, accepts: picture.accepts, wanted };
    let (segmented, trace_id) = one_shot::run(app, &configuration, job, (pass, headers)).await;
    let mask = segmented?;
    let (width, height) = (i64::from(mask.width_px), i64::from(mask.height_px));
    let mut bytes = mask.bytes.freeze().slice(crate::pipeline::HEADROOM_LEN_BYTES..);
    let labels = bytes.split_to(usize::from(mask.width_px) * usize::from(mask.height_px));
    let mut planes = vec![(MASK, labels)];
    if outputs.confidence {
        planes.push((CONFIDENCE, bytes));
    }
    Ok(Planes { shape: [1, height, width], planes, generation: configuration.generation, trace_id })
}

fn bad_input(message: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: "bad_input", message }
}

/// Whether the default mode serves, and the server does not stop.
fn is_ready(app: &App) -> bool {
    super::health::is_ready(app)
}

/// Whether `mode` serves.
fn can_serve(mode: &Mode) -> Result<(), FrameError> {
    match mode.state().can_serve() {
        true => Ok(()),
        false => Err(FrameError::NotReady(mode.state().message().to_owned())),
    }
}
