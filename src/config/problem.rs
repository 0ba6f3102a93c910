//! What is wrong with a configuration.

use core::fmt;

use crate::config::StateConfig;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The keys it is about, the one to look at first.
    pub(super) keys: Vec<&'static str>,
    /// Key, value and rule, in one line.
    pub(crate) text: String,
}

impl Problem {
    pub(super) fn of(keys: &[&'static str], text: String) -> Self {
        // A path may hold anything.
        Self { keys: keys.to_vec(), text: text.replace(char::is_control, "\u{fffd}") }
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug)]
pub struct ConfigError {
    pub(super) problems: Vec<Problem>,
    /// Where the record would live, if that is known in spite of them.
    pub(crate) state: Option<Box<StateConfig>>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], state: None }
    }
}

impl From<Vec<Problem>> for ConfigError {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems, state: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(|problem| problem.text.as_str()).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl core::error::Error for ConfigError {}
