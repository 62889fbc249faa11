//! The Open Inference Protocol, version 2, over gRPC: what KServe, Triton, MLServer and OpenVINO's server speak.
//!
//! The messages are those of the protocol's specification, by its names and numbers; `ModelStreamInfer` is Triton's extension. Raw
//! tensors are slices of the message that they came in.

mod messages;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "made by tonic-build from the description in build.rs"
)]
mod service {
    include!(concat!(env!("OUT_DIR"), "/inference.GRPCInferenceService.rs"));
}

pub use messages::*;
pub use service::g_r_p_c_inference_service_client::GRPCInferenceServiceClient as InferenceClient;
pub use service::g_r_p_c_inference_service_server::{
    GRPCInferenceService as InferenceService, GRPCInferenceServiceServer as InferenceServer,
};

/// The type of a tensor of bytes, or of encoded pictures.
pub const BYTES: &str = "BYTES";
/// The type of a tensor of numbers from 0 to 255.
pub const UINT8: &str = "UINT8";

/// The elements of a raw tensor of [`BYTES`]: each is preceded by its length. `None` when they are cut short.
pub fn split_bytes(mut raw: bytes::Bytes) -> Option<Vec<bytes::Bytes>> {
    let mut elements = Vec::new();
    while !raw.is_empty() {
        let len = raw.get(..4)?.try_into().ok().map(u32::from_le_bytes)? as usize;
        if raw.len() - 4 < len {
            return None;
        }
        elements.push(raw.slice(4..4 + len));
        raw = raw.slice(4 + len..);
    }
    Some(elements)
}

/// One element as a raw tensor of [`BYTES`].
pub fn join_bytes(element: &[u8]) -> bytes::Bytes {
    let mut raw = Vec::with_capacity(4 + element.len());
    raw.extend((element.len() as u32).to_le_bytes());
    raw.extend(element);
    raw.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_split_as_they_were_joined_and_what_is_cut_short_is_noticed() {
        let raw: bytes::Bytes = [join_bytes(b"one"), join_bytes(b""), join_bytes(b"three")].concat().into();
        let split = split_bytes(raw.clone()).expect("whole");
        assert_eq!(split, [&b"one"[..], b"", b"three"]);
        assert!((1..raw.len()).filter(|&len| split_bytes(raw.slice(..len)).is_some()).eq([7, 11]));
        assert!(split_bytes(bytes::Bytes::from_static(&[0xFF; 8])).is_none());
    }
}
