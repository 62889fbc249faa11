//! How a picture is to be drawn: view, opacity, and which classes.
//!
//! Invariant: a [`Look`] goes along with a frame and holds no memory of its own.

use serde::{Deserialize, Serialize};

/// A class of this label is what lies behind everything else: it is never drawn.
const BACKGROUND: &str = "background";

/// A way to draw a mask over its frame.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Classes covered by their colours.
    #[default]
    Filled,
    /// Outlines of the classes.
    Contour,
    /// The frame, and beside it the filled view.
    SideBySide,
    /// The classes' hues, with the frame's saturation and brightness.
    Blend,
}

/// What may be asked of a single picture, on the command line and by `/v1/segment`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "those of `View`, and the mask itself")]
pub enum OutputView {
    Mask,
    Filled,
    Contour,
    SideBySide,
    Blend,
}

impl OutputView {
    /// How the picture is drawn; `None` for the mask itself.
    pub fn picture(self) -> Option<View> {
        match self {
            Self::Mask => None,
            Self::Filled => Some(View::Filled),
            Self::Contour => Some(View::Contour),
            Self::SideBySide => Some(View::SideBySide),
            Self::Blend => Some(View::Blend),
        }
    }
}

/// How a picture is to be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// In which way.
    pub view: View,
    /// How strongly colours cover the picture, where they do: 0 to 1.
    pub opacity: f64,
    /// Which classes, the background aside.
    pub classes: ClassSet,
}

impl Look {
    /// `view`, as it is when nobody says more.
    pub fn of(view: View) -> Self {
        Self { view, opacity: Self::OPACITY, classes: ClassSet::ALL }
    }

    /// The opacity when nobody says another.
    pub const OPACITY: f64 = 0.6;

    /// Whether class `id`, called `label`, is drawn.
    pub fn draws(&self, id: usize, label: &str) -> bool {
        label != BACKGROUND && self.classes.contains(id)
    }
}

/// Ids of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSet([u64; 4]);

impl ClassSet {
    /// Every class that there can be.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// Whether `id` is one of them.
    pub fn contains(&self, id: usize) -> bool {
        self.0.get(id / 64).is_some_and(|bits| bits >> (id % 64) & 1 == 1)
    }

    /// Takes `id` in.
    pub fn insert(&mut self, id: u8) {
        self.0[usize::from(id) / 64] |= 1 << (id % 64);
    }

    /// The labels of those that are in it.
    pub fn names(self, labels: &[String]) -> impl Iterator<Item = &str> {
        labels.iter().enumerate().filter(move |&(id, _)| self.contains(id)).map(|(_, label)| label.as_str())
    }
}

/// A class as people name it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged, expecting = "a class is an id or a label")]
pub enum ClassName {
    /// By its id.
    Id(serde_json::Number),
    /// By its label; upper and lower case are alike.
    Label(String),
}

impl ClassName {
    /// An id or a label.
    fn read(text: &str) -> Self {
        text.parse::<u32>().map_or_else(|_no_number| Self::Label(text.to_owned()), |id| Self::Id(id.into()))
    }

    fn is(&self, id: usize, label: &str) -> bool {
        match self {
            // JSON of some languages has 1.0 for 1.
            Self::Id(number) => number.as_f64() == Some(id as f64),
            Self::Label(name) => name.eq_ignore_ascii_case(label),
        }
    }
}

impl std::fmt::Display for ClassName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(number) => write!(out, "{number}"),
            Self::Label(name) => write!(out, "{name:?}"),
        }
    }
}

/// How somebody wants pictures, whatever classes there will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// In which way.
    pub view: View,
    /// How strongly colours cover the picture, where they do: 0 to 1.
    pub opacity: f64,
    /// Which classes; all of them when nobody chose.
    pub classes: Option<Vec<ClassName>>,
}

impl Drawing {
    /// `view`, as it is when nobody says more.
    pub fn of(view: View) -> Self {
        Self { view, opacity: Look::OPACITY, classes: None }
    }

    /// The look of it with the classes `labels`. Names that fit none of them add nothing: they may fit those of another mode.
    pub fn look(&self, labels: &[String]) -> Look {
        let named = |names: &Vec<ClassName>| {
            let mut classes = ClassSet::default();
            for (id, label) in (0..=u8::MAX).zip(labels) {
                if names.iter().any(|name| name.is(id.into(), label)) {
                    classes.insert(id);
                }
            }
            classes
        };
        let classes = self.classes.as_ref().map_or(ClassSet::ALL, named);
        Look { view: self.view, opacity: self.opacity, classes }
    }

    /// The first of its classes that is none of `labels`.
    pub fn first_unknown(&self, labels: &[String]) -> Option<&ClassName> {
        let is_unknown = |name: &&ClassName| !labels.iter().enumerate().any(|(id, label)| name.is(id, label));
        self.classes.iter().flatten().find(is_unknown)
    }
}

/// Reads an opacity.
pub fn read_opacity(text: &str) -> Result<f64, String> {
    let opacity = text.parse().ok().filter(|opacity| (0.0..=1.0).contains(opacity));
    opacity.ok_or_else(|| format!("{text:?} is no opacity; write a number from 0 to 1"))
}

/// Reads ids and labels between commas.
pub fn read_classes(text: &str) -> Vec<ClassName> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ClassName::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_by_id_or_label_and_unknown_ones_add_nothing() {
        let labels = ["background", "person", "cat"].map(String::from);
        let named = |json: &str| -> Vec<usize> {
            let names = serde_json::from_str(json).unwrap();
            let look = Drawing { classes: Some(names), ..Drawing::of(View::Filled) }.look(&labels);
            (0..256).filter(|&id| look.classes.contains(id)).collect()
        };
        assert_eq!(named(r#"["Person", 2.0]"#), [1, 2]);
        assert_eq!(named(r#"[0, -1, 1.5, 3, 1e300, "dog"]"#), [0]);
        assert_eq!(named("[]"), [0; 0]);
        let read = Drawing { classes: Some(read_classes("2, cat,person,dog")), ..Drawing::of(View::Filled) };
        assert_eq!(read.first_unknown(&labels).map(ToString::to_string).as_deref(), Some("\"dog\""));
        assert!((0..256).all(|id| ClassSet::ALL.contains(id)) && !ClassSet::ALL.contains(256));
    }
}
