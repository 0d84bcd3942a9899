//! One JSON object a line each way. `docs/admin.md` is its description, checked by a test.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version that every line names.
pub const VERSION: u64 = 1;

/// The longest request in bytes, its end included: many times what any of them needs.
pub const LINE_MAX: usize = 4096;

/// The longest answer in bytes, its end included: a page of the widest rows takes less than a quarter of it.
pub const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Read the policy file again.
    Reload {
        /// Whether live connections end that the new policy forbids, whatever the file says.
        #[serde(default)]
        enforce_now: bool,
    },
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, for its sender.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let mut object: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| format!("no JSON object in one line: {error}"))?;
        match object.remove("version") {
            Some(version) if version == VERSION => {}
            Some(version) => {
                return Err(format!("version {version} is not spoken here, version {VERSION} is"));
            }
            None => return Err(format!("the version is missing: \"version\":{VERSION}")),
        }
        serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string())
    }

    /// Its line.
    pub fn line(&self) -> String {
        line(self)
    }
}

/// What an operator is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The policy was read.
    Reloaded(Reloaded),
    /// It was not done.
    Error {
        /// Why, for people.
        error: String,
    },
}

/// The policy was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The names of its profiles, in the order of the file.
    pub profiles: Vec<String>,
}

impl Answer {
    /// An answer that says why there is none.
    pub fn error(error: impl Into<String>) -> Self {
        Answer::Error { error: error.into() }
    }

    /// Its line.
    pub fn line(&self) -> String {
        line(self)
    }
}

/// A value as a line, under the version.
pub fn line(value: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        version: u64,
        #[serde(flatten)]
        value: &'a T,
    }
    let versioned = Versioned { version: VERSION, value };
    // Keys are text, and no number is one that JSON does not have.
    let mut line = serde_json::to_string(&versioned).expect("words of the admin socket are JSON");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_its_line_says() {
        for request in [Request::Reload { enforce_now: true }, Request::Reload { enforce_now: false }] {
            assert_eq!(Request::parse(request.line().trim_end().as_bytes()), Ok(request));
        }
        let short = br#"{"version":1,"command":"reload"}"#;
        assert_eq!(Request::parse(short), Ok(Request::Reload { enforce_now: false }));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (line, why) in [
            (&b"reload"[..], "no JSON object"),
            (b"[]", "no JSON object"),
            (b"{}", "the version is missing"),
            (br#"{"version":2,"command":"reload"}"#, "version 2 is not spoken here"),
            (br#"{"version":"1","command":"reload"}"#, "is not spoken here"),
            (br#"{"version":1}"#, "command"),
            (br#"{"version":1,"command":"dance"}"#, "unknown variant `dance`"),
            (br#"{"version":1,"command":"reload","now":true}"#, "unknown field `now`"),
            (b"\xff", "no JSON object"),
        ] {
            let error = Request::parse(line).unwrap_err();
            assert!(error.contains(why), "{}: {error}", String::from_utf8_lossy(line));
        }
    }
}
