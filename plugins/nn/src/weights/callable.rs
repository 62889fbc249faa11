//! The functions and classes that a pickle of torch.save names, as far as they are known here.

use super::entry::Dtype;

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    RebuildSubclass,
    StorageType(Dtype),
    Unknown,
}

impl Callable {
    pub(super) fn named(module: &str, name: &str) -> Self {
        match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildSubclass,
            ("torch" | "torch.storage", storage) => {
                let kind = STORAGES.iter().find(|(name, _)| *name == storage);
                kind.map_or(Self::Unknown, |(_, dtype)| Self::StorageType(*dtype))
            }
            _ => Self::Unknown,
        }
    }
}

const STORAGES: [(&str, Dtype); 16] = [
    ("FloatStorage", Dtype::F32),
    ("HalfStorage", Dtype::F16),
    ("BFloat16Storage", Dtype::BF16),
    ("DoubleStorage", Dtype::F64),
    ("BoolStorage", Dtype::Integer("bool", 1)),
    ("ByteStorage", Dtype::Integer("uint8", 1)),
    ("CharStorage", Dtype::Integer("int8", 1)),
    ("ShortStorage", Dtype::Integer("int16", 2)),
    ("IntStorage", Dtype::Integer("int32", 4)),
    ("LongStorage", Dtype::Integer("int64", 8)),
    ("ComplexFloatStorage", Dtype::Other("complex64", 8)),
    ("ComplexDoubleStorage", Dtype::Other("complex128", 16)),
    ("QInt8Storage", Dtype::Other("qint8", 1)),
    ("QUInt8Storage", Dtype::Other("quint8", 1)),
    ("QInt32Storage", Dtype::Other("qint32", 4)),
    ("UntypedStorage", Dtype::Other("untyped", 1)),
];
