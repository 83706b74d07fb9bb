//! The types of the vectors by their names. Values become text that is the same for equal ones, so
//! that what was read can be compared with what a vector says.

use std::net::{Ipv4Addr, SocketAddrV4};

use hc_encoding::{
    Ascii, BigInt, BigUint, BitArray, DateMillis, Decode, DecodeError, Encode, Entries, Frame,
    IntLe, Json, Lexint, Packed, Raw, Reader, Record, UintBe, UintLe, Utf16Le, encode_to_vec,
};
use serde_json::Value;

/// A type of the vectors: from their values to bytes and text, and from bytes to text.
trait Codec {
    fn encode(&self, value: &Value) -> Vec<u8>;
    fn decode(&self, reader: &mut Reader<'_>) -> Result<String, DecodeError>;
}

/// Made of the two directions for one Rust type.
struct Both<E, D>(E, D);

impl<E, D> Codec for Both<E, D>
where
    E: Fn(&Value) -> Vec<u8>,
    D: Fn(&mut Reader<'_>) -> Result<String, DecodeError>,
{
    fn encode(&self, value: &Value) -> Vec<u8> {
        (self.0)(value)
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Result<String, DecodeError> {
        (self.1)(reader)
    }
}

pub(crate) fn encode(name: &str, value: &Value) -> Vec<u8> {
    codec(name).encode(value)
}

pub(crate) fn decode(name: &str, reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    codec(name).decode(reader)
}

/// An owned type that is made of a value of the vectors and shown as text.
fn owned<T>(
    from: impl Fn(&Value) -> T + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Box<dyn Codec>
where
    T: Encode + for<'a> Decode<'a>,
{
    Box::new(Both(
        move |value: &Value| encode_to_vec(&from(value)),
        move |reader: &mut Reader<'_>| T::decode(reader).map(|value| show(&value)),
    ))
}

fn codec(name: &str) -> Box<dyn Codec> {
    if name.starts_with("uint") || name.starts_with("int") || name.starts_with("big") {
        return integer(name);
    }
    if name.starts_with("float") {
        return float(name);
    }
    if name.contains('(') && !name.starts_with("fixed") {
        return compound(name);
    }
    match name {
        "string" | "utf8" | "ascii" | "utf16le" | "json" => text(name),
        "buffer" | "hex" | "base64" | "optionalBuffer" | "raw" | "bitarray" => bytes(name),
        "fixed(5)" => owned(fixed::<5>, |own| hex::encode(own)),
        "fixed8" => owned(fixed::<8>, |own| hex::encode(own)),
        "fixed16" => owned(fixed::<16>, |own| hex::encode(own)),
        "fixed24" => owned(fixed::<24>, |own| hex::encode(own)),
        "fixed32" => owned(fixed::<32>, |own| hex::encode(own)),
        "fixed64" => owned(fixed::<64>, |own| hex::encode(own)),
        "lexint" => owned(|value| Lexint(u64_of(value)), |value| value.0.to_string()),
        "port" => integer("uint16"),
        "date" => owned(
            |value| DateMillis(i64_of(value)),
            |value| value.0.to_string(),
        ),
        "bool" => owned(|value| value.as_bool().unwrap(), bool::to_string),
        "none" => owned(|_| (), |()| "null".into()),
        "ipv4" => owned(
            |value| str_of(value).parse::<Ipv4Addr>().unwrap(),
            Ipv4Addr::to_string,
        ),
        "ipv4Address" => owned(
            |value| {
                let port = u16::try_from(u64_of(&value["port"])).unwrap();
                SocketAddrV4::new(str_of(&value["host"]).parse().unwrap(), port)
            },
            |address| format!("{{family=4,host={},port={}}}", address.ip(), address.port()),
        ),
        other => panic!("a type that is not known: {other}"),
    }
}

fn integer(name: &str) -> Box<dyn Codec> {
    fn le<const N: usize>() -> Box<dyn Codec> {
        owned(
            |value| UintLe::<N>::new(u64_of(value)).unwrap(),
            |own| own.value().to_string(),
        )
    }
    fn be<const N: usize>() -> Box<dyn Codec> {
        owned(
            |value| UintBe::<N>::new(u64_of(value)).unwrap(),
            |own| own.value().to_string(),
        )
    }
    fn signed<const N: usize>() -> Box<dyn Codec> {
        owned(
            |value| IntLe::<N>::new(i64_of(value)).unwrap(),
            |own| own.value().to_string(),
        )
    }
    match name {
        "uint" => owned(u64_of, u64::to_string),
        "uint8" => le::<1>(),
        "uint16" => le::<2>(),
        "uint24" => le::<3>(),
        "uint32" => le::<4>(),
        "uint40" => le::<5>(),
        "uint48" => le::<6>(),
        "uint56" => le::<7>(),
        "uint64" | "biguint64" => le::<8>(),
        "uint32be" => be::<4>(),
        "uint64be" => be::<8>(),
        "int" => owned(i64_of, i64::to_string),
        "int8" => signed::<1>(),
        "int16" => signed::<2>(),
        "int24" => signed::<3>(),
        "int32" => signed::<4>(),
        "int40" => signed::<5>(),
        "int48" => signed::<6>(),
        "int56" => signed::<7>(),
        "int64" | "bigint64" => signed::<8>(),
        "biguint" => owned(big, |own| decimal(own.limbs())),
        "bigint" => owned(
            |value| BigInt::new(str_of(value).starts_with('-'), big(value)),
            |own| {
                let sign = if own.is_negative() { "-" } else { "" };
                format!("{sign}{}", decimal(own.magnitude().limbs()))
            },
        ),
        "uint8array" => packed::<u8>(),
        "uint16array" => packed::<u16>(),
        "uint32array" => packed::<u32>(),
        "int8array" => packed::<i8>(),
        "int16array" => packed::<i16>(),
        "int32array" => packed::<i32>(),
        "biguint64array" => packed::<u64>(),
        "bigint64array" => packed::<i64>(),
        other => panic!("an integer that is not known: {other}"),
    }
}

fn packed<T>() -> Box<dyn Codec>
where
    T: std::str::FromStr<Err: std::fmt::Debug> + ToString + hc_encoding::PackedNumber + 'static,
{
    owned(
        |value| {
            Packed::<T>(
                items(value)
                    .iter()
                    .map(|own| show(own).parse().unwrap())
                    .collect(),
            )
        },
        |own| list(own.0.iter().map(T::to_string)),
    )
}

/// Floating point numbers are compared by their bits: 0 is not -0, and NaN is NaN.
fn float(name: &str) -> Box<dyn Codec> {
    #[allow(clippy::cast_possible_truncation)] // the vectors hold 32-bit numbers as 64-bit ones
    fn f32_of(value: &Value) -> f32 {
        f64_of(value) as f32
    }
    match name {
        "float32" => owned(f32_of, |own| bits(f64::from(*own))),
        "float64" => owned(f64_of, |own| bits(*own)),
        "float32array" => owned(
            |value| Packed(items(value).iter().map(f32_of).collect()),
            |own: &Packed<f32>| list(own.0.iter().map(|own| bits((*own).into()))),
        ),
        "float64array" => owned(
            |value| Packed(items(value).iter().map(f64_of).collect()),
            |own: &Packed<f64>| list(own.0.iter().map(|own| bits(*own))),
        ),
        other => panic!("a number that is not known: {other}"),
    }
}

fn text(name: &str) -> Box<dyn Codec> {
    match name {
        "ascii" => Box::new(Both(
            |value: &Value| encode_to_vec(&Ascii::new(str_of(value)).unwrap()),
            |reader: &mut Reader<'_>| Ascii::decode(reader).map(|own| own.as_str().into()),
        )),
        "utf16le" => owned(|value| Utf16Le(str_of(value).into()), |own| own.0.clone()),
        "json" => Box::new(Both(
            |value: &Value| encode_to_vec(&Json::new(&value.to_string()).unwrap()),
            |reader: &mut Reader<'_>| {
                let parsed = |own: Json<'_>| serde_json::from_str::<Value>(own.as_str()).unwrap();
                Json::decode(reader).map(|own| show(&parsed(own)))
            },
        )),
        _ => owned(|value| str_of(value).to_owned(), String::clone),
    }
}

fn bytes(name: &str) -> Box<dyn Codec> {
    match name {
        "optionalBuffer" => Box::new(Both(
            |value: &Value| {
                let bytes = value.as_str().map(|text| hex::decode(text).unwrap());
                encode_to_vec(&bytes.as_deref())
            },
            |reader: &mut Reader<'_>| {
                Option::<&[u8]>::decode(reader).map(|own| own.map_or("null".into(), hex::encode))
            },
        )),
        "raw" => Box::new(Both(
            |value: &Value| encode_to_vec(&Raw(&hex::decode(str_of(value)).unwrap())),
            |reader: &mut Reader<'_>| Raw::decode(reader).map(|own| hex::encode(own.0)),
        )),
        "bitarray" => Box::new(Both(
            |value: &Value| {
                let bits: Vec<bool> = items(value)
                    .iter()
                    .map(|bit| bit.as_bool().unwrap())
                    .collect();
                encode_to_vec(&BitArray::new(&BitArray::pack(&bits), bits.len()).unwrap())
            },
            |reader: &mut Reader<'_>| {
                BitArray::decode(reader).map(|own| list(own.iter().map(|bit| bit.to_string())))
            },
        )),
        "base64" => Box::new(Both(
            |value: &Value| encode_to_vec(from_base64(str_of(value)).as_slice()),
            |reader: &mut Reader<'_>| <&[u8]>::decode(reader).map(to_base64),
        )),
        _ => Box::new(Both(
            |value: &Value| encode_to_vec(hex::decode(str_of(value)).unwrap().as_slice()),
            |reader: &mut Reader<'_>| <&[u8]>::decode(reader).map(hex::encode),
        )),
    }
}

fn compound(name: &str) -> Box<dyn Codec> {
    let uints = |value: &Value| -> Vec<u64> { items(value).iter().map(u64_of).collect() };
    let show_uints = |own: &Vec<u64>| list(own.iter().map(u64::to_string));
    match name {
        "array(uint)" => owned(uints, show_uints),
        "array(array(uint))" => owned(
            move |value| items(value).iter().map(uints).collect::<Vec<_>>(),
            move |own| list(own.iter().map(show_uints)),
        ),
        "array(string)" => owned(
            |value| {
                items(value)
                    .iter()
                    .map(|own| str_of(own).to_owned())
                    .collect::<Vec<_>>()
            },
            |own| list(own.iter().cloned()),
        ),
        "array(buffer)" => owned(
            |value| {
                let decoded = items(value)
                    .iter()
                    .map(|own| hex::decode(str_of(own)).unwrap());
                decoded.map(bytes::Bytes::from).collect::<Vec<_>>()
            },
            |own| list(own.iter().map(hex::encode)),
        ),
        "array(fixed32)" => owned(
            |value| items(value).iter().map(fixed::<32>).collect::<Vec<_>>(),
            |own| list(own.iter().map(hex::encode)),
        ),
        "raw.array(uint)" => owned(
            move |value| Entries(uints(value)),
            move |own| show_uints(&own.0),
        ),
        "frame(uint)" => owned(|value| Frame(u64_of(value)), |own| own.0.to_string()),
        "frame(raw)" => Box::new(Both(
            |value: &Value| encode_to_vec(&Frame(Raw(&hex::decode(str_of(value)).unwrap()))),
            |reader: &mut Reader<'_>| {
                Frame::<Raw<'_>>::decode(reader).map(|own| hex::encode(own.0.0))
            },
        )),
        "record(string,uint)" => owned(
            |value| {
                let entries = value.as_object().unwrap().iter();
                Record(
                    entries
                        .map(|(key, value)| (key.clone(), u64_of(value)))
                        .collect(),
                )
            },
            |own: &Record<String, u64>| {
                let entries: Vec<_> = own
                    .0
                    .iter()
                    .map(|(key, own)| format!("{key}={own}"))
                    .collect();
                format!("{{{}}}", entries.join(","))
            },
        ),
        other => panic!("a compound that is not known: {other}"),
    }
}

