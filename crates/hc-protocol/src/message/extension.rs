//! The layout of extension messages, and the shorthand for their names.

use alloc::borrow::ToOwned;
use alloc::string::String;

use bytes::Bytes;
use hc_encoding::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer, uint_len};

use super::Extension;
use super::limits::MAX_EXTENSION_NAME_LEN;

impl Encode for Extension {
    fn encoded_len(&self) -> usize {
        uint_len(self.name.len() as u64) + self.name.len() + self.message.len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        writer.buffer(self.name.as_bytes());
        writer.raw(&self.message);
    }
}

/// The message is all that follows the name.
impl<'a> Decode<'a> for Extension {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let too_long = reader.error(DecodeErrorKind::TooLong);
        let name = reader.buffer()?;
        if name.len() > MAX_EXTENSION_NAME_LEN {
            return Err(too_long);
        }
        // Text that is not UTF-8 names no extension; the reference reads it like this as well.
        let name = String::from_utf8_lossy(name).into_owned();
        Ok(Self {
            name,
            message: reader.shared_rest(),
        })
    }
}

/// The names that were last used on a channel in either direction: an empty name repeats the last.
#[derive(Debug, Clone, Default)]
pub struct ExtensionNames {
    sent: String,
    received: String,
}

impl ExtensionNames {
    /// The message to send for an extension, its name left out where it is that of the last one.
    pub fn outgoing(&mut self, name: &str, message: Bytes) -> Extension {
        if name == self.sent {
            return Extension {
                name: String::new(),
                message,
            };
        }
        name.clone_into(&mut self.sent);
        Extension {
            name: name.to_owned(),
            message,
        }
    }

    /// The name that a message is for; empty where none was ever given.
    pub fn incoming(&mut self, message: &Extension) -> &str {
        if !message.name.is_empty() {
            self.received.clone_from(&message.name);
        }
        &self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_repeats_the_last() {
        let (mut ours, mut theirs) = (ExtensionNames::default(), ExtensionNames::default());
        for (name, on_the_wire) in [("a", "a"), ("a", ""), ("b", "b"), ("a", "a"), ("a", "")] {
            let message = ours.outgoing(name, Bytes::new());
            assert_eq!(message.name, on_the_wire);
            assert_eq!(theirs.incoming(&message), name);
        }
    }

    #[test]
    fn nothing_to_repeat_is_no_name() {
        let message = Extension {
            name: String::new(),
            message: Bytes::new(),
        };
        assert_eq!(ExtensionNames::default().incoming(&message), "");
    }
}
