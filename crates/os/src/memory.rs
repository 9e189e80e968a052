//! What the C library's allocator keeps of memory that is free.

/// Blocks of at least this size are mappings of their own, which are gone when they are freed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;
/// The same during the start, which uses what it frees again: each fresh page costs microseconds.
#[cfg(target_env = "gnu")]
const LARGE_AT_FIRST: libc::c_int = 16 << 20;
/// The heap grows by so much at a time.
#[cfg(target_env = "gnu")]
const GROWTH: libc::c_int = 128 << 10;
/// The same during the start.
#[cfg(target_env = "gnu")]
const GROWTH_AT_FIRST: libc::c_int = 1 << 20;

/// For a process that runs for long and mostly does nothing: all threads share one heap (the library would give
/// each thread one). To be said at the start, which ends with [`give_back`].
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    tune(&[
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE_AT_FIRST),
        (libc::M_TOP_PAD, GROWTH_AT_FIRST),
    ]);
}

/// Gives free memory back to the system, after something large was done. From then on large blocks are never part
/// of the heap (the library would take them from there after the first was freed).
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        tune(&[(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TOP_PAD, GROWTH)]);
        // SAFETY: it touches nothing that is allocated, and takes the allocator's own locks.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(target_env = "gnu")]
fn tune(settings: &[(libc::c_int, libc::c_int)]) {
    for (what, value) in settings {
        // SAFETY: sets one number inside the allocator; one that it does not like is ignored.
        unsafe { libc::mallopt(*what, *value) };
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
