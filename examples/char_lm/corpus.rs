//! Text as numbers.

use crate::failure::{Failure, Result};
use std::fs;
use std::path::{Path, PathBuf};
use wengert::train::Vocabulary;

/// A text in two parts, as numbers of its characters.
pub struct Corpus {
    pub name: String,
    pub train: Vec<i64>,
    pub held_out: Vec<i64>,
    /// The characters of the training part; 0 stands for every other one.
    pub vocabulary: Vocabulary,
}

impl Corpus {
    /// The text of a file, or of all Rust files of this workspace. Held out is every 20th file, or every 20th piece of one file.
    pub fn read(path: Option<&Path>) -> Result<Corpus> {
        let (name, parts) = match path {
            Some(path) => {
                let text: Vec<char> = read(path)?.chars().collect();
                let piece = (text.len() / 200).max(1);
                (path.display().to_string(), text.chunks(piece).map(|piece| piece.iter().collect()).collect())
            }
            None => {
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                let mut files = Vec::new();
                for folder in ["crates", "examples", "src", "tests"] {
                    sources(&root.join(folder), &mut files)?;
                }
                files.sort();
                let texts = files.iter().map(|path| read(path)).collect::<Result<Vec<String>>>()?;
                (format!("{} Rust files", files.len()), texts)
            }
        };
        let held = |(number, _): &(usize, &String)| number % 20 == 10;
        let (held_out, train): (Vec<_>, Vec<_>) = parts.iter().enumerate().partition(held);
        let join = |parts: Vec<(usize, &String)>| parts.into_iter().map(|(_, part)| part.as_str()).collect::<String>();
        let (train, held_out) = (join(train), join(held_out));
        let vocabulary = Vocabulary::chars(&train).with_unknown("\u{fffd}");
        let (train, held_out) = (vocabulary.encode(&train)?, vocabulary.encode(&held_out)?);
        if train.len() < 5_000 || held_out.len() < 200 {
            let found = format!("{} characters are too few: 5200 are needed", train.len() + held_out.len());
            return Err(Failure::new(format!("{name}: {found}")));
        }
        Ok(Corpus { name, train, held_out, vocabulary })
    }

    /// Keeps so many characters of the training part, and a twentieth of it.
    pub fn shorten(&mut self, characters: usize) {
        self.train.truncate(characters);
        self.held_out.truncate(characters / 20);
    }

    /// The first line of what was held out, with its end.
    pub fn prompt(&self) -> Vec<i64> {
        let newline = self.vocabulary.tokens().iter().position(|token| token == "\n").map(|at| at as i64);
        let end = self.held_out.iter().position(|number| Some(*number) == newline).unwrap_or(20);
        self.held_out[..=end.min(100)].to_vec()
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Failure::file(path, e))
}

/// All Rust files below a folder but those that were built.
fn sources(folder: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Failure::file(folder, e))? {
        let path = entry.map_err(|e| Failure::file(folder, e))?.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, all)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push(path);
        }
    }
    Ok(())
}
