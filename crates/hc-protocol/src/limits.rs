//! Every bound on what a remote can make this crate hold. Knows nothing of who enforces it.

/// Most bytes of one frame, its length not counted: what three bytes can say.
pub const MAX_FRAME_LEN: usize = 0xff_ffff;

/// Most plain bytes of one encrypted frame.
pub const MAX_PLAIN_LEN: usize = MAX_FRAME_LEN - crate::secret_stream::OVERHEAD;

/// Most bytes of a frame from a remote that has not yet shown its stream header. The longest
/// such frame that the reference sends has 96 bytes.
pub const MAX_UNPROVEN_FRAME_LEN: usize = 1024;

/// Most bytes of a handshake message (the Noise Protocol Framework, section 3).
pub const MAX_HANDSHAKE_MESSAGE_LEN: usize = 65_535;
