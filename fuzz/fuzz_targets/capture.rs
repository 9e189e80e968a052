//! `cargo fuzz run capture --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    supers_fuzz::capture(data);
});
