//! The codec: whatever bytes come, in whatever pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use luasocketd_fuzz::examine::{examine, frames};
use luasocketd_fuzz::{samples, seeds};
use luasocketd_protocol::MAX_FRAME;

fuzz_target!(
    init: seeds::write(inputs()),
    |input: &[u8]| {
        if let Some((&piece, stream)) = input.split_first() {
            examine(stream, usize::from(piece) + 1);
        }
    }
);

/// Each message alone, and all of them.
fn inputs() -> Vec<Vec<u8>> {
    let all = samples::one_of_each();
    let (found, _) = frames(&all, MAX_FRAME);
    let cut = |stream: &[u8]| [&[7], stream].concat();
    found.iter().map(|frame| cut(frame)).chain([cut(&all)]).collect()
}
