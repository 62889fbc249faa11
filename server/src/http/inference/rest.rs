//! By REST: JSON, and tensors as bytes behind it.

use axum::{
    body::Body,
    extract::{Extension, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Json, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use segue_oip::{BYTES, TensorMetadata, UINT8, split_bytes};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use super::{App, EXTENSIONS, Outputs, Picture, Planes, VERSION, bad_input, can_serve, mode_of};
use crate::{
    config::Pass,
    http::{
        one_shot::{GENERATION, TRACE_ID, read_upload},
        refusal::Refusal,
    },
};

/// How long the JSON is, when bytes follow it.
const JSON_LEN: HeaderName = HeaderName::from_static("inference-header-content-length");

/// A refusal, as the protocol has it.
pub(super) struct Fault(Refusal);

impl<R: Into<Refusal>> From<R> for Fault {
    fn from(refusal: R) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.0.status, Json(json!({"error": self.0.message}))).into_response()
    }
}

pub(super) async fn server() -> Json<Value> {
    Json(json!({"name": "segue", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS}))
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

pub(super) async fn ready(State(app): State<App>) -> Response {
    let ready = super::is_ready(&app);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready}))).into_response()
}

pub(super) async fn unknown() -> Fault {
    Refusal {
        status: StatusCode::NOT_FOUND,
        code: "not_found",
        message: "there is nothing here but /v2 and gRPC".into(),
    }
    .into()
}

/// What a path names.
#[derive(Deserialize)]
pub(super) struct Named {
    model: String,
    #[serde(default)]
    version: String,
}

pub(super) async fn model_ready(State(app): State<App>, Path(named): Path<Named>) -> Result<Json<Value>, Fault> {
    let mode = mode_of(&app, &named.model, &named.version)?;
    can_serve(&mode)?;
    Ok(Json(json!({"name": named.model, "ready": true})))
}

pub(super) async fn model(State(app): State<App>, Path(named): Path<Named>) -> Result<Json<Value>, Fault> {
    let mode = mode_of(&app, &named.model, &named.version)?;
    let list = |tensors: Vec<TensorMetadata>| -> Vec<Value> {
        let tensor = |of: TensorMetadata| json!({"name": of.name, "datatype": of.datatype, "shape": of.shape});
        tensors.into_iter().map(tensor).collect()
    };
    // Beyond the protocol: what the numbers of a mask mean.
    let (labels, palette) =
        mode.told().map(|(info, _)| (info.labels.clone(), info.palette.clone())).unwrap_or_default();
    Ok(Json(json!({
        "name": named.model, "versions": [VERSION], "platform": "segue",
        "inputs": list(super::inputs()), "outputs": list(super::outputs()),
        "parameters": {"backend": mode.backend, "model": mode.model, "labels": labels, "palette": palette},
    })))
}

/// A request's JSON. What it says beyond this is not for us.
#[derive(Deserialize)]
struct Question {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
}

