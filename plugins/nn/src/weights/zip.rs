//! The zip archives that torch.save writes: its members are stored as they are, so each is a range of the file.
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>
//!
//! Checksums are not compared: torch can be told not to compute them, and whole files are known by their SHA-256.

use std::collections::BTreeMap;

use super::WeightsError;
use super::bytes::Bytes;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const END64_LOCATOR: u64 = 0x0706_4b50;
const END64: u64 = 0x0606_4b50;
const MEMBER: u64 = 0x0201_4b50;
const LOCAL: u64 = 0x0403_4b50;
const IN_EXTRA: u64 = 0xffff_ffff;
const MOST_COMMENT_BYTES: usize = 0xffff;

/// The members of an archive.
pub(super) struct Archive<'a> {
    file: Bytes<'a>,
    members: BTreeMap<&'a str, Member>,
}

struct Member {
    method: u64,
    len: u64,
    local: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn read(file: Bytes<'a>) -> Result<Self, WeightsError> {
        let (start, len) = directory(file)?;
        file.slice("the archive's directory", start, len)?;
        let (mut at, end) = (start, start + len);
        let mut members = BTreeMap::new();
        while at < end {
            at = member(file, at, &mut members)?;
        }
        Ok(Self { file, members })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.keys().copied()
    }

    /// Where in the file the member `name` begins, and its length.
    pub(super) fn find(&self, name: &str) -> Result<(u64, u64), WeightsError> {
        let file = self.file;
        let Some(member) = self.members.get(name) else {
            return Err(file.damaged(format!("the archive has no member {name:?}")));
        };
        if member.method != 0 {
            return Err(file.damaged(format!("the archive's member {name:?} is compressed, as torch.save never does")));
        }
        if file.u32(name, member.local)? != LOCAL {
            return Err(file.damaged(format!("the archive's member {name:?} is not where its directory says")));
        }
        let header = 30 + file.u16(name, member.local + 26)? + file.u16(name, member.local + 28)?;
        let start = member.local + header;
        file.slice(&format!("the archive's member {name:?}"), start, member.len)?;
        Ok((start, member.len))
    }
}

/// Where the directory is, and its length.
fn directory(file: Bytes<'_>) -> Result<(u64, u64), WeightsError> {
    let first = file.all.len().saturating_sub(END_LEN + MOST_COMMENT_BYTES);
    let last = file.all.get(first..).unwrap_or_default().windows(END_LEN).rposition(|window| window.starts_with(END));
    let Some(end) = last.map(|at| (first + at) as u64) else {
        return Err(file.truncated("the archive's directory", file.all.len() as u64 + END_LEN as u64));
    };
    let what = "the archive's end";
    if let Some(locator) = end.checked_sub(20)
        && file.u32(what, locator)? == END64_LOCATOR
    {
        let end64 = file.u64(what, locator + 8)?;
        if file.u32(what, end64)? != END64 {
            return Err(file.damaged("the archive's directory is not where its end says"));
        }
        return Ok((file.u64(what, end64 + 48)?, file.u64(what, end64 + 40)?));
    }
    Ok((file.u32(what, end + 16)?, file.u32(what, end + 12)?))
}

/// Reads the directory's entry at `at`; returns where the next one is.
fn member<'a>(file: Bytes<'a>, at: u64, members: &mut BTreeMap<&'a str, Member>) -> Result<u64, WeightsError> {
    let what = "the archive's directory";
    if file.u32(what, at)? != MEMBER {
        return Err(file.damaged(format!("the archive's directory has no entry at byte {at}")));
    }
    let (method, packed_len) = (file.u16(what, at + 10)?, file.u32(what, at + 20)?);
    let (mut len, mut local) = (file.u32(what, at + 24)?, file.u32(what, at + 42)?);
    let name_len = file.u16(what, at + 28)?;
    let extra = at + 46 + name_len;
    let extra_end = extra + file.u16(what, at + 30)?;
    let next = extra_end + file.u16(what, at + 32)?;
    let mut field = extra;
    while field + 4 <= extra_end {
        let mut value = field + 4;
        if file.u16(what, field)? == 1 {
            // Those of the 32-bit fields that overflowed, in this order.
            if len == IN_EXTRA {
                len = file.u64(what, value)?;
                value += 8;
            }
            if packed_len == IN_EXTRA {
                value += 8;
            }
            if local == IN_EXTRA {
                local = file.u64(what, value)?;
            }
        }
        field += 4 + file.u16(what, field + 2)?;
    }
    let name = file.slice(what, at + 46, name_len)?;
    // A local header must lie in the file, so that sums from here on can't overflow.
    if let Ok(name) = str::from_utf8(name)
        && local < file.all.len() as u64
    {
        members.insert(name, Member { method, len, local });
    }
    Ok(next)
}
