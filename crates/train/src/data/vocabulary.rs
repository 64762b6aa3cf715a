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
/// Build it from the training text only, as everything that is fitted. [`VocabularyOptions`] give it special tokens and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Whether tokens are words, with white space between them.
    words: bool,
    tokens: Vec<String>,
    index: HashMap<String, i64>,
    /// The token that stands for what is not in the vocabulary.
    unknown: Option<i64>,
}

/// Which of a text's characters or words become tokens, and which others there are.
///
/// ```
/// use wengert_train::{Vocabulary, VocabularyOptions};
/// let options = VocabularyOptions {
///     special: &["<pad>", "<bos>", "<eos>"],
///     unknown: Some("<unk>"),
///     min_count: 2,
///     max_tokens: Some(6),
/// };
/// let words = Vocabulary::words_with("a rose is a rose is a flower", &options)?;
/// // The most frequent, after the special ones, which have the first numbers.
/// assert_eq!(words.tokens(), ["<pad>", "<bos>", "<eos>", "<unk>", "a", "is"]);
/// let number = |token| words.number(token).expect("a special token");
/// let sequence = [vec![number("<bos>")], words.encode("a flower is")?, vec![number("<eos>")]].concat();
/// assert_eq!(sequence, [1, 4, 3, 5, 2]);
/// assert_eq!(words.decode(&sequence)?, "<bos> a <unk> is <eos>");
/// # Ok::<(), wengert_train::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VocabularyOptions<'a> {
    /// Tokens that do not come from the text; they have the first numbers, in this order.
    pub special: &'a [&'a str],
    /// The token of everything that is not in the vocabulary; it has the number after the special ones, unless it is one of them.
    pub unknown: Option<&'a str>,
    /// How often a character or word must occur at least; 1 by default.
    pub min_count: usize,
    /// The greatest number of tokens, special ones included: the most frequent stay.
    pub max_tokens: Option<usize>,
}

impl Default for VocabularyOptions<'_> {
    fn default() -> Self {
        VocabularyOptions { special: &[], unknown: None, min_count: 1, max_tokens: None }
    }
}

impl Vocabulary {
    /// The characters of a text, in the order of their code points.
    pub fn chars(text: &str) -> Vocabulary {
        let chars: std::collections::BTreeSet<char> = text.chars().collect();
        Vocabulary::of(false, chars.into_iter().map(String::from).collect(), None)
    }

    /// The words of a text that occur at least `least` times, the most frequent first and, among equals, in alphabetical order. A word is what
    /// stands between white space.
    pub fn words(text: &str, least: usize) -> Vocabulary {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        text.split_whitespace().for_each(|word| *counts.entry(word.into()).or_default() += 1);
        let options = VocabularyOptions { min_count: least, ..Default::default() };
        Vocabulary::of(true, options.frequent(counts, &[]), None)
    }

    /// The characters of a text with special tokens and bounds, in the order of their code points.
    ///
    /// # Errors
    /// If two special tokens are the same, or there are more of them than tokens are allowed.
    #[track_caller]
    pub fn chars_with(text: &str, options: &VocabularyOptions<'_>) -> Result<Vocabulary> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        text.chars().for_each(|c| *counts.entry(c.into()).or_default() += 1);
        let special = options.checked()?;
        let mut tokens = options.frequent(counts, &special);
        tokens.sort_unstable();
        Ok(Vocabulary::of(false, [special, tokens].concat(), options.unknown))
    }

    /// The words of a text with special tokens and bounds, the most frequent first and, among equals, in alphabetical order.
    ///
    /// # Errors
    /// If two special tokens are the same, or there are more of them than tokens are allowed.
    #[track_caller]
    pub fn words_with(text: &str, options: &VocabularyOptions<'_>) -> Result<Vocabulary> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        text.split_whitespace().for_each(|word| *counts.entry(word.into()).or_default() += 1);
        let special = options.checked()?;
        let tokens = options.frequent(counts, &special);
        Ok(Vocabulary::of(true, [special, tokens].concat(), options.unknown))
    }

    fn of(words: bool, tokens: Vec<String>, unknown: Option<&str>) -> Vocabulary {
        let index: HashMap<String, i64> =
            tokens.iter().enumerate().map(|(i, token)| (token.clone(), i as i64)).collect();
        let unknown = unknown.and_then(|token| index.get(token).copied());
        Vocabulary { words, tokens, index, unknown }
    }

    /// With a token for everything that is not in the vocabulary: number 0, so that the others move up by one. If the vocabulary has it
    /// already, it stays where it is.
    pub fn with_unknown(self, token: &str) -> Vocabulary {
        let first = (!self.index.contains_key(token)).then(|| token.to_string());
        Vocabulary::of(self.words, first.into_iter().chain(self.tokens).collect(), Some(token))
    }

