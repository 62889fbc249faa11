//! A file's bytes with its name, so that every access is checked and every error says where.

use super::WeightsError;

/// The whole file, as it is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    pub(super) name: &'a str,
    pub(super) all: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// The `len` bytes from `start`, which are `what`.
    pub(super) fn slice(&self, what: &str, start: u64, len: u64) -> Result<&'a [u8], WeightsError> {
        let end = start.saturating_add(len);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        range.and_then(|(start, end)| self.all.get(start..end)).ok_or_else(|| self.truncated(what, end))
    }

    pub(super) fn u16(&self, what: &str, at: u64) -> Result<u64, WeightsError> {
        self.number(what, at, 2)
    }

    pub(super) fn u32(&self, what: &str, at: u64) -> Result<u64, WeightsError> {
        self.number(what, at, 4)
    }

    pub(super) fn u64(&self, what: &str, at: u64) -> Result<u64, WeightsError> {
        self.number(what, at, 8)
    }

    fn number(&self, what: &str, at: u64, len: u64) -> Result<u64, WeightsError> {
        Ok(little_endian(self.slice(what, at, len)?))
    }

    pub(super) fn truncated(&self, what: &str, end: u64) -> WeightsError {
        let len = self.all.len() as u64;
        WeightsError::Truncated { file: self.name.into(), what: what.into(), end, len }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> WeightsError {
        WeightsError::Damaged { file: self.name.into(), what: what.into() }
    }

    pub(super) fn unreadable(&self, tensor: &str, why: &'static str) -> WeightsError {
        WeightsError::Unreadable { file: self.name.into(), tensor: tensor.into(), why }
    }
}

/// The number that at most eight bytes hold.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte))
}
