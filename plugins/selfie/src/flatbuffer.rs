//! Bounds-checked reading of FlatBuffers, as far as a TFLite file needs.
//!
//! Invariant: no read is outside the file, and nothing is allocated for a length the file could not hold.

/// A read that the file does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something lies, in part, beyond the end of the file.
    #[error("{what} at byte {at} reaches beyond the file's {len} bytes")]
    OutOfBounds {
        /// What was to be read.
        what: &'static str,
        /// Where.
        at: usize,
        /// The file's length.
        len: usize,
    },
    /// A table's index of fields is malformed.
    #[error("the field index of {what} at byte {at} is malformed")]
    FieldIndex {
        /// The table.
        what: &'static str,
        /// Where the index should be.
        at: i64,
    },
    /// A field that must be there is not.
    #[error("{what} is missing")]
    Missing {
        /// The field.
        what: &'static str,
    },
}

/// A table: a position in the file and its index of fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    file: &'a [u8],
    at: usize,
    /// Where each field lies from `at`, as pairs of bytes; zero for a field left out.
    fields: &'a [u8],
}

/// A vector: so many elements of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vector<'a> {
    file: &'a [u8],
    at: usize,
    count: usize,
    what: &'static str,
}

fn bytes<'a, const N: usize>(file: &'a [u8], at: usize, what: &'static str) -> Result<&'a [u8; N], Error> {
    let rest = file.get(at..).and_then(<[u8]>::first_chunk);
    rest.ok_or(Error::OutOfBounds { what, at, len: file.len() })
}

fn u32_at(file: &[u8], at: usize, what: &'static str) -> Result<usize, Error> {
    Ok(u32::from_le_bytes(*bytes(file, at, what)?) as usize)
}

/// Follows the offset stored at `at`, which counts from there.
fn follow(file: &[u8], at: usize, what: &'static str) -> Result<usize, Error> {
    let target = at.saturating_add(u32_at(file, at, what)?);
    if target < file.len() { Ok(target) } else { Err(Error::OutOfBounds { what, at: target, len: file.len() }) }
}

impl<'a> Table<'a> {
    /// The table that the file's first four bytes point to.
    pub(crate) fn root(file: &'a [u8], what: &'static str) -> Result<Self, Error> {
        Self::new(file, follow(file, 0, what)?, what)
    }

    fn new(file: &'a [u8], at: usize, what: &'static str) -> Result<Self, Error> {
        let back = i32::from_le_bytes(*bytes(file, at, what)?);
        let index_at = at as i64 - i64::from(back);
        let malformed = Error::FieldIndex { what, at: index_at };
        let index = usize::try_from(index_at).ok().and_then(|at| file.get(at..)).ok_or(malformed)?;
        let len = u16::from_le_bytes(*index.first_chunk().ok_or(malformed)?);
        let fields = index.get(4..usize::from(len)).ok_or(malformed)?;
        Ok(Self { file, at, fields })
    }

    /// Where field `slot` lies, if the table has it.
    fn field(&self, slot: usize) -> Option<usize> {
        let offset = u16::from_le_bytes(*self.fields.get(slot * 2..)?.first_chunk()?);
        (offset != 0).then(|| self.at + usize::from(offset))
    }

    pub(crate) fn u8(&self, slot: usize, default: u8, what: &'static str) -> Result<u8, Error> {
        self.field(slot).map_or(Ok(default), |at| bytes(self.file, at, what).map(|[byte]| *byte))
    }

    pub(crate) fn i32(&self, slot: usize, default: i32, what: &'static str) -> Result<i32, Error> {
        self.field(slot).map_or(Ok(default), |at| bytes(self.file, at, what).map(|b| i32::from_le_bytes(*b)))
    }

    pub(crate) fn u32(&self, slot: usize, what: &'static str) -> Result<usize, Error> {
        self.field(slot).map_or(Ok(0), |at| u32_at(self.file, at, what))
    }

    pub(crate) fn table(&self, slot: usize, what: &'static str) -> Result<Option<Self>, Error> {
        let Some(at) = self.field(slot) else {
            return Ok(None);
        };
        Self::new(self.file, follow(self.file, at, what)?, what).map(Some)
    }

    /// A vector of elements of `size` bytes; empty if left out.
    pub(crate) fn vector(&self, slot: usize, size: usize, what: &'static str) -> Result<Vector<'a>, Error> {
        let file = self.file;
        let Some(field) = self.field(slot) else {
            return Ok(Vector { file, at: 0, count: 0, what });
        };
        let at = follow(file, field, what)?;
        let count = u32_at(file, at, what)?;
        let end = count.checked_mul(size).and_then(|len| len.checked_add(at + 4));
        if end.is_none_or(|end| end > file.len()) {
            return Err(Error::OutOfBounds { what, at, len: file.len() });
        }
        Ok(Vector { file, at: at + 4, count, what })
    }

    /// A vector of bytes, or a string's bytes.
    pub(crate) fn bytes(&self, slot: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let vector = self.vector(slot, 1, what)?;
        Ok(&self.file[vector.at..vector.at + vector.count])
    }
}

impl<'a> Vector<'a> {
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// The elements of a vector of 4-byte integers.
    pub(crate) fn i32s(self) -> impl Iterator<Item = i32> + 'a {
        let bytes = &self.file[self.at..self.at + 4 * self.count];
        bytes.as_chunks().0.iter().map(|chunk| i32::from_le_bytes(*chunk))
    }

    /// The elements of a vector of tables.
    pub(crate) fn tables(self) -> impl Iterator<Item = Result<Table<'a>, Error>> {
        (0..self.count).map(move |i| Table::new(self.file, follow(self.file, self.at + 4 * i, self.what)?, self.what))
    }

    /// The first table.
    pub(crate) fn first(self) -> Result<Table<'a>, Error> {
        self.tables().next().unwrap_or(Err(Error::Missing { what: self.what }))
    }
}
