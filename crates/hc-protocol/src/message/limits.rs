//! Bounds on what a message may declare. Those on the parts of a proof stand in `hc_merkle::limits`,
//! that on a whole message in [`mux::limits`](crate::mux::limits).

/// Most words in one bitfield message: the 2 097 152 bits that one want may ask for.
pub const MAX_BITFIELD_WORDS: usize = 65_536;

/// Most bytes in the name of an extension.
pub const MAX_EXTENSION_NAME_LEN: usize = 1024;
