//! JSON as it travels: checked, not parsed. Knows the grammar of RFC 8259 and nothing of values.

use crate::{Decode, DecodeError, DecodeErrorKind, Encode, MAX_JSON_DEPTH, Reader, Writer};

/// JSON text (`json`), known to be well formed; any JSON library turns it into values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The text, if it is one JSON value no deeper than [`MAX_JSON_DEPTH`].
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        let mut scan = Scan {
            rest: text.as_bytes(),
        };
        scan.document().map(|()| Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl Encode for Json<'_> {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
    }
}

impl<'a> Decode<'a> for Json<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let invalid = reader.error(DecodeErrorKind::Invalid);
        Self::new(<&str>::decode(reader)?).ok_or(invalid)
    }
}

/// What is left to check. Every step takes what it knows off the front, or fails.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn document(&mut self) -> Option<()> {
        self.value(MAX_JSON_DEPTH)?;
        self.space();
        self.rest.is_empty().then_some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.rest.first()? {
            b'{' => self.items(b'}', depth, |scan, depth| {
                scan.space();
                scan.string()?;
                scan.space();
                scan.literal(b":")?;
                scan.value(depth)
            }),
            b'[' => self.items(b']', depth, Self::value),
            b'"' => self.string(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    /// Items with commas between them, from an opening bracket to its closing one.
    fn items(
        &mut self,
        close: u8,
        depth: usize,
        item: impl Fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.take()?;
        self.space();
        if self.eat(close) {
            return Some(());
        }
        loop {
            item(self, depth)?;
            self.space();
            match self.take()? {
                b',' => {}
                end => return (end == close).then_some(()),
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.literal(b"\"")?;
        loop {
            match self.take()? {
                b'"' => return Some(()),
                b'\\' => match self.take()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            self.take().filter(u8::is_ascii_hexdigit)?;
                        }
                    }
                    _ => return None,
                },
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _signed = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let len = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.rest = self.rest.get(len..)?;
        (len > 0).then_some(())
    }

    fn space(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.literal(&[byte]).is_some()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}
