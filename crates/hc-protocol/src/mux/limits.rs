//! Every bound on what a remote can make a mux hold, and the sizes that the reference fixes.

/// Most bytes in one frame: what the encrypted stream carries.
pub const MAX_FRAME: usize = crate::limits::MAX_PLAIN_LEN;

/// Most bytes in one message, its type included: a frame less the largest batch head.
pub const MAX_MESSAGE: usize = MAX_FRAME - 32;

/// A batch of at least this many bytes is sent before more is added to it (protomux `MAX_BATCH`).
pub const MAX_BATCH: usize = 8 * 1024 * 1024;

/// Deepest batch inside a batch that is read. Nobody is known to write one.
pub const MAX_BATCH_DEPTH: usize = 4;

/// Most channels in each direction, open or waiting for an answer.
pub const MAX_CHANNELS: usize = 65_536;

/// Most channels that the remote has asked for and that have not been answered.
pub const MAX_PENDING_OPENS: usize = 16_384;

/// Most bytes in the name of a protocol.
pub const MAX_PROTOCOL_LEN: usize = 256;

/// Most bytes in the id of a channel.
pub const MAX_ID_LEN: usize = 256;

/// Most bytes in the handshake that opens a channel.
pub const MAX_HANDSHAKE_LEN: usize = 4096;

/// With more than this held for channels that are not open here, the mux takes no further frame
/// (protomux `MAX_BUFFERED`).
pub const MAX_BUFFERED: usize = 32_768;

/// Most that is ever held: the rest of one frame may still arrive after [`MAX_BUFFERED`].
pub const MAX_HELD: usize = 32 * 1024 * 1024;

/// What a held message or request counts beside its bytes, as in protomux.
pub const HELD_OVERHEAD: usize = 512;
