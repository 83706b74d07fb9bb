//! Changing a log by other means than appending: what was asked for, as futures to await. The changes
//! themselves are the core's.

mod clear;
mod purge;
mod truncate;
mod user_data;

pub use clear::{Clear, ClearDiff, ClearError, Cleared};
pub use purge::PurgeError;
pub use truncate::{Truncate, TruncateError, Truncated};
pub use user_data::{SetUserData, UserDataError};
