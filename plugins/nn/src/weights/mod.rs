//! Parameters by name (a stand-in until the reader of files is merged).
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::Path,
};

/// Why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WeightsError(pub String);

/// A file of parameters, by name.
pub struct Weights {
    name: String,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    taken: RefCell<BTreeSet<String>>,
}

impl Weights {
    /// Opens.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let error = |e: &dyn Display| WeightsError(format!("{}: {e}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| error(&e))?;
        let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| error(&e))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let data = view.data();
            let values = match view.dtype() {
                safetensors::Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                safetensors::Dtype::F16 => {
                    data.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
                }
                _ => continue,
            };
            tensors.insert(name, (view.shape().to_vec(), values));
        }
        Ok(Self { name: path.display().to_string(), tensors, taken: RefCell::default() })
    }
    /// From.
    pub fn from_map(name: &str, tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Self {
        Self { name: name.into(), tensors, taken: RefCell::default() }
    }
    /// Root.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, path: String::new() }
    }
    /// Finish.
    pub fn finish(&self, is_ignored: impl Fn(&str) -> bool) -> Result<(), WeightsError> {
        let left: Vec<_> =
            self.tensors.keys().filter(|k| !self.taken.borrow().contains(*k) && !is_ignored(k)).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(WeightsError(format!("{}: {} left: {:?}", self.name, left.len(), &left[..left.len().min(5)])))
        }
    }
}
/// A place.
#[derive(Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    path: String,
}
impl<'a> Scope<'a> {
    /// Below.
    pub fn at(&self, part: impl Display) -> Scope<'a> {
        Scope { weights: self.weights, path: self.full(&part.to_string()) }
    }
    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }
    /// Is there.
    pub fn contains(&self, name: &str) -> bool {
        self.weights.tensors.contains_key(&self.full(name))
    }
    /// Shape.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.weights.tensors.get(&self.full(name)).map(|t| &t.0[..])
    }
    /// Values.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let name = self.full(name);
        let (found, values) = self
            .weights
            .tensors
            .get(&name)
            .ok_or_else(|| WeightsError(format!("{}: {name} is missing", self.weights.name)))?;
        if found != shape {
            return Err(WeightsError(format!("{}: {name} is {found:?}, expected {shape:?}", self.weights.name)));
        }
        self.weights.taken.borrow_mut().insert(name);
        Ok(values.clone())
    }
}
