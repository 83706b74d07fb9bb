//! Key pairs, signatures, namespaces, discovery keys, ids and capabilities agree with the golden
//! vectors; what the reference refuses is refused.

use hc_merkle::digest::hash;
use hc_merkle::{
    CoreKey, KeyPair, MismatchedSecretKey, Namespace, ParseKeyError, PublicKey, SecretKey, Side,
    Signature, capability, z32_decode, z32_encode,
};

use crate::vectors::{array, bytes, list, load};

#[test]
fn hashes_of_parts() {
    for case in list(&load("crypto.json")["hash"]) {
        let parts: Vec<_> = list(&case["parts"]).iter().map(bytes).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(hash(&parts), array(&case["hash"]));
    }
}

#[test]
fn key_pairs_of_seeds() {
    for case in list(&load("crypto.json")["keyPair"]) {
        let pair = KeyPair::from_seed(&array(&case["seed"]));
        assert_eq!(pair.public_key(), PublicKey(array(&case["publicKey"])));
        let secret = SecretKey::from_bytes(array(&case["secretKey"]));
        assert_eq!(pair.secret_key().as_bytes(), secret.as_bytes());
        let again = KeyPair::from_secret_key(&secret).expect("halves that belong together");
        assert_eq!(again.public_key(), pair.public_key());
    }
}

#[test]
fn secret_key_with_the_public_half_of_another_is_refused() {
    let mut bytes = *KeyPair::from_seed(&[1; 32]).secret_key().as_bytes();
    bytes[32..].copy_from_slice(KeyPair::from_seed(&[2; 32]).public_key().as_bytes());
    let refused = KeyPair::from_secret_key(&SecretKey::from_bytes(bytes));
    assert_eq!(refused.err(), Some(MismatchedSecretKey));
}

#[test]
fn secrets_are_not_printed() {
    let pair = KeyPair::from_seed(&[0xab; 32]);
    assert_eq!(format!("{:?}", pair.secret_key()), "SecretKey(…)");
    assert!(!format!("{pair:?}").contains("abab"));
}

#[test]
fn signatures_good_and_bad() {
    let mut refused = 0;
    for case in list(&load("crypto.json")["signature"]) {
        let message = bytes(&case["message"]);
        let public_key = PublicKey(array(&case["publicKey"]));
        let signature = bytes(&case["signature"]);
        let valid = case["valid"].as_bool().expect("a boolean");
        if let Some(secret_key) = case.get("secretKey") {
            let pair = KeyPair::from_secret_key(&SecretKey::from_bytes(array(secret_key)));
            let signed = pair.expect("a key pair").sign(&message);
            assert_eq!(signed.as_bytes().as_slice(), signature);
        }
        // short and long ones do not even have the type
        let holds = <[u8; 64]>::try_from(signature)
            .is_ok_and(|signature| public_key.verify(&message, &Signature(signature)));
        assert_eq!(holds, valid, "{}", case["note"]);
        refused += usize::from(!valid);
    }
    assert!(refused >= 12);
}

/// Signatures that tell strict verification from the plain and from the cofactored kind, with the
/// verdict of the reference.
#[test]
fn signatures_at_the_edge_of_the_curve_are_judged_as_the_reference_does() {
    let mixed = "6a84d583f06569edb3f5ed77df65544b27d6948b4f0b2cb76f33dd8413b20719";
    let plain = "7767a3242dc9b58bbc68488c1265cc6cc5f26c6f3c88a5d55e901b0734dca572";
    let cases: [(&str, &[u8], &str, &str, bool); 4] = [
        (
            "key of mixed order, where the cofactor makes no difference",
            b"mixed order",
            mixed,
            "2cce2b1abc87d277d7f71df10ac130eca59c851059b6fc3624baa73ceeaa4ab8\
             60ad2ce8edd96fe02bf1db105bd56ebf4219a18613eb2c3f39e4a379aa56f103",
            true,
        ),
        (
            "key of mixed order, where only the cofactor would make it hold",
            b"mixed order",
            mixed,
            "79a5e837b0316a1d402b28ad2fffe5e7f8b88b222c025e7b555561e63f6f1f12\
             a010a3381bfc70049f16d7773b8006ca4d442e3caaeffcb9a153e8139fdd8b03",
            false,
        ),
        (
            "nonce point is the identity, the equation holds",
            b"m0",
            plain,
            "0100000000000000000000000000000000000000000000000000000000000000\
             71d531b05995ebe1f1c2bf0d1f347490a0ccfbfe8b1214be19275528850fb10b",
            false,
        ),
        (
            "nonce point of order 8, the equation holds",
            b"m7",
            mixed,
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a\
             3b6ff6c0c605493d15b83a657a2d2d3825e59d510bb5bda24411cc709cfb1a05",
            false,
        ),
    ];
    for (note, message, public_key, signature, valid) in cases {
        let public_key: PublicKey = public_key.parse().expect("hex");
        let signature = hex::decode(signature)
            .expect("hex")
            .try_into()
            .expect("64 bytes");
        assert_eq!(
            public_key.verify(message, &Signature(signature)),
            valid,
            "{note}"
        );
    }
}

