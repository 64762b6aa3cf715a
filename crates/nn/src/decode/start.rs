//! Where a sequence begins, and where it ends.

use super::stepper::{Frontier, Stepper};
use crate::carried::Carried;
use wengert_autograd::{Error, ErrorKind, Result};

/// What sequences begin with: a token each, and the state before it.
#[derive(Clone, Debug)]
pub struct Start {
    pub(super) frontier: Frontier,
}

impl Start {
    /// One sequence for each token, from the model's initial state.
    pub fn tokens(tokens: &[i64]) -> Start {
        Start { frontier: Frontier { tokens: tokens.to_vec(), rows: (0..tokens.len()).collect(), state: None } }
    }

    /// The same tokens from a given state, such as an encoder's last: of as many rows, in the order of the tokens.
    pub fn with_state(mut self, state: Carried) -> Start {
        self.frontier.state = Some(state);
        self
    }

    /// One sequence that goes on from a list of tokens: the model reads all but the last, with which the sequence then begins.
    ///
    /// # Errors
    /// If the list is empty, or a step fails.
    #[track_caller]
    pub fn prompt<S: Stepper>(model: &S, tokens: &[i64]) -> Result<Start> {
        let Some((first, later)) = tokens.split_first() else {
            let remedy = "begin with at least one token, such as one that stands for the beginning";
            return Err(Error::new(ErrorKind::Value, "prompt", "the prompt is empty", remedy));
        };
        let mut start = Start::tokens(&[*first]);
        for token in later {
            let (_, state) = start.frontier.advance(model)?;
            start.frontier.state = Some(state);
            start.frontier.tokens = vec![*token];
        }
        Ok(start)
    }

    /// Every sequence `n` times, one copy behind the other: for several draws.
    pub fn repeat(mut self, n: usize) -> Start {
        let all = self.frontier.tokens.len();
        let copies = (0..all).flat_map(|i| std::iter::repeat_n(i, n));
        self.frontier = Frontier {
            tokens: copies.clone().map(|i| self.frontier.tokens[i]).collect(),
            rows: copies.map(|i| self.frontier.rows[i]).collect(),
            ..self.frontier
        };
        self
    }
}

/// Where a sequence ends: after so many tokens, or at one that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub(super) length: usize,
    pub(super) token: Option<i64>,
}

impl Stop {
    /// After `length` tokens.
    pub fn after(length: usize) -> Stop {
        Stop { length, token: None }
    }

    /// Also at a token, which is not part of the result.
    pub fn at(self, token: i64) -> Stop {
        Stop { token: Some(token), ..self }
    }
}
