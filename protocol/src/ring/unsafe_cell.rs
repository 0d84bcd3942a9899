//! A byte that two threads of a model share.
#![allow(unsafe_code)]

use loom::cell::UnsafeCell;

pub(super) fn set(cell: &UnsafeCell<u8>, byte: u8) {
    // SAFETY: the model ends with an error when anybody else uses the cell meanwhile.
    cell.with_mut(|place| unsafe { *place = byte });
}

pub(super) fn get(cell: &UnsafeCell<u8>) -> u8 {
    // SAFETY: as above.
    cell.with(|place| unsafe { *place })
}