    /// The number of a token, such as a special one; `None` if it is not in the vocabulary.
    pub fn number(&self, token: &str) -> Option<i64> {
        self.index.get(token).copied()
    }

    /// The number of the token for everything that is not in the vocabulary.
    pub fn unknown(&self) -> Option<i64> {
        self.unknown
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
        let number = |(at, token): (usize, &str)| match self.index.get(token).copied().or(self.unknown) {
            Some(number) => Ok(number),
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

impl VocabularyOptions<'_> {
    /// All special tokens, that for the unknown last.
    #[track_caller]
    fn checked(&self) -> Result<Vec<String>> {
        let mut special: Vec<String> = self.special.iter().map(|token| token.to_string()).collect();
        special.extend(self.unknown.filter(|token| !self.special.contains(token)).map(String::from));
        if let Some(twice) = (1..special.len()).find(|i| special[..*i].contains(&special[*i])) {
            let found = format!("two special tokens are {:?}", special[twice]);
            return Err(refused("Vocabulary", found, "give each its own text").into());
        }
        if let Some(max) = self.max_tokens.filter(|max| special.len() > *max) {
            let found = format!("{} special tokens are given, and at most {max} tokens asked for", special.len());
            return Err(refused("Vocabulary", found, "max_tokens counts all tokens").into());
        }
        Ok(special)
    }

    /// The tokens that stay, beside the special ones: the most frequent first and, among equals, in alphabetical order.
    fn frequent(&self, mut counts: BTreeMap<String, usize>, special: &[String]) -> Vec<String> {
        counts.retain(|token, count| *count >= self.min_count && !special.contains(token));
        let mut tokens: Vec<(String, usize)> = counts.into_iter().collect();
        // Stable, so that the order of equals stays.
        tokens.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        tokens.truncate(self.max_tokens.map_or(usize::MAX, |max| max.saturating_sub(special.len())));
        tokens.into_iter().map(|(token, _)| token).collect()
    }
}

impl Checkpointed for Vocabulary {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        parts.value("words", &mut self.words)?;
        parts.value("tokens", &mut self.tokens)?;
        parts.value("unknown", &mut self.unknown)?;
        let unknown = self.unknown;
        *self = Vocabulary::of(self.words, std::mem::take(&mut self.tokens), None);
        self.unknown = unknown;
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
    fn special_tokens_and_bounds() {
        let text = "b b b a a c c d";
        let with =
            |options: &VocabularyOptions<'_>| Vocabulary::words_with(text, options).map(|v| v.tokens().join(" "));
        let plain = VocabularyOptions::default();
        assert_eq!(with(&plain).unwrap(), "b a c d");
        assert_eq!(with(&VocabularyOptions { min_count: 2, ..plain }).unwrap(), "b a c");
        assert_eq!(with(&VocabularyOptions { max_tokens: Some(2), ..plain }).unwrap(), "b a");
        let special = VocabularyOptions { special: &["<pad>", "c"], unknown: Some("<unk>"), ..plain };
        // A special token that occurs in the text is there once.
        assert_eq!(with(&special).unwrap(), "<pad> c <unk> b a d");
        assert_eq!(with(&VocabularyOptions { max_tokens: Some(4), ..special }).unwrap(), "<pad> c <unk> b");
        assert_eq!(with(&VocabularyOptions { max_tokens: Some(3), ..special }).unwrap(), "<pad> c <unk>");
        let error = with(&VocabularyOptions { max_tokens: Some(2), ..special }).unwrap_err().to_string();
        assert!(error.contains("3 special tokens are given, and at most 2 tokens asked for"), "{error}");
        let error = with(&VocabularyOptions { special: &["x", "y", "x"], ..plain }).unwrap_err().to_string();
        assert!(error.contains("two special tokens are \"x\""), "{error}");
        // The token of the unknown may be one of the special ones, at any place.
        let options =
            VocabularyOptions { special: &["<unk>", "<pad>"], unknown: Some("<unk>"), max_tokens: Some(4), ..plain };
        assert_eq!(with(&options).unwrap(), "<unk> <pad> b a");
        let chars = Vocabulary::chars_with("zzyyx", &options).unwrap();
        assert_eq!((chars.tokens().join(" "), chars.unknown()), ("<unk> <pad> y z".into(), Some(0)));
        assert_eq!(chars.encode("zxy").unwrap(), [3, 0, 2]);
        assert_eq!((chars.number("<pad>"), chars.number("x")), (Some(1), None));
        // A vocabulary keeps its tokens in a checkpoint.
        let words = Vocabulary::words_with(text, &special).unwrap();
        let mut other = Vocabulary::chars("");
        Parts::read(&mut other, Parts::write(&mut words.clone()).unwrap()).unwrap();
        assert_eq!((other.unknown(), &other), (Some(2), &words));
        assert_eq!(words.clone().with_unknown("<unk>"), words);
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
