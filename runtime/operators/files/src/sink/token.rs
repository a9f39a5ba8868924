//! What outlives the process on the commit path: the prepared token of a lane and the manifest of a commit.
//!
//! Both are versioned JSON. Invariant: a name read back from either stays below the target folder, whoever wrote it.
//! Not here: what is done with them (`commit.rs`).

use std::path::{Component, Path};

use rde_core::{Error, Prepared, Result};
use serde::{Deserialize, Serialize};

use crate::codes;

/// Version of both formats.
const VERSION: u32 = 1;

/// One file that is durable under its hidden name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StagedEntry {
    /// Hidden name, below the target folder.
    pub(crate) staged: String,
    /// Final name, below the target folder.
    pub(crate) name: String,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// CRC-32 of the file.
    pub(crate) crc32: u32,
    /// Rows in the file.
    pub(crate) rows: u64,
}

/// What one lane made durable for one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    version: u32,
    /// Its files, in the order they were begun.
    pub(crate) files: Vec<StagedEntry>,
}

/// What a commit is about to do, written before its first link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u32,
    /// Whether all new files are linked and the removal of the old ones has begun.
    pub(crate) removing: bool,
    /// The new files.
    pub(crate) files: Vec<StagedEntry>,
    /// Final names of the old files to go.
    pub(crate) old: Vec<String>,
}

impl Token {
    /// Makes the token of these files.
    pub(crate) fn new(files: Vec<StagedEntry>) -> Token {
        Token { version: VERSION, files }
    }

    /// Returns the token as opaque bytes.
    pub(crate) fn encode(&self) -> Prepared {
        Prepared(serde_json::to_vec(self).expect("a token is made of strings and numbers"))
    }

    /// Reads a token back.
    pub(crate) fn decode(prepared: &Prepared) -> Result<Token> {
        let token: Token = serde_json::from_slice(&prepared.0).map_err(|error| {
            Error::internal(&codes::BAD_TOKEN, "cannot read what the sink prepared").caused_by(error)
        })?;
        if token.version != VERSION || !token.files.iter().all(StagedEntry::is_below) {
            let message = format!("cannot commit prepared work of format version {}", token.version);
            return Err(Error::internal(&codes::BAD_TOKEN, message)
                .help("use the version of `rde` that prepared it, or start the pipeline anew"));
        }
        Ok(token)
    }
}

impl Manifest {
    /// Makes the manifest of a commit that has not begun.
    pub(crate) fn new(files: Vec<StagedEntry>, old: Vec<String>) -> Manifest {
        Manifest { version: VERSION, removing: false, files, old }
    }

    /// Returns its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is made of strings and numbers")
    }

    /// Reads a manifest back; `None` when these bytes are no manifest of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Manifest> {
        let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
        let below = manifest.files.iter().all(StagedEntry::is_below) && manifest.old.iter().all(|name| is_below(name));
        (manifest.version == VERSION && below).then_some(manifest)
    }
}

impl StagedEntry {
    fn is_below(&self) -> bool {
        is_below(&self.staged) && is_below(&self.name)
    }
}

fn is_below(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> StagedEntry {
        StagedEntry { staged: format!(".{name}.staged"), name: name.to_owned(), bytes: 7, crc32: 9, rows: 2 }
    }

    #[test]
    fn tokens_and_manifests_read_back_as_written() {
        let token = Token::new(vec![entry("a.csv"), entry("k=1/b.csv")]);
        assert_eq!(Token::decode(&token.encode()).expect("own token"), token);
        let manifest = Manifest::new(token.files, vec!["old.csv".to_owned()]);
        assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest));
    }

    #[test]
    fn names_outside_the_target_and_other_versions_are_refused() {
        for name in ["../a.csv", "/etc/a.csv", "k/../../a.csv", ""] {
            assert!(Manifest::decode(&Manifest::new(vec![], vec![name.to_owned()]).encode()).is_none(), "{name}");
            let mut bad = entry("a.csv");
            bad.name = name.to_owned();
            assert!(Token::decode(&Token::new(vec![bad]).encode()).is_err(), "{name}");
        }
        let mut later = Token::new(vec![]);
        later.version = 2;
        assert!(Token::decode(&later.encode()).is_err());
        assert!(Manifest::decode(b"{").is_none());
    }
}
