//! Where weights come from, as a catalog entry says it.

use std::path::PathBuf;

use serde::Deserialize;

/// A place that carries files of weights.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Lines")]
pub enum Source {
    /// A package, fetched by its registry's ordinary client.
    Package {
        /// Which registry.
        registry: Registry,
        /// Name.
        package: String,
        /// Exact version.
        version: String,
    },
    /// A repository of the Hugging Face hub, or of the mirror that `HF_ENDPOINT` names.
    Hub {
        /// Owner and name.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// Names that the file may have there, the first that is there counts; the variant's own when empty.
        files: Vec<String>,
    },
    /// A file of a web server.
    Url(String),
    /// A file of this machine or of a network drive; relative to the catalog's directory.
    Path(PathBuf),
}

/// A registry of packages.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    /// By `npm pack`.
    Npm,
    /// By `pip download`.
    Pypi,
}

/// The keys of a source: those of one kind, and no others.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    registry: Option<Registry>,
    package: Option<String>,
    version: Option<String>,
    hub: Option<String>,
    revision: Option<String>,
    files: Option<Vec<String>>,
    url: Option<String>,
    path: Option<PathBuf>,
}

impl TryFrom<Lines> for Source {
    type Error = &'static str;

    fn try_from(lines: Lines) -> Result<Self, Self::Error> {
        let Lines { registry, package, version, hub, revision, files, url, path } = lines;
        match ((registry, package, version), (hub, revision, files), url, path) {
            ((Some(registry), Some(package), Some(version)), (None, None, None), None, None) => {
                Ok(Self::Package { registry, package, version })
            }
            ((None, None, None), (Some(repository), revision, files), None, None) => {
                let revision = revision.unwrap_or_else(|| "main".into());
                Ok(Self::Hub { repository, revision, files: files.unwrap_or_default() })
            }
            ((None, None, None), (None, None, None), Some(url), None)
                if url.starts_with("https://") || url.starts_with("http://") =>
            {
                Ok(Self::Url(url))
            }
            ((None, None, None), (None, None, None), None, Some(path)) => Ok(Self::Path(path)),
            _ => Err(KINDS),
        }
    }
}

const KINDS: &str = "a source is `registry` with `package` and `version`, or `hub` with `revision` and `files` if need be, \
    or `url` (http or https), or `path`";

impl Source {
    /// What it is, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Package { registry: Registry::Npm, package, version } => format!("npm package {package} {version}"),
            Self::Package { registry: Registry::Pypi, package, version } => format!("PyPI package {package} {version}"),
            Self::Hub { repository, .. } => format!("hub {repository}"),
            Self::Url(url) => url.clone(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// Whether a file from there can be judged without a hash in the catalog: the hub tells one, and what an operator
    /// put on a drive is the operator's own word.
    pub(super) fn vouches(&self) -> bool {
        matches!(self, Self::Hub { .. } | Self::Path(_))
    }
}
