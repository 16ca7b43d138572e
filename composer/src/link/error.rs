//! Why a plan could not be linked. Most of it is a bug: `plan` should have found it.

use thiserror::Error;
use wadoo_signing::report::{Exit, Report};

use super::pool::{MAX_INSTANCES, MAX_NESTING};
use crate::recipe::PartName;

/// Why a plan could not be linked.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum LinkError {
    #[error("cannot deny imports of `{part}`: no stand-in for them can be made")]
    Stub { part: PartName, message: String },
    #[error("no component that has the values of `{part}` can be made")]
    Baked { part: PartName, message: String },
    #[error("cannot link `{app}`: it has more than {MAX_INSTANCES} instances")]
    TooManyInstances { app: String },
    #[error("cannot link `{app}`: its components are nested deeper than {MAX_NESTING}")]
    TooNested { app: String },
    #[error("the graph library refused the plan")]
    Graph(String),
    #[error("the graph library failed")]
    Panic(String),
    #[error("the linked component is not valid")]
    Invalid(String),
    #[error("the linked component is not what was planned")]
    Audit(String),
}

impl LinkError {
    /// Wraps an error of the graph library, with its causes.
    pub(super) fn graph(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Graph(text)
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Stub { .. } => "deny every interface of the package, as `\"ns:pkg/*\"`".into(),
            Self::TooManyInstances { .. } | Self::TooNested { .. } => {
                "look for the component that instantiates others: `wasm-tools print`".into()
            }
            _ => "this is a bug in wadoo: please report it with the recipe and the output of `wadoo plan`"
                .into(),
        }
    }

    /// The report; for a bug, with all parts.
    pub(super) fn report(&self, app: &str, parts: &[String]) -> Report {
        let hint = self.hint();
        match self {
            Self::Stub { message, .. } => {
                Report::new(Exit::CouldNot, self.to_string()).because(message.clone()).hint(hint)
            }
            Self::TooManyInstances { .. } => {
                let error = Self::TooManyInstances { app: app.to_owned() };
                Report::new(Exit::CouldNot, error.to_string()).hint(hint)
            }
            Self::TooNested { .. } => {
                let error = Self::TooNested { app: app.to_owned() };
                Report::new(Exit::CouldNot, error.to_string()).hint(hint)
            }
            Self::Baked { message, .. }
            | Self::Graph(message)
            | Self::Panic(message)
            | Self::Invalid(message)
            | Self::Audit(message) => Report::new(Exit::Bug, format!("cannot link `{app}`: {self}"))
                .because(message.clone())
                .because(format!("parts: {}", parts.join(", ")))
                .hint(hint),
        }
    }
}
