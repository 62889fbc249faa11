//! Makes the client and the server of the service, which is described here rather than in a `.proto` file: no compiler for those
//! has to be installed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str, response: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::{route}Request"))
            .output_type(format!("crate::{response}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let unary = |name: &str, route: &str| method(name, route, &format!("{route}Response")).build();
    let stream = Method::builder()
        .name("model_stream_infer")
        .route_name("ModelStreamInfer")
        .input_type("crate::ModelInferRequest")
        .output_type("crate::ModelStreamInferResponse")
        .codec_path("tonic_prost::ProstCodec")
        .client_streaming()
        .server_streaming()
        .build();
    let service = Service::builder()
        .name("GRPCInferenceService")
        .package("inference")
        .method(unary("server_live", "ServerLive"))
        .method(unary("server_ready", "ServerReady"))
        .method(unary("model_ready", "ModelReady"))
        .method(unary("server_metadata", "ServerMetadata"))
        .method(unary("model_metadata", "ModelMetadata"))
        .method(unary("model_infer", "ModelInfer"))
        .method(stream)
        .build();
    Builder::new().compile(&[service]);
}
