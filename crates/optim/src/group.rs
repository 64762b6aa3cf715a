//! Settings for some parameters of a module, chosen by their names.

use std::fmt;
use wengert_autograd::{Error, ErrorKind, Param, Result};

/// What is different for the parameters of a group; see [`Optimizer::group`](crate::Optimizer::group). Numbers of the transform:
/// [`Optimizer::group_rule`](crate::Optimizer::group_rule).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Multiplies the learning rate, so that a schedule acts on all groups.
    pub lr: f64,
    /// Multiplies the L2 penalty and the decoupled decay; 0 is none (usual for biases).
    pub decay: f64,
    /// Whether the parameters are left as they are.
    pub frozen: bool,
}

impl Default for Group {
    fn default() -> Group {
        Group { lr: 1.0, decay: 1.0, frozen: false }
    }
}

/// Groups under their patterns, in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups(Vec<(String, Group)>);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, (pattern, Group { lr, decay, frozen })) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match frozen {
                true => write!(f, "{comma}'{pattern}' frozen")?,
                false => write!(f, "{comma}'{pattern}' lr·{lr} decay·{decay}")?,
            }
        }
        Ok(())
    }
}

impl Groups {
    pub(crate) fn push(&mut self, pattern: &str, group: Group) {
        self.0.push((pattern.to_string(), group));
    }

    /// The group of a parameter: the last whose pattern matches its name.
    pub(crate) fn of(&self, name: &str) -> Group {
        let found = self.0.iter().rev().find(|(pattern, _)| matches(pattern, name));
        found.map_or(Group::default(), |(_, group)| *group)
    }

    /// Checks the settings, and that every pattern matches a parameter: one that does not is mistyped.
    #[track_caller]
    pub(crate) fn check(&self, op: &str, params: &[(String, Param)]) -> Result<()> {
        for (pattern, group) in &self.0 {
            let factors = [("factor of the learning rate", group.lr), ("factor of the decay", group.decay)];
            crate::settings::from_zero(op, &factors)?;
            known(op, pattern, params)?;
        }
        Ok(())
    }
}

/// Checks that a pattern matches a parameter.
#[track_caller]
pub(crate) fn known(op: &str, pattern: &str, params: &[(String, Param)]) -> Result<()> {
    if params.iter().any(|(name, _)| matches(pattern, name)) {
        return Ok(());
    }
    let names: Vec<&str> = params.iter().take(8).map(|(name, _)| name.as_str()).collect();
    let more = if params.len() > names.len() { ", .." } else { "" };
    let found = format!("the pattern '{pattern}' matches no parameter: {}{more}", names.join(", "));
    Err(Error::new(ErrorKind::Value, op, found, "a * stands for any characters, dots as well"))
}

/// Whether a name is of a pattern in which `*` stands for any characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        // The first place leaves most for the parts that follow.
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for pattern in ["layers.0.w", "*", "layers.*", "*.w", "layers.*.w", "l*s*w", "*0*", "layers.0.w*", "**"] {
            assert!(matches(pattern, "layers.0.w"), "{pattern}");
        }
        for pattern in ["", "layers.0", "layers.0.w.", "*.u", "w*", "layers.*.0.w", "*ww", "l*w*s"] {
            assert!(!matches(pattern, "layers.0.w"), "{pattern}");
        }
        // The end may not use what the middle has used.
        assert!(!matches("a*ab*b", "aab") && matches("a*ab*b", "aabb"));
    }
}
