//! A cursor over a payload whose size was checked: fields are taken from the front, in order.

/// Takes big-endian fields from the front of a payload.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// The next `N` bytes; zeros when the payload ends first, which the size check before excludes.
    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.rest = rest;
                *field
            }
            None => {
                debug_assert!(false, "the size of the payload was not checked");
                [0; N]
            }
        }
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// Whether the next `N` bytes, reserved by the protocol, are all zero.
    pub(crate) fn zeros<const N: usize>(&mut self) -> bool {
        self.array::<N>() == [0; N]
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }
}
