//! What is written is read back, and whatever is read does not panic.

use std::fmt::Debug;

use hc_encoding::{
    Ascii, BigInt, BigUint, BitArray, DateMillis, Decode, Encode, Entries, Frame, IntLe, Json,
    Lexint, Packed, Raw, Reader, Record, UintBe, UintLe, Utf16Le, decode_exact, decode_prefix,
    encode_to_vec,
};
use proptest::prelude::*;

fn round<T: Encode + for<'a> Decode<'a> + PartialEq + Debug>(
    value: &T,
) -> Result<(), TestCaseError> {
    let mut bytes = encode_to_vec(value);
    prop_assert_eq!(bytes.len(), value.encoded_len());
    prop_assert_eq!(&decode_exact::<T>(&bytes).unwrap(), value);
    for end in 0..bytes.len() {
        prop_assert!(decode_exact::<T>(&bytes[..end]).is_err());
    }
    bytes.push(0x5a);
    prop_assert_eq!(decode_prefix::<T>(&bytes).unwrap().1, &[0x5a]);
    Ok(())
}

/// Few, as every cut of every encoding is tried.
fn few<T: Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(item, 0..6)
}

fn any_decoder(bytes: &[u8]) {
    fn run<'a, T: Decode<'a>>(bytes: &'a [u8]) {
        let _ = T::decode(&mut Reader::new(bytes));
    }
    run::<u64>(bytes);
    run::<IntLe<7>>(bytes);
    run::<BigInt>(bytes);
    run::<Lexint>(bytes);
    run::<Option<&[u8]>>(bytes);
    run::<BitArray<'_>>(bytes);
    run::<Utf16Le>(bytes);
    run::<Ascii<'_>>(bytes);
    run::<Json<'_>>(bytes);
    run::<Entries<Vec<String>>>(bytes);
    run::<Frame<Record<&[u8], Frame<i64>>>>(bytes);
    run::<Packed<u16>>(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn integers(value: u64, signed: i64, shift in 0u32..64) {
        let (value, signed) = (value >> shift, signed >> shift);
        round(&value)?;
        round(&signed)?;
        round(&DateMillis(signed))?;
        round(&UintLe::<8>::new(value).unwrap())?;
        round(&UintBe::<8>::new(value).unwrap())?;
        round(&IntLe::<8>::new(signed).unwrap())?;
        round(&UintLe::<3>::new(value & 0xff_ffff).unwrap())?;
        round(&UintBe::<5>::new(value & 0xff_ffff_ffff).unwrap())?;
        prop_assert_eq!(UintLe::<3>::new(value).is_some(), value < 1 << 24);
        prop_assert_eq!(IntLe::<2>::new(signed).is_some(), i16::try_from(signed).is_ok());
    }

    #[test]
    fn big_integers(limbs in few(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]), negative: bool) {
        let magnitude = BigUint::from_limbs(limbs);
        round(&magnitude)?;
        round(&BigInt::new(negative, magnitude))?;
    }

    #[test]
    fn sortable_integers(a: u64, b: u64, shift in 0u32..64) {
        let (a, b) = (a >> shift, b >> shift);
        let (x, y) = (encode_to_vec(&Lexint(a)), encode_to_vec(&Lexint(b)));
        if a.max(b) >> 44 == 0 {
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            round(&Lexint(a))?;
        } else {
            let in_order = if a <= b { x <= y } else { x >= y };
            prop_assert!(in_order);
            let read = decode_exact::<Lexint>(&x).unwrap().0;
            prop_assert!(read <= a && a - read <= a >> 43);
        }
    }

    #[test]
    fn numbers_and_bytes(float: f64, bytes: Vec<u8>, fixed: [u8; 24], flags: Vec<bool>) {
        prop_assert_eq!(decode_exact::<f64>(&encode_to_vec(&float)).map(f64::to_bits), Ok(float.to_bits()));
        round(&fixed)?;
        round(&bytes::Bytes::from(bytes.clone()))?;
        round(&Packed(bytes.clone()))?;
        let packed = BitArray::pack(&flags);
        let array = BitArray::new(&packed, flags.len()).unwrap();
        let encoded = encode_to_vec(&array);
        let read = decode_exact::<BitArray<'_>>(&encoded).unwrap();
        prop_assert!(read == array && read.iter().eq(flags));
        prop_assert_eq!(decode_exact::<Raw<'_>>(&bytes).unwrap().0, &bytes);
    }

    #[test]
    fn collections(
        words in few(".{0,9}"),
        pairs in few((".{0,9}", any::<i64>())),
        lists in few(few(any::<u64>())),
    ) {
        round(&words)?;
        round(&lists)?;
        round(&Frame(lists.clone()))?;
        round(&Record(pairs))?;
        round(&Utf16Le(words.concat()))?;
        let entries = Entries(lists.concat());
        prop_assert_eq!(decode_exact::<Entries<u64>>(&encode_to_vec(&entries)).unwrap(), entries);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        any_decoder(&bytes);
    }

    #[test]
    fn json_is_what_a_parser_takes(text in r#"[\[\]{}:,"\\ eE+\-.0-9tfnul/a-c\n]{0,14}|[ ]?-?[0-9.]{1,4}([eE][+-]?[0-9]{0,2})?|"([a\\"/bu0-9]|\\u00[0-9a-g]{2}){0,6}""#) {
        let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(Json::new(&text).is_some(), parsed, "{:?}", text);
    }

    #[test]
    fn json_made_of_values_is_taken(keys: Vec<String>, numbers: Vec<f64>) {
        let value = serde_json::json!({ "keys": keys, "numbers": numbers, "nothing": null, "yes": [true, {}] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(Json::new(&text).map(|own| own.as_str().len()), Some(text.len()));
        prop_assert!(Json::new(&text[..text.len() - 1]).is_none());
    }
}
