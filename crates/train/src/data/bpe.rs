//! Byte-pair encoding.

use super::refused;
use crate::checkpoint::{Checkpointed, Parts};
use crate::error::{Error, Result};
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{Tokenizer, TokenizerBuilder};

/// A vocabulary of byte pairs (Sennrich et al. 2016, over bytes as in GPT-2: every text can be encoded), trained or read from a
/// `tokenizer.json` of the Hugging Face library, which does the work.
///
/// ```
/// use wengert_train::Bpe;
/// let text = "low lower lowest newer newest wider widest ".repeat(50);
/// let bpe = Bpe::train(&text, 270)?;
/// let numbers = bpe.encode("lowest of all")?;
/// assert!(numbers.len() < "lowest of all".len());
/// assert_eq!(bpe.decode(&numbers)?, "lowest of all");
/// # Ok::<(), wengert_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bpe(Tokenizer);

impl Bpe {
    /// Learns a vocabulary of about `size` tokens (the 256 bytes, and merges of pairs that occur twice or more) from a text.
    ///
    /// # Errors
    /// If the library refuses.
    #[track_caller]
    pub fn train(text: &str, size: usize) -> Result<Bpe> {
        // No space before the text: what is decoded is what was encoded.
        let bytes = || ByteLevel::new(false, true, true);
        let mut trainer: BpeTrainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(size)
            .min_frequency(2)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let made = TokenizerBuilder::<BPE, tokenizers::NormalizerWrapper, _, _, _>::new()
            .with_model(BPE::default())
            .with_pre_tokenizer(Some(bytes()))
            .with_post_processor(Some(bytes()))
            .with_decoder(Some(bytes()))
            .build()
            .and_then(|mut tokenizer| {
                tokenizer.train(&mut trainer, text.lines().map(|line| format!("{line}\n")))?;
                Tokenizer::from_bytes(tokenizer.to_string(false)?)
            });
        made.map(Bpe).map_err(|e| refused("Bpe::train", e.to_string(), "").into())
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: impl AsRef<Path>) -> Result<Bpe> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
        Tokenizer::from_bytes(bytes).map(Bpe).map_err(|e| Error::format(path, e.to_string()))
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.0.save(path, false).map_err(|e| Error::format(path, e.to_string()))
    }

    /// How many tokens there are.
    pub fn size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// The numbers of a text's tokens.
    ///
    /// # Errors
    /// If the library refuses.
    #[track_caller]
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        match self.0.encode_fast(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().iter().map(|id| *id as i64).collect()),
            Err(e) => Err(refused("Bpe::encode", e.to_string(), "").into()),
        }
    }

    /// The text of numbers. What is no whole UTF-8 character is written as �.
    ///
    /// # Errors
    /// If a number is no token.
    #[track_caller]
    pub fn decode(&self, numbers: &[i64]) -> Result<String> {
        let known = |number: &i64| u32::try_from(*number).ok().filter(|id| self.0.id_to_token(*id).is_some());
        let ids: Result<Vec<u32>, i64> = numbers.iter().map(|number| known(number).ok_or(*number)).collect();
        let text = match ids {
            Ok(ids) => self.0.decode(&ids, false).map_err(|e| e.to_string()),
            Err(number) => Err(format!("{number} is no token of a vocabulary of {}", self.size())),
        };
        text.map_err(|found| refused("Bpe::decode", found, "decode with the vocabulary that has encoded").into())
    }
}

impl Checkpointed for Bpe {
    fn parts(&mut self, parts: &mut Parts) -> Result<()> {
        let failed = |e: tokenizers::Error| refused("Bpe", e.to_string(), "");
        let mut text = self.0.to_string(false).map_err(failed)?;
        parts.value("tokenizer", &mut text)?;
        self.0 = Tokenizer::from_bytes(text).map_err(failed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back() {
        let text = "the cat sat on the mat\nthe hat sat on the cat\n".repeat(20);
        let bpe = Bpe::train(&text, 300).unwrap();
        assert!(bpe.size() > 256 && bpe.size() <= 300, "{}", bpe.size());
        for text in [&text[..], "", " leading", "∂L/∂x 日本語\r\n\ttab", "  two  spaces  "] {
            assert_eq!(bpe.decode(&bpe.encode(text).unwrap()).unwrap(), text);
        }
        assert!(bpe.encode(&text).unwrap().len() * 3 < text.len());
        let error = bpe.decode(&[1, 70_000]).unwrap_err().to_string();
        assert!(error.contains("70000 is no token"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        bpe.write(&path).unwrap();
        let mut other = Bpe::train("", 256).unwrap();
        Parts::read(&mut other, Parts::write(&mut bpe.clone()).unwrap()).unwrap();
        for same in [Bpe::read(&path).unwrap(), other] {
            assert_eq!(same.encode(&text).unwrap(), bpe.encode(&text).unwrap());
        }
        std::fs::write(&path, "{").unwrap();
        assert!(Bpe::read(&path).unwrap_err().to_string().contains("tokenizer.json: "));
    }

    #[test]
    fn training_is_reproducible() {
        let text: String = (0..3000).map(|i| ["ab", "bc", "ca", " "][i * i % 7 % 4]).collect();
        let all: Vec<_> = (0..3).map(|_| Bpe::train(&text, 300).unwrap().encode(&text).unwrap()).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
