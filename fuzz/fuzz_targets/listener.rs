//! `cargo fuzz run listener --features libfuzzer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    supers_fuzz::listener(data);
});
