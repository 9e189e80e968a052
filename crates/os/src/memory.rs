//! What the C library's allocator keeps of memory that is free.

/// Blocks of at least this size are mappings of their own, which are gone when they are freed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// For a process that runs for long and mostly does nothing: all threads share one heap, and large blocks are
/// never part of it. (The library would give each thread a heap, and take large blocks from there after the
/// first was freed.)
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    for (what, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGE)] {
        // SAFETY: sets one number inside the allocator; one that it does not like is ignored.
        unsafe { libc::mallopt(what, value) };
    }
}

/// So much memory is about to be used, in many small pieces: takes it at once, and gives none back before
/// [`give_back`]. Each page that is met alone costs microseconds, the same in one call a tenth of that.
pub fn expect(bytes: usize) {
    #[cfg(target_env = "gnu")]
    {
        let bytes = bytes.min(MOST_EXPECTED);
        let before = heap_end();
        set(libc::M_TRIM_THRESHOLD, MOST_EXPECTED);
        set(libc::M_TOP_PAD, bytes);
        // Too large for what there is, too small to be a mapping of its own.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE as usize - 64)));
        set(libc::M_TOP_PAD, USUAL);
        let page = 4095;
        let (from, to) = ((before + page) & !page, heap_end() & !page);
        if from < to {
            // SAFETY: pages of the heap, which stay what they are (empty). A kernel that does not know it
            // refuses, and nothing is lost.
            unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_POPULATE_WRITE) };
        }
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// No more is taken at once.
#[cfg(target_env = "gnu")]
const MOST_EXPECTED: usize = 32 << 20;
/// The allocator's own value.
#[cfg(target_env = "gnu")]
const USUAL: usize = 128 << 10;

#[cfg(target_env = "gnu")]
fn heap_end() -> usize {
    // SAFETY: asks only.
    unsafe { libc::sbrk(0) as usize }
}

#[cfg(target_env = "gnu")]
fn set(what: libc::c_int, value: usize) {
    // SAFETY: sets one number inside the allocator; one that it does not like is ignored.
    unsafe { libc::mallopt(what, libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX)) };
}

/// Gives free memory back to the system, after something large was done.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        set(libc::M_TRIM_THRESHOLD, USUAL);
        // SAFETY: it touches nothing that is allocated, and takes the allocator's own locks.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Lets go of the pages of our own code; those that are needed come back from the page cache, a few at a time.
/// The code of a start, which is never needed again, then counts for nobody.
pub fn forget_code() {
    // SAFETY: the callback only reads what it is given, during the call.
    unsafe { libc::dl_iterate_phdr(Some(forget_first), std::ptr::null_mut()) };
}

/// The first object is the program itself; 1 ends the search.
unsafe extern "C" fn forget_first(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader gives a valid object with its headers.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags != libc::PF_R | libc::PF_X {
            continue;
        }
        let end = base + header.p_vaddr + header.p_memsz;
        let start = (base + header.p_vaddr) & !(header.p_align - 1);
        // SAFETY: these pages are a private mapping of the executable that nobody writes to: what is dropped
        // comes back as it was. An error changes nothing.
        unsafe { libc::madvise(start as *mut libc::c_void, (end - start) as usize, libc::MADV_DONTNEED) };
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code in kB that is mapped and present.
    fn code() -> u64 {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let exe = std::env::current_exe().unwrap();
        let mut ours = false;
        let mut sum = 0;
        for line in smaps.lines() {
            match line.strip_prefix("Rss:") {
                Some(rss) if ours => {
                    sum += rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
                    ours = false;
                }
                None if line.contains(" r-xp ") => ours = line.ends_with(exe.to_str().unwrap()),
                Some(_) | None => {}
            }
        }
        sum
    }

    #[test]
    fn forgotten_code_comes_back_when_it_is_needed() {
        code();
        let before = code();
        forget_code();
        let after = code();
        assert!(after < before && after > 0, "{before} kB, then {after} kB");
        keep_little();
        give_back();
        assert!(code() >= after);
    }
}
