//! From the names of a file to those that a module asks for.

/// A rule of the user's own.
type Rule<'r> = Box<dyn Fn(&str) -> Option<String> + 'r>;

/// A rule for names.
pub(super) enum Rename<'r> {
    /// Texts that `*` stands for are kept.
    Pattern(String, String),
    With(Rule<'r>),
}

impl Rename<'_> {
    /// The new name, or nothing if the tensor is to be left out.
    pub(super) fn apply(&self, name: String) -> Option<String> {
        match self {
            Rename::With(rule) => rule(&name),
            Rename::Pattern(from, to) => match stars(from, &name) {
                Some(found) => Some(fill(to, &found)),
                None => Some(name),
            },
        }
    }
}

/// What the stars of a pattern stand for if it matches all of `name`: as little as possible, from the left.
fn stars<'n>(pattern: &str, name: &'n str) -> Option<Vec<&'n str>> {
    let Some((first, rest)) = pattern.split_once('*') else { return (pattern == name).then(Vec::new) };
    let mut name = name.strip_prefix(first)?;
    let mut found = Vec::new();
    let parts: Vec<&str> = rest.split('*').collect();
    // `split` gives at least one part.
    let (last, middle) = parts.split_last()?;
    for part in middle {
        let (star, after) = name.split_once(part)?;
        found.push(star);
        name = after;
    }
    found.push(name.strip_suffix(last)?);
    Some(found)
}

/// The pattern with its stars replaced. One too many stays, and shows in the report.
fn fill(pattern: &str, stars: &[&str]) -> String {
    let mut stars = stars.iter();
    let mut filled = String::new();
    for (i, part) in pattern.split('*').enumerate() {
        if i > 0 {
            filled.push_str(stars.next().copied().unwrap_or("*"));
        }
        filled.push_str(part);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::Rename;

    #[test]
    fn patterns() {
        let cases = [
            ("model.*", "*", "model.rnn.w", "rnn.w"),
            ("model.*", "*", "rnn.model.w", "rnn.model.w"),
            ("*", "rnn.*", "w", "rnn.w"),
            ("enc.*.gamma", "enc.*.weight", "enc.ln.0.gamma", "enc.ln.0.weight"),
            ("a.*.b.*", "*-*", "a.1.b.b.2", "1-b.2"),
            ("*.w", "*.v", "w", "w"),
            ("fc", "head", "fc", "head"),
            ("fc", "head", "fc.w", "fc.w"),
            ("x*", "*.*", "xy", "y.*"),
            ("ab*ba", "*", "aba", "aba"),
        ];
        for (from, to, name, wanted) in cases {
            let rule = Rename::Pattern(from.into(), to.into());
            assert_eq!(rule.apply(name.into()).as_deref(), Some(wanted), "{from} {to} {name}");
        }
    }
}
