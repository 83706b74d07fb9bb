//! Hands libFuzzer's inputs to the bodies in `hc-testkit`, by name.

#[doc(hidden)]
pub use libfuzzer_sys;

/// The body of a target.
///
/// # Panics
/// Where there is no target of that name.
pub fn body(name: &str) -> hc_testkit::fuzz::Body {
    let found = hc_testkit::fuzz::TARGETS.iter().find(|(target, _)| *target == name);
    found.expect("a target of that name").1
}

/// The whole of a fuzz target's file.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ($crate::body($name))(bytes));
    };
}
