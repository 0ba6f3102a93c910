//! What each command of the command line does.

pub mod check;
pub mod generate;
mod offline;
pub mod parse;
pub mod range;
mod records;
pub mod serve;
mod slot_table;
pub mod slots;
