//! What each command of the command line does.

pub mod check;
pub mod generate;
pub mod parse;
pub mod serve;
pub mod slots;
