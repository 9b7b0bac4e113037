//! The clock and the entropy of the machine, for code that asks for them in the simulated world.
//!
//! Code of others reads `SystemTime::now`, and iterates over a `HashMap`, whose keys are drawn from
//! entropy. A test program with this module has its own versions of the two functions of libc that the
//! standard library calls for that: the clock shows the time of the simulation, and each thread draws the
//! same bytes. `conformance()` runs each case in a thread of its own.
//!
//! The only `unsafe` code of the project: C functions get pointers. No library has it.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_uint};
use std::time::Duration;

/// 2020-01-01, the time at which a simulation begins.
pub(crate) const BEGIN: Duration = Duration::from_secs(1_577_836_800);

type Now = Box<dyn Fn() -> Duration>;

thread_local! {
    static NOW: RefCell<Option<Now>> = const { RefCell::new(None) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// From now on, the clock of the machine shows the time of a simulation in this thread. The closure
/// returns the simulated time since its start.
pub(crate) fn show(now: impl Fn() -> Duration + 'static) {
    NOW.set(Some(Box::new(now)));
}

fn shown() -> Option<Duration> {
    // At the end of a thread there is none, and while the closure runs it is the machine's.
    let now = NOW.try_with(|now| now.try_borrow_mut().ok()?.as_ref().map(|now| now())).ok()??;
    Some(BEGIN + now)
}

/// The clock of the machine.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let is_of_day = clock == libc::CLOCK_REALTIME || clock == libc::CLOCK_REALTIME_COARSE;
    if let Some(now) = is_of_day.then(shown).flatten() {
        let (tv_sec, tv_nsec) = (now.as_secs().cast_signed(), now.subsec_nanos().into());
        // SAFETY: as for the function of libc, the caller gives a pointer to a `timespec`.
        unsafe { time.write(libc::timespec { tv_sec, tv_nsec }) };
        return 0;
    }
    // SAFETY: the call has the arguments of the caller.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int }
}

/// The entropy of the machine: numbers of a SplitMix64 generator, which begins anew in each thread.
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: c_uint) -> isize {
    // SAFETY: as for the function of libc, the caller gives a buffer of this length.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for bytes in buffer.chunks_mut(8) {
        let state = DRAWN.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        DRAWN.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..bytes.len()]);
    }
    length.cast_signed()
}
