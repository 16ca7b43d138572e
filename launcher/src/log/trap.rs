//! Where a guest trapped, as an event tells it.

use std::fmt;

use serde::Serialize;

use crate::lines::SourcePlace;

/// Bytes of a part's and of a function's name that a line shows.
pub(crate) const MAX_NAME: usize = 1024;

/// Where a guest trapped, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TrapPlace {
    /// The part by its name in the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<String>,
    /// The function by its name, or its number in its module.
    pub(crate) function: String,
    /// Where the instruction stands: in the bytes of the composed component.
    pub(crate) offset: u64,
    /// The line of the source that the instruction was compiled from.
    #[serde(flatten)]
    pub(crate) source: Option<SourcePlace>,
    /// Where it was called, if it is code of the standard library.
    #[serde(flatten)]
    pub(crate) from: Option<CalledFrom>,
    /// This is where the code was called that trapped; its own place is not known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) caller: bool,
}

/// The nearest call in code of the guest's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CalledFrom {
    #[serde(rename = "from_function")]
    pub(crate) function: String,
    #[serde(rename = "from_file")]
    pub(crate) file: String,
    #[serde(rename = "from_line")]
    pub(crate) line: u32,
}

impl TrapPlace {
    /// The bytes of its names.
    pub(super) fn length(&self) -> usize {
        let file = self.source.as_ref().map_or(0, |source| source.file.len());
        let from = self.from.as_ref().map_or(0, |from| from.function.len() + from.file.len());
        self.function.len() + self.part.as_ref().map_or(0, String::len) + file + from
    }
}

/// `part `cart`, function `total` at 0x1f40, src/lib.rs:42`
impl fmt::Display for TrapPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.caller {
            f.write_str("code called by ")?;
        }
        if let Some(part) = &self.part {
            write!(f, "part `{part}`, ")?;
        }
        write!(f, "function `{}` at {:#x}", self.function, self.offset)?;
        if let Some(SourcePlace { file, line }) = &self.source {
            write!(f, ", {file}:{line}")?;
        }
        match &self.from {
            Some(CalledFrom { function, file, line }) => {
                write!(f, ", called by `{function}` at {file}:{line}")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_call_is_not_told_as_that_of_the_trap() {
        let mut trap = TrapPlace {
            part: Some("cart".to_owned()),
            function: "7".to_owned(),
            offset: 31,
            source: None,
            from: None,
            caller: false,
        };
        assert_eq!(trap.to_string(), "part `cart`, function `7` at 0x1f");
        trap.caller = true;
        assert_eq!(trap.to_string(), "code called by part `cart`, function `7` at 0x1f");
        assert_eq!(serde_json::to_value(&trap).unwrap()["caller"], true);
    }
}
