//! The target of a request: segments of the path and parameters of the query, percent-decoded.
//!
//! Invariant: a `/` that was written as `%2F` never separates segments, and everything decoded is UTF-8.

use crate::answer::Problem;

/// A decoded target.
pub struct Target {
    /// At least one; `/` has a single empty one.
    pub segments: Vec<String>,
    parameters: Vec<(String, String)>,
}

impl Target {
    /// Reads `/path?query`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        let segments = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let parameters = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                // A form writes a space as `+`.
                Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
            })
            .collect::<Result<_, Problem>>()?;
        Ok(Self { segments, parameters })
    }

    /// The value of a parameter. One that is given twice is refused: parts of a system would disagree which one counts.
    pub fn parameter(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.parameters.iter().filter(|(given, _)| given == name);
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Problem::bad_request(format!("the parameter `{name}` is given twice"))),
        }
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let refuse = || Problem::bad_request(format!("`{text}` is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (&[high, low], after) = after.split_first_chunk().ok_or_else(refuse)?;
            bytes.push(hex(high).ok_or_else(refuse)? << 4 | hex(low).ok_or_else(refuse)?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| refuse())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
