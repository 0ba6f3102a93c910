//! How many IDs one request may ask for.

/// A number of IDs: 1 ..= [`Count::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(u16);

impl Count {
    /// One ID.
    pub const ONE: Self = Self(1);

    /// A whole tick's sequence space of the default layout. Larger requests gain nothing: they
    /// would only hold the answers behind them for more than a tick.
    pub const MAX: u32 = 4096;

    /// The count `number`, or `None` for 0 and above [`Count::MAX`].
    #[allow(clippy::cast_possible_truncation)] // At most 4096.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 || number > Self::MAX { None } else { Some(Self(number as u16)) }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}
