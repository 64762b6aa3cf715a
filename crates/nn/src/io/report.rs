//! What of a file went into a module, and what did not.

use std::collections::HashMap;
use std::fmt;

/// The names that were compared when weights were loaded: those of the file, renamed, with those that the module asks for.
///
/// `{report}` lists what did not fit, one name a line, or says that everything did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What was loaded, or would have been if the rest fitted.
    pub loaded: Vec<String>,
    /// What the module asks for and the file does not have.
    pub missing: Vec<String>,
    /// What the file has and the module does not ask for.
    pub unexpected: Vec<String>,
    /// Sentences about names that both have and that do not fit: their shape or element type, or parts of one parameter that
    /// disagree. These are errors of a partial load, too.
    pub misfits: Vec<String>,
    /// What might help.
    pub hints: Vec<String>,
}

impl Report {
    /// Whether the file and the module have exactly the same.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misfits.is_empty()
    }

    /// Adds a hint, once.
    pub(super) fn hint(&mut self, hint: &str) {
        if !self.hints.iter().any(|given| given == hint) {
            self.hints.push(hint.to_string());
        }
    }

    /// Adds what the names suggest.
    pub(super) fn guess(&mut self, pytorch: bool) {
        // A prefix that most of the missing names lack, or have too much.
        let mut prefixes: HashMap<(&str, bool), usize> = HashMap::new();
        for missing in &self.missing {
            for found in &self.unexpected {
                if let Some(prefix) = found.strip_suffix(missing.as_str()) {
                    *prefixes.entry((prefix, true)).or_default() += 1;
                } else if let Some(prefix) = missing.strip_suffix(found.as_str()) {
                    *prefixes.entry((prefix, false)).or_default() += 1;
                }
            }
        }
        let likely = prefixes.into_iter().filter(|((prefix, _), _)| prefix.ends_with(['.', '_', '/']));
        let best = likely.max_by_key(|((prefix, _), count)| (*count, std::cmp::Reverse(prefix.to_string())));
        let hint = match best {
            Some(((prefix, extra), count)) if 2 * count >= self.missing.len() => Some(if extra {
                format!("names of the file begin with '{prefix}': rename(\"{prefix}*\", \"*\")")
            } else {
                format!("names of the module begin with '{prefix}': rename(\"*\", \"{prefix}*\")")
            }),
            _ => None,
        };
        self.hints.extend(hint);
        let theirs =
            |names: &[String]| names.iter().any(|name| name.contains("weight_ih") || name.contains("weight_hh"));
        if !pytorch && theirs(&self.unexpected) && !theirs(&self.missing) {
            self.hints.push("the file has PyTorch's names: Weights::pytorch()".into());
        } else if pytorch && theirs(&self.missing) && self.unexpected.iter().any(|name| name.contains("layers.0.")) {
            self.hints.push("the file has wengert's names: Weights::new()".into());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { loaded, missing, unexpected, misfits, hints } = self;
        write!(f, "{} of {} tensors fit", loaded.len(), loaded.len() + missing.len() + misfits.len())?;
        for misfit in misfits {
            write!(f, "\n  {misfit}")?;
        }
        for name in missing {
            write!(f, "\n  '{name}' is missing")?;
        }
        for name in unexpected {
            write!(f, "\n  '{name}' is not a parameter of the module")?;
        }
        for hint in hints {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
