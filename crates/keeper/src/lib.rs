//! stub
use std::ffi::CString; use std::os::fd::OwnedFd;
pub struct Setup { pub argv: Vec<CString>, pub env: Vec<CString>, pub ready: Option<OwnedFd>, pub lock: Option<OwnedFd> }
pub fn run(_: Setup) -> i32 { 1 }
