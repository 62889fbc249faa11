//! Why a backend could not do what it was asked.

use std::fmt;

/// A failure of a backend, told to the operator in one sentence. Any `std::error::Error` converts into it with
/// `?`, its sources included.
#[derive(Debug)]
pub enum Error {
    /// What went wrong, and what would mend it.
    Failed(String),
    /// Nobody waits for the frame any more.
    Cancelled,
}

impl Error {
    /// A failure with this reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

// `Error` is no `std::error::Error` itself: that is what lets every other error convert into it.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Self::Failed(reason)
    }
}