#[test]
fn namespaces_and_constants() {
    let vectors = load("crypto.json");
    let constants = [
        ("TREE", Namespace::TREE),
        ("REPLICATE_INITIATOR", Namespace::REPLICATE_INITIATOR),
        ("REPLICATE_RESPONDER", Namespace::REPLICATE_RESPONDER),
        ("MANIFEST", Namespace::MANIFEST),
        ("DEFAULT_NAMESPACE", Namespace::DEFAULT_SIGNER),
        ("DEFAULT_ENCRYPTION", Namespace::DEFAULT_ENCRYPTION),
    ];
    for (id, (name, constant)) in (0..).zip(constants) {
        assert_eq!(Namespace::derive(b"hypercore", id), constant);
        assert_eq!(constant.0, array(&vectors["namespaces"]["hypercore"][name]));
    }
    for case in list(&vectors["namespace"]) {
        let name = case["name"].as_str().expect("a name");
        for (id, expected) in list(&case["ids"]).iter().zip(list(&case["namespaces"])) {
            let id = u8::try_from(id.as_u64().expect("a number")).expect("a byte");
            assert_eq!(Namespace::derive(name.as_bytes(), id).0, array(expected));
        }
    }
}

#[test]
fn discovery_keys() {
    for case in list(&load("crypto.json")["discoveryKey"]) {
        let discovery_key = CoreKey(array(&case["key"])).discovery_key();
        assert_eq!(discovery_key.0, array(&case["discoveryKey"]));
    }
}

#[test]
fn capabilities_of_both_sides() {
    for case in list(&load("crypto.json")["capability"]) {
        let side = if case["isInitiator"] == true {
            Side::Initiator
        } else {
            Side::Responder
        };
        let key = CoreKey(array(&case["key"]));
        let made = capability(side, &key, &array(&case["handshakeHash"]));
        assert_eq!(made.0, array(&case["capability"]));
        assert_ne!(
            made,
            capability(side.other(), &key, &array(&case["handshakeHash"]))
        );
    }
}

#[test]
fn ids_of_keys() {
    let vectors = load("crypto.json");
    for case in list(&vectors["ids"]["encode"]) {
        assert_eq!(case["id"], CoreKey(array(&case["key"])).to_z32());
    }
    for case in list(&vectors["ids"]["decode"]) {
        let text = case["input"].as_str().expect("text");
        assert_eq!(text.parse(), Ok(CoreKey(array(&case["key"]))), "{text}");
    }
    for case in list(&vectors["ids"]["reject"]) {
        let text = case["input"].as_str().expect("text");
        assert!(text.parse::<CoreKey>().is_err(), "{text}");
    }
    assert_eq!("".parse::<CoreKey>(), Err(ParseKeyError::Length { len: 0 }));
    let upper = "Y".repeat(52);
    assert_eq!(
        upper.parse::<CoreKey>(),
        Err(ParseKeyError::Character { at: 0 })
    );
}

#[test]
fn z_base_32_of_any_bytes() {
    for case in list(&load("crypto.json")["z32"]) {
        let text = case["text"].as_str().expect("text");
        assert_eq!(z32_encode(&bytes(&case["data"])), text);
        assert_eq!(z32_decode(text), Ok(bytes(&case["data"])));
    }
}
