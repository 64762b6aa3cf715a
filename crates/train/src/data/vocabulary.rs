//! Texts as numbers: one for each character or word.

use super::refused;
use crate::checkpoint::{Checkpointed, Parts};
use crate::error::Result;
use std::collections::{BTreeMap, HashMap};

/// The characters or words of a text, numbered.
///
/// ```
/// use wengert_train::Vocabulary;
/// let chars = Vocabulary::chars("hello");
/// assert_eq!(chars.tokens(), ["e", "h", "l", "o"]);
/// assert_eq!(chars.encode("hole")?, [1, 3, 2, 0]);
/// assert_eq!(chars.decode(&[1, 3, 2, 0])?, "hole");
/// // A character that was not there is an error, unless there is a token for the unknown.
/// assert!(chars.encode("hallo").is_err());
/// let words = Vocabulary::words("a rose is a rose", 2).with_unknown("<unk>");
/// assert_eq!(words.tokens(), ["<unk>", "a", "rose"]);
/// assert_eq!(words.encode("a red rose")?, [1, 0, 2]);
/// assert_eq!(words.decode(&[1, 0, 2])?, "a <unk> rose");
/// # Ok::<(), wengert_train::Error>(())
/// ```
///
/// Build it from the training text only, as everything that is fitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Whether tokens are words, with white space between them.
    words: bool,
    tokens: Vec<String>,
    index: HashMap<String, i64>,
    /// Whether token 0 stands for what is not in the vocabulary.
    unknown: bool,
}

impl Vocabulary {
    /// The characters of a text, in the order of their code points.
    pub fn chars(text: &str) -> Vocabulary {
        let chars: std::collections::BTreeSet<char> = text.chars().collect();
        Vocabulary::of(false, chars.into_iter().map(String::from).collect(), false)
    }

    /// The words of a text that occur at least `least` times, the most frequent first and, among equals, in alphabetical order. A word is what
    /// stands between white space.
    pub fn words(text: &str, least: usize) -> Vocabulary {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        text.split_whitespace().for_each(|word| *counts.entry(word).or_default() += 1);
        let mut words: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
        // Stable, so that the order of equals stays.
        words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Vocabulary::of(true, words.into_iter().map(|(word, _)| word.to_string()).collect(), false)
    }

    fn of(words: bool, tokens: Vec<String>, unknown: bool) -> Vocabulary {
        let index = tokens.iter().enumerate().map(|(i, token)| (token.clone(), i as i64)).collect();
        Vocabulary { words, tokens, index, unknown }
    }

    /// With a token for everything that is not in the vocabulary: number 0, so that the others move up by one.
    pub fn with_unknown(self, token: &str) -> Vocabulary {
        let tokens = std::iter::once(token.to_string()).chain(self.tokens).collect();
        Vocabulary::of(self.words, tokens, true)
    }

    /// The tokens, in the order of their numbers.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The numbers of a text's characters or words.
    ///
    /// # Errors
    /// If one is not in the vocabulary, and there is no token for that.
    #[track_caller]
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let number = |(at, token): (usize, &str)| match self.index.get(token) {
            Some(number) => Ok(*number),
            None if self.unknown => Ok(0),
            None => {
                let kind = if self.words { "word" } else { "character" };
                Err((at, format!("{kind} {at}, {token:?}, is not one of the {} of the vocabulary", self.len())))
            }
        };
        let numbers: Result<Vec<i64>, (usize, String)> = match self.words {
            true => text.split_whitespace().enumerate().map(number).collect(),
            false => {
                let mut buffer = [0; 4];
                text.chars().enumerate().map(|(at, c)| number((at, c.encode_utf8(&mut buffer)))).collect()
            }
        };
        match numbers {
            Ok(numbers) => Ok(numbers),
            Err((_, found)) => {
                Err(refused("encode", found, "add a token for the unknown: .with_unknown(\"?\")").into())
            }
        }
    }

    /// The text of numbers.
    ///
    /// # Errors
    /// If a number is not one of the vocabulary.
    #[track_caller]
    pub fn decode(&self, numbers: &[i64]) -> Result<String> {
        let mut texts = Vec::with_capacity(numbers.len());
        for number in numbers {
            match usize::try_from(*number).ok().and_then(|number| self.tokens.get(number)) {
                Some(token) => texts.push(token.as_str()),
                None => {
                    let found = format!("{number} is no token of a vocabulary of {}", self.len());
                    return Err(refused("decode", found, "decode with the vocabulary that has encoded").into());
                }
            }
        }
        Ok(texts.join(if self.words { " " } else { "" }))
    }
}

impl Checkpointed for Vocabulary {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.value("words", &mut self.words)?;
        parts.value("tokens", &mut self.tokens)?;
        parts.value("unknown", &mut self.unknown)?;
        *self = Vocabulary::of(self.words, std::mem::take(&mut self.tokens), self.unknown);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back() {
        let text = "Grüße,\n∂L/∂x  und 日本語 und";
        let chars = Vocabulary::chars(text);
        assert_eq!(chars.decode(&chars.encode(text).unwrap()).unwrap(), text);
        let words = Vocabulary::words(text, 1);
        assert_eq!(words.tokens()[0], "und");
        assert_eq!(words.decode(&words.encode(text).unwrap()).unwrap(), "Grüße, ∂L/∂x und 日本語 und");
        let mut other = Vocabulary::chars("");
        Parts::read(&mut other, Parts::write(&mut words.clone().with_unknown("?")).unwrap()).unwrap();
        assert_eq!(other, words.with_unknown("?"));
    }

    #[test]
    fn what_is_unknown_is_named() {
        let chars = Vocabulary::chars("abc");
        let error = chars.encode("ab∂c").unwrap_err().to_string();
        assert!(error.contains("character 2, \"∂\", is not one of the 3 of the vocabulary"), "{error}");
        for number in [-1, 3] {
            let error = chars.decode(&[0, number]).unwrap_err().to_string();
            assert!(error.contains(&format!("{number} is no token of a vocabulary of 3")), "{error}");
        }
    }
}
