//! Threads that live as long as this process, by which the keeper sees first that it was killed. Two of them: the last
//! thread that ends closes all descriptors before it is seen to have ended.

use std::sync::atomic::{AtomicI32, Ordering};

/// Their numbers; 0 is nobody yet.
static THREADS: [AtomicI32; 2] = [const { AtomicI32::new(0) }; 2];

/// The calling thread is one.
pub(crate) fn is_here() {
    let own = supers_os::process::thread_id();
    let free =
        |place: &&AtomicI32| place.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    // With two there are enough.
    let _ = THREADS.iter().find(free);
}

/// All that there are by now.
pub(crate) fn threads() -> impl Iterator<Item = i32> {
    THREADS.iter().map(|place| place.load(Ordering::Relaxed)).filter(|thread| *thread != 0)
}
