//! Page faults in mapped files: the kernel refuses a page when the disk is full, fails, or the file was cut.
//!
//! The handler of SIGBUS and SIGSEGV maps zero pages over a registered region and marks it as failed, and the thread
//! continues. A fault in a stack guard is passed to the handler that was installed before, which ends the coroutine. Any
//! other fault ends the process at once. The handler allocates nothing and takes no lock, since several threads may fault
//! together.

use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::libc::{self, c_int, c_void, siginfo_t};

/// The most regions at a time: one tail for each thread that records, and some that are being replaced.
const SLOTS: usize = 4096;

/// The greatest distance from the stack pointer at which an overflowing stack faults, within its guard page.
const NEAR_STACK: usize = 64 << 10;

/// A registered region. Free while `end` is 0; the handler sees it while `start` is not 0.
#[derive(Debug)]
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    has_failed: AtomicBool,
}

static REGIONS: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), has_failed: AtomicBool::new(false) } };
        SLOTS];

/// The handler of SIGSEGV that was installed before, if it takes a `siginfo_t`; otherwise 0.
static PREVIOUS: AtomicUsize = AtomicUsize::new(0);

/// A mapped region in which a page fault is survived. It must be dropped before the region is unmapped.
#[derive(Debug)]
pub struct Region(&'static Slot);

impl Region {
    /// Registers `len` bytes from `start` on, whole pages of a mapping.
    ///
    /// # Errors
    /// The handler cannot be installed, or too many regions are registered.
    pub fn register(start: *const u8, len: usize) -> io::Result<Region> {
        install()?;
        let (start, end) = (start.addr(), start.addr() + len);
        let claim = |slot: &&Slot| slot.end.compare_exchange(0, end, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let Some(slot) = REGIONS.iter().find(claim) else {
            return Err(io::Error::other("too many tails of click journals are mapped at a time"));
        };
        slot.has_failed.store(false, Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(Region(slot))
    }

    /// Returns whether a page fault hit the region or [`Region::fail`] was called. The content of the mapping is lost then.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::Relaxed)
    }

    /// Marks the region as failed.
    pub fn fail(&self) {
        self.0.has_failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.0.start.store(0, Ordering::Release);
        self.0.end.store(0, Ordering::Release);
    }
}

/// Installs the handler in front of the present one. Another library may have installed its own since the last call.
#[expect(unsafe_code, reason = "the standard library does not install signal handlers")]
fn install() -> io::Result<()> {
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: a `sigaction` of zeros is valid, and both pointers are to such values, which outlive the calls.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            if libc::sigaction(signal, ptr::null(), &raw mut action) != 0 {
                return Err(io::Error::last_os_error());
            }
            if action.sa_sigaction == handler() {
                continue;
            }
            let takes_info = action.sa_flags & libc::SA_SIGINFO != 0;
            if signal == libc::SIGSEGV {
                PREVIOUS.store(if takes_info { action.sa_sigaction } else { 0 }, Ordering::Release);
            }
            action = mem::zeroed();
            action.sa_sigaction = handler();
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            if libc::sigaction(signal, &raw const action, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Returns the handler's address in the form of `sigaction`.
fn handler() -> usize {
    on_fault as *const () as usize
}

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Handles a page fault, on the alternate stack of the thread that faulted.
#[expect(unsafe_code, reason = "a signal handler is given pointers")]
extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` and `ucontext_t` to a handler with SA_SIGINFO. If the kernel raised the
    // signal, `si_addr` is set. If a process sent it, `si_addr` is any number, so it is not used. `errno` belongs to the
    // interrupted code and is restored.
    unsafe {
        let is_fault = (*info).si_code > 0;
        let address = (*info).si_addr().addr();
        if is_fault && survive(address) {
            return;
        }
        let is_protected = signal == libc::SIGSEGV && (*info).si_code == SEGV_ACCERR;
        if is_protected && address.abs_diff(stack_pointer(context)) <= NEAR_STACK {
            let previous = PREVIOUS.load(Ordering::Acquire);
            if previous != 0 {
                // SAFETY: `install` found this address in place of a handler with SA_SIGINFO, which has this type.
                mem::transmute::<usize, Handler>(previous)(signal, info, context);
                // The previous handler returns only if the address is in no guard that it knows.
            }
        }
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &raw const action, ptr::null_mut());
        if !is_fault {
            libc::raise(signal);
        }
        // The instruction faults again, and the default action ends the process.
    }
}

/// The `si_code` of an access that the protection of a mapped page does not allow.
const SEGV_ACCERR: c_int = 2;

/// Maps zero pages over the region of an address. Returns whether there is such a region.
#[expect(unsafe_code, reason = "the mapping that is replaced belongs to a region, whose owner is the faulting thread")]
fn survive(address: usize) -> bool {
    let is_hit = |slot: &&Slot| {
        let start = slot.start.load(Ordering::Acquire);
        start != 0 && (start..slot.end.load(Ordering::Acquire)).contains(&address)
    };
    let Some(slot) = REGIONS.iter().find(is_hit) else { return false };
    let (start, end) = (slot.start.load(Ordering::Relaxed), slot.end.load(Ordering::Relaxed));
    // Marked before the pages are mapped: a thread that reads zeros sees the mark, too.
    slot.has_failed.store(true, Ordering::SeqCst);
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_FIXED | libc::MAP_ANONYMOUS | libc::MAP_PRIVATE);
    // SAFETY: these pages are a mapping of their own, which lives as long as it is registered. The faulting thread accesses
    // the mapping through its owner, so it is neither unmapped nor used for anything else now.
    unsafe {
        let errno = *libc::__errno_location();
        let mapped = libc::mmap(ptr::with_exposed_provenance_mut(start), end - start, access, kind, -1, 0);
        *libc::__errno_location() = errno;
        mapped != libc::MAP_FAILED
    }
}

/// Returns the stack pointer of the interrupted code.
///
/// # Safety
/// `context` is the one that the kernel passed to a signal handler.
#[expect(unsafe_code, reason = "the kernel passes registers by pointer")]
#[expect(clippy::cast_possible_truncation, reason = "a register of this machine's width")]
#[cfg_attr(target_arch = "x86_64", expect(clippy::cast_sign_loss, reason = "a register holds an address"))]
unsafe fn stack_pointer(context: *mut c_void) -> usize {
    // SAFETY: as the caller promises.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pointer = registers.gregs[libc::REG_RSP as usize];
    #[cfg(target_arch = "aarch64")]
    let pointer = registers.sp;
    pointer as usize
}
