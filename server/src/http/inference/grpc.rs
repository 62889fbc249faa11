//! By gRPC, frame by frame or as a stream.

use std::pin::Pin;

use axum::{body::Body, extract::State, http::HeaderMap};
use bytes::Bytes;
use futures_util::{Stream, stream};
use segue_oip::{
    BYTES, InferTensor, InferTensorContents, InferenceServer, InferenceService, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStreamInferResponse,
    ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest,
    ServerReadyResponse, UINT8, split_bytes,
};
use tonic::{Code, Request, Response, Status, Streaming, codegen::Service as _};

use super::{App, EXTENSIONS, Outputs, Picture, VERSION, bad_input, can_serve, mode_of};
use crate::{config::Pass, http::refusal::Refusal};

/// What a message has beside its picture.
const OTHER_LEN_BYTES: usize = 64 << 10;

/// One call, in which messages are as long as uploads may be now.
pub(super) async fn call(State(app): State<App>, request: axum::extract::Request) -> axum::response::Response {
    let most = app.service.configuration().limits.max_upload_len_bytes + OTHER_LEN_BYTES;
    let called = InferenceServer::new(Inference(app)).max_decoding_message_size(most).call(request).await;
    let Ok(response) = called;
    response.map(Body::new)
}

pub(super) struct Inference(App);

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.status.as_u16() {
            400 | 406 | 413 | 422 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            404 => Code::NotFound,
            408 => Code::DeadlineExceeded,
            503 => Code::Unavailable,
            _ => Code::Internal,
        };
        Self::new(code, refusal.message)
    }
}

impl Inference {
    async fn infer(&self, request: Request<ModelInferRequest>) -> Result<ModelInferResponse, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let pass = extensions.get::<Pass>().cloned().ok_or_else(|| Status::unauthenticated("a token is needed"))?;
        Ok(self.segment(request, &pass, &metadata.into_headers()).await?)
    }

    async fn segment(
        &self,
        request: ModelInferRequest,
        pass: &Pass,
        headers: &HeaderMap,
    ) -> Result<ModelInferResponse, Refusal> {
        let mode = mode_of(&self.0, &request.model_name, &request.model_version)?;
        let outputs = Outputs::of(request.outputs.iter().map(|output| output.name.as_str()))?;
        let (model_name, id) = (request.model_name.clone(), request.id.clone());
        let planes = super::segment(&self.0, &mode, picture(request)?, outputs, (pass, headers)).await?;
        let (mut outputs, mut raw_output_contents) = (Vec::new(), Vec::new());
        for (name, plane) in planes.planes {
            let (name, datatype, shape) = (name.into(), UINT8.into(), planes.shape.into());
            outputs.push(InferTensor { name, datatype, shape, ..InferTensor::default() });
            raw_output_contents.push(plane);
        }
        let model_version = VERSION.into();
        Ok(ModelInferResponse { model_name, model_version, id, outputs, raw_output_contents, ..Default::default() })
    }
}

fn picture(mut request: ModelInferRequest) -> Result<Picture, Refusal> {
    if request.inputs.len() != 1 {
        let count = request.inputs.len();
        return Err(bad_input(format!("the request has {count} inputs; expected one, {}", super::IMAGE)));
    }
    let input = request.inputs.remove(0);
    let raw = match request.raw_input_contents.len() {
        0 => None,
        1 => request.raw_input_contents.pop(),
        count => return Err(bad_input(format!("the request has {count} raw tensors, and one input"))),
    };
    let contents = input.contents.unwrap_or_default();
    match (&*input.datatype, raw) {
        (UINT8, Some(raw)) => Picture::of_pixels(&input.shape, raw),
        (UINT8, None) => Picture::of_pixels(&input.shape, pixels(&contents)?),
        (BYTES, Some(raw)) => Picture::of_encoded(
            split_bytes(raw).ok_or_else(|| bad_input("a tensor of BYTES that is cut short".into()))?,
        ),
        (BYTES, None) => Picture::of_encoded(contents.bytes_contents),
        (other, _) => Err(bad_input(format!("{} is of {other}; expected {UINT8} or {BYTES}", super::IMAGE))),
    }
}

fn pixels(contents: &InferTensorContents) -> Result<Bytes, Refusal> {
    let bytes: Result<Vec<u8>, _> = contents.uint_contents.iter().map(|&number| u8::try_from(number)).collect();
    bytes.map(Bytes::from).map_err(|_large| bad_input("pixels are numbers from 0 to 255".into()))
}

type Answers = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

#[tonic::async_trait]
impl InferenceService for Inference {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: super::is_ready(&self.0) }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = can_serve(&*mode_of(&self.0, &name, &version)?).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        let (name, version) = ("segue".into(), env!("CARGO_PKG_VERSION").into());
        let extensions = EXTENSIONS.map(str::to_owned).into();
        Ok(Response::new(ServerMetadataResponse { name, version, extensions }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        mode_of(&self.0, &name, &version)?;
        let (versions, platform) = (vec![VERSION.into()], "segue".into());
        let (inputs, outputs) = (super::inputs(), super::outputs());
        Ok(Response::new(ModelMetadataResponse { name, versions, platform, inputs, outputs }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        self.infer(request).await.map(Response::new)
    }

    type ModelStreamInferStream = Answers;

    /// Each request is answered in its order; one that fails says so and does not end the stream.
    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (metadata, extensions, requests) = request.into_parts();
        let pass = extensions.get::<Pass>().cloned().ok_or_else(|| Status::unauthenticated("a token is needed"))?;
        let (service, headers) = (Self(self.0.clone()), metadata.into_headers());
        let answers = stream::unfold(Conversation { service, pass, headers, requests }, Conversation::next);
        Ok(Response::new(Box::pin(answers)))
    }
}

/// A stream of requests, and who sends it.
struct Conversation {
    service: Inference,
    pass: Pass,
    headers: HeaderMap,
    requests: Streaming<ModelInferRequest>,
}

impl Conversation {
    /// The answer to the next request, if one comes.
    async fn next(mut self) -> Option<(Result<ModelStreamInferResponse, Status>, Self)> {
        let request = tokio::select! {
            request = self.requests.message() => request,
            () = self.service.0.service.stopping() => Err(Status::unavailable("the server stops")),
        };
        let request = match request.transpose()? {
            Ok(request) => request,
            Err(broken) => return Some((Err(broken), self)),
        };
        let id = request.id.clone();
        let (error_message, response) = match self.service.segment(request, &self.pass, &self.headers).await {
            Ok(response) => (String::new(), response),
            // So that the client knows which one it was.
            Err(refusal) => (refusal.message, ModelInferResponse { id, ..ModelInferResponse::default() }),
        };
        Some((Ok(ModelStreamInferResponse { error_message, infer_response: Some(response) }), self))
    }
}
