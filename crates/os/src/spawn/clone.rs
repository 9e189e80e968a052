//! The clone calls: a new process that borrows this one's memory until it executes, on a stack of its
//! own, while the calling thread waits (the kernel's vfork).

use crate::errno::{check, check_long};
use std::cell::OnceCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

/// The kernel's flag for clone3; libc's constant does not fit its own type.
#[cfg(target_arch = "x86_64")]
const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
/// Likewise.
#[cfg(target_arch = "x86_64")]
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Bytes of the child's stack. Its deepest call is a few hundred.
const STACK: usize = 32 << 10;

/// What the child executes.
pub(super) type Entry = unsafe extern "C" fn(*mut c_void) -> c_int;

/// A process that was made: its id and its pidfd.
pub(super) struct Born {
    pub pid: i32,
    pub pidfd: c_int,
}

/// What the child shares with us and whose child it is.
#[derive(Clone, Copy)]
pub(super) struct Sharing {
    /// CLONE_PARENT: the child of our parent.
    pub parent: bool,
    /// CLONE_FILES: our descriptor table until it un-shares it.
    pub files: bool,
    /// CLONE_INTO_CGROUP: the control group it is born in; only with clone3.
    pub group: Option<c_int>,
}

impl Sharing {
    fn flags(self) -> c_int {
        let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
        if self.parent {
            flags |= libc::CLONE_PARENT;
        }
        if self.files {
            flags |= libc::CLONE_FILES;
        }
        flags
    }

    /// The kernel takes the exit signal from us when the child is our parent's, and insists on 0.
    fn exit_signal(self) -> c_int {
        if self.parent { 0 } else { libc::SIGCHLD }
    }
}

/// A stack with a page below it that nobody may touch.
struct Stack {
    base: *mut c_void,
}

impl Stack {
    const GUARD: usize = 64 << 10;
    const WHOLE: usize = Stack::GUARD + STACK;

    fn new() -> io::Result<Stack> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a fresh mapping anywhere; nothing existing is touched.
        let base = unsafe { libc::mmap(ptr::null_mut(), Stack::WHOLE, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Stack { base };
        // SAFETY: the upper part of the mapping made above.
        check(unsafe { libc::mprotect(stack.bottom(), STACK, libc::PROT_READ | libc::PROT_WRITE) })?;
        Ok(stack)
    }

    fn bottom(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Stack::GUARD)
    }

    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Stack::WHOLE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; no child runs on it, since each is waited for.
        unsafe { libc::munmap(self.base, Stack::WHOLE) };
    }
}

thread_local! {
    /// One a thread that starts processes: a thread has at most one child under way.
    static CHILD_STACK: OnceCell<Stack> = const { OnceCell::new() };
}

fn with_stack<T>(use_it: impl FnOnce(&Stack) -> io::Result<T>) -> io::Result<T> {
    CHILD_STACK.with(|cell| match cell.get() {
        Some(stack) => use_it(stack),
        None => {
            let stack = Stack::new()?;
            use_it(cell.get_or_init(|| stack))
        }
    })
}

/// clone3(2), which also resets the dispositions of handled signals.
///
/// # Safety
/// `entry` never returns and keeps to what a vfork child may do; `arg` suits it; all signals are
/// blocked in this thread.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone3(sharing: Sharing, entry: Entry, arg: *mut c_void) -> io::Result<Born> {
    use std::arch::asm;
    with_stack(|stack| {
        let mut pidfd: c_int = -1;
        // SAFETY: plain data; all zeros is the kernel's "nothing".
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = sharing.flags() as u64 | CLONE_CLEAR_SIGHAND;
        args.pidfd = &raw mut pidfd as u64;
        args.exit_signal = sharing.exit_signal() as u64;
        args.stack = stack.bottom() as u64;
        args.stack_size = STACK as u64;
        if let Some(group) = sharing.group {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = group as u64;
        }
        let result: i64;
        // SAFETY: the parent's side is one system call that returns here with all other registers
        // kept. The child's side starts behind it with rax = 0 on the new stack, whose top is
        // aligned; it calls `entry`, which never returns. Memory may have changed, as asm! assumes.
        unsafe {
            asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, {arg}",
                "call {entry}",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone3 => result,
                in("rdi") &raw mut args,
                in("rsi") size_of::<libc::clone_args>(),
                entry = in(reg) entry,
                arg = in(reg) arg,
                out("rcx") _,
                out("r11") _,
            );
        }
        if result < 0 {
            return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL)));
        }
        Ok(Born { pid: i32::try_from(result).unwrap_or(-1), pidfd })
    })
}

/// Elsewhere the legacy call is used.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn clone3(_: Sharing, _: Entry, _: *mut c_void) -> io::Result<Born> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// clone(2), for where clone3 is refused (container runtimes answer ENOSYS or EPERM). The child must
/// reset the dispositions itself.
///
/// # Safety
/// As for [`clone3`].
pub(super) unsafe fn clone(sharing: Sharing, entry: Entry, arg: *mut c_void) -> io::Result<Born> {
    // SAFETY: passes on the caller's promise to a safe signature.
    let entry: extern "C" fn(*mut c_void) -> c_int = unsafe { std::mem::transmute(entry) };
    with_stack(|stack| {
        let mut pidfd: c_int = -1;
        let flags = sharing.flags() | sharing.exit_signal();
        // SAFETY: the stack's top is aligned and its memory is the child's alone; with CLONE_PIDFD
        // the kernel writes the descriptor to the parent_tid argument.
        let pid = unsafe { libc::clone(entry, stack.top(), flags, arg, &raw mut pidfd) };
        check(pid).map(|pid| Born { pid, pidfd })
    })
}

/// Blocks every signal in this thread, glibc's own two included; gives back the mask before.
pub(super) fn block_all() -> io::Result<u64> {
    swap_mask(u64::MAX)
}

/// Sets this thread's signal mask; gives back the one before.
pub(super) fn swap_mask(new: u64) -> io::Result<u64> {
    let mut old = 0u64;
    // SAFETY: both masks are the kernel's eight bytes.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const new,
            &raw mut old,
            size_of::<u64>(),
        )
    })?;
    Ok(old)
}