/// The text for a value of the vectors of this type.
pub(crate) fn shown(name: &str, value: &Value) -> String {
    match name {
        "float32" | "float64" => bits(f64_of(value)),
        "float32array" | "float64array" => list(items(value).iter().map(|own| bits(f64_of(own)))),
        "optionalBuffer" if value == "" => "null".into(),
        _ => show(value),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => list(items.iter().map(show)),
        Value::Object(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .map(|(key, own)| format!("{key}={}", show(own)))
                .collect();
            // In whatever order the JSON library keeps them.
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        other => other.to_string(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn bits(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else {
        format!("{:016x}", value.to_bits())
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn u64_of(value: &Value) -> u64 {
    show(value).parse().unwrap()
}

fn i64_of(value: &Value) -> i64 {
    show(value).parse().unwrap()
}

fn f64_of(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| str_of(value).parse().unwrap())
}

fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(str_of(value)).unwrap().try_into().unwrap()
}

/// The magnitude of a decimal number.
fn big(value: &Value) -> BigUint {
    let mut limbs = Vec::new();
    for digit in str_of(value).bytes().filter(u8::is_ascii_digit) {
        let mut carry = u128::from(digit - b'0');
        for limb in &mut limbs {
            carry += u128::from(*limb) * 10;
            *limb = u64::try_from(carry & u128::from(u64::MAX)).unwrap();
            carry >>= 64;
        }
        if carry > 0 {
            limbs.push(u64::try_from(carry).unwrap());
        }
    }
    BigUint::from_limbs(limbs)
}

fn decimal(limbs: &[u64]) -> String {
    let mut limbs = limbs.to_vec();
    let mut digits = Vec::new();
    while limbs.iter().any(|limb| *limb > 0) {
        let mut rest = 0;
        for limb in limbs.iter_mut().rev() {
            let part = rest << 64 | u128::from(*limb);
            *limb = u64::try_from(part / 10).unwrap();
            rest = part % 10;
        }
        digits.push(rest.to_string());
    }
    digits.reverse();
    if digits.is_empty() {
        "0".into()
    } else {
        digits.concat()
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value = (0..3).fold(0, |value, i| {
            value << 8 | usize::from(*chunk.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            let digit = BASE64[value >> (18 - 6 * i) & 63];
            text.push(if i <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

fn from_base64(text: &str) -> Vec<u8> {
    let digits: Vec<usize> = text
        .bytes()
        .filter_map(|own| BASE64.iter().position(|digit| *digit == own))
        .collect();
    let mut bytes = Vec::new();
    for chunk in digits.chunks(4) {
        let value = (0..4).fold(0, |value, i| value << 6 | chunk.get(i).unwrap_or(&0));
        let three = [value >> 16, value >> 8, value].map(|own| u8::try_from(own & 255).unwrap());
        bytes.extend(&three[..chunk.len() - 1]);
    }
    bytes
}