#[derive(Deserialize)]
struct Input {
    shape: Vec<i64>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

pub(super) async fn infer(
    State(app): State<App>,
    Path(named): Path<Named>,
    headers: HeaderMap,
    Extension(pass): Extension<Pass>,
    body: Body,
) -> Result<Response, Fault> {
    let mode = mode_of(&app, &named.model, &named.version)?;
    let body = read_upload(&app, body).await?;
    let (text, raw) = split(body, &headers)?;
    let question: Question =
        serde_json::from_slice(&text).map_err(|error| bad_input(format!("the request's JSON: {error}")))?;
    let outputs = Outputs::of(question.outputs.iter().map(|output| output.name.as_str()))?;
    let picture = picture(&question.inputs, raw)?;
    let planes = super::segment(&app, &mode, picture, outputs, (&pass, &headers)).await?;
    Ok(answer(&named.model, &question, planes))
}

/// The JSON, and the bytes behind it.
fn split(mut body: Bytes, headers: &HeaderMap) -> Result<(Bytes, Bytes), Refusal> {
    let Some(len) = headers.get(JSON_LEN) else { return Ok((body, Bytes::new())) };
    let len = len.to_str().ok().and_then(|len| len.parse().ok()).filter(|&len| len <= body.len());
    let len = len.ok_or_else(|| bad_input(format!("{JSON_LEN} is no length within the body's {}", body.len())))?;
    let text = body.split_to(len);
    Ok((text, body))
}

fn picture(inputs: &[Input], raw: Bytes) -> Result<Picture, Refusal> {
    let [input] = inputs else {
        return Err(bad_input(format!("the request has {} inputs; expected one, {}", inputs.len(), super::IMAGE)));
    };
    let raw = match (input.parameters.binary_data_size, &input.data) {
        (Some(len), None) if len == raw.len() => Some(raw),
        (Some(len), None) => {
            let found = raw.len();
            return Err(bad_input(format!("binary_data_size is {len}, and {found} bytes follow the JSON")));
        }
        (None, Some(_)) => None,
        _ => return Err(bad_input("the input needs either data or binary_data_size".into())),
    };
    let data = input.data.as_deref().map_or("[]", RawValue::get);
    let wrong = |error: serde_json::Error| bad_input(format!("the input's data: {error}"));
    match (&*input.datatype, raw) {
        (UINT8, Some(raw)) => Picture::of_pixels(&input.shape, raw),
        (UINT8, None) => {
            let Flat(pixels) = serde_json::from_str(data).map_err(wrong)?;
            Picture::of_pixels(&input.shape, pixels.into())
        }
        (BYTES, Some(raw)) => Picture::of_encoded(
            split_bytes(raw).ok_or_else(|| bad_input("a tensor of BYTES that is cut short".into()))?,
        ),
        (BYTES, None) => {
            let texts: Vec<String> = serde_json::from_str(data).map_err(wrong)?;
            let decoded: Result<Vec<_>, _> = texts.iter().map(|text| STANDARD.decode(text)).collect();
            let decoded = decoded.map_err(|error| bad_input(format!("a picture in JSON is in base64: {error}")))?;
            Picture::of_encoded(decoded.into_iter().map(Bytes::from).collect())
        }
        (other, _) => Err(bad_input(format!("{} is of {other}; expected {UINT8} or {BYTES}", super::IMAGE))),
    }
}

fn answer(model: &str, question: &Question, planes: Planes) -> Response {
    let is_binary = |name: &str| {
        let asked = question.outputs.iter().find(|output| output.name == name);
        let own = asked.and_then(|output| output.parameters.binary_data);
        own.or(question.parameters.binary_data_output).unwrap_or(false)
    };
    let (mut outputs, mut raw) = (Vec::new(), Vec::new());
    for (name, plane) in planes.planes {
        let mut output = json!({"name": name, "datatype": UINT8, "shape": planes.shape});
        if is_binary(name) {
            output["parameters"] = json!({"binary_data_size": plane.len()});
            raw.extend_from_slice(&plane);
        } else {
            output["data"] = json!(&plane[..]);
        }
        outputs.push(output);
    }
    let mut text = json!({"model_name": model, "model_version": VERSION, "outputs": outputs});
    if let Some(id) = &question.id {
        text["id"] = json!(id);
    }
    let mut body = text.to_string().into_bytes();
    let json_len = body.len();
    let mut headers = HeaderMap::new();
    headers.insert(GENERATION, planes.generation.into());
    headers.insert(TRACE_ID, HeaderValue::try_from(planes.trace_id).unwrap_or(HeaderValue::from_static("")));
    if raw.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(JSON_LEN, json_len.into());
        body.append(&mut raw);
    }
    (headers, body).into_response()
}

/// Numbers in lists within lists, in their order.
struct Flat(Vec<u8>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut numbers = Vec::new();
        deserializer.deserialize_any(Flatten(&mut numbers))?;
        Ok(Self(numbers))
    }
}

struct Flatten<'a>(&'a mut Vec<u8>);

impl<'de> Visitor<'de> for Flatten<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("numbers from 0 to 255, in lists")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        let byte = u8::try_from(number);
        self.0.push(byte.map_err(|_large| E::invalid_value(serde::de::Unexpected::Unsigned(number), &"0 to 255"))?);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Flatten(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Flatten<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}
