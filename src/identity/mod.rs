//! Where the windows of a slot come from.

pub(crate) mod memory;
