//! The model's version of `../sync.rs`: atomics of the model checker, a model of epochs, and a record of live memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Mutex as StdMutex;

pub(super) use foldhash::fast::FixedState as Hasher;
use loom::cell::UnsafeCell;
pub(super) use loom::sync::Arc;
use loom::sync::Mutex;
pub(super) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Bytes of a chunk: room for two records of the model, which have 21 bytes.
pub(super) const CHUNK_BYTES: usize = 48;
pub(super) const LINE_SLOTS: usize = 2;
pub(super) const MIN_LINES: usize = 3;
pub(super) const LINES_CLEARED: usize = 4;
pub(super) const LINES_COPIED: usize = 1;
pub(super) const STEPS_PER_SWEEP: usize = 2;

loom::lazy_static! {
    static ref EPOCHS: Mutex<Epochs> = Mutex::new(Epochs::default());
    static ref MEMORY: StdMutex<BTreeMap<usize, Piece>> = StdMutex::default();
}

/// A model of exactly what crossbeam-epoch promises: a deferred function runs when every guard of that moment has ended.
#[derive(Default)]
struct Epochs {
    next: u64,
    pinned: BTreeSet<u64>,
    deferred: Vec<Deferred>,
}

struct Deferred {
    awaited: BTreeSet<u64>,
    run: Box<dyn FnOnce() + Send>,
}

impl Epochs {
    fn run_due(&mut self) {
        for due in self.deferred.extract_if(.., |deferred| deferred.awaited.is_empty()) {
            (due.run)();
        }
    }
}

#[derive(Debug)]
pub(super) struct Guard(u64);

pub(super) fn pin() -> Guard {
    let mut epochs = EPOCHS.lock().unwrap();
    epochs.next += 1;
    let id = epochs.next;
    epochs.pinned.insert(id);
    Guard(id)
}

impl Guard {
    pub(super) fn defer(&self, run: impl FnOnce() + Send + 'static) {
        let mut epochs = EPOCHS.lock().unwrap();
        let awaited = epochs.pinned.clone();
        epochs.deferred.push(Deferred { awaited, run: Box::new(run) });
    }

    pub(super) fn flush(&self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut epochs = EPOCHS.lock().unwrap();
        epochs.pinned.remove(&self.0);
        for deferred in &mut epochs.deferred {
            deferred.awaited.remove(&self.0);
        }
        epochs.run_due();
    }
}

/// A live piece of memory, with a cell for each value in it, by address. The checker orders accesses to the cells.
struct Piece {
    len: usize,
    cells: BTreeMap<usize, Arc<UnsafeCell<()>>>,
}

fn piece_of(pieces: &mut BTreeMap<usize, Piece>, address: usize) -> &mut Piece {
    let piece = pieces.range_mut((Bound::Unbounded, Bound::Included(address))).next_back();
    let (begin, piece) = piece.expect("memory that is not alive");
    assert!(address < begin + piece.len, "memory that is not alive");
    piece
}

pub(super) fn on_allocation(at: *const u8, len: usize) {
    let before = MEMORY.lock().unwrap().insert(at.addr(), Piece { len, cells: BTreeMap::new() });
    assert!(before.is_none());
}

pub(super) fn on_write(at: *const u8, _: usize) {
    let cell = Arc::new(UnsafeCell::new(()));
    cell.with_mut(|_| ());
    let before = piece_of(&mut MEMORY.lock().unwrap(), at.addr()).cells.insert(at.addr(), cell);
    assert!(before.is_none(), "a written value never changes");
}

pub(super) fn on_read(at: *const u8, _: usize) {
    let cell = piece_of(&mut MEMORY.lock().unwrap(), at.addr()).cells.get(&at.addr()).cloned();
    cell.expect("every value that is read was written").with(|_| ());
}

pub(super) fn on_free(at: *const u8) {
    let piece = MEMORY.lock().unwrap().remove(&at.addr()).expect("memory that is alive");
    for cell in piece.cells.values() {
        cell.with_mut(|_| ());
    }
}
