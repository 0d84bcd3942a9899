use super::*;
use crate::arrival::Arrival;
use crate::pattern::{Hash, Lane};

const STREAM: u64 = 11;
const UP: u64 = 10_000;
const DOWN: u64 = 5000;

fn plan(manner: Manner) -> Plan {
    Plan { stream: STREAM, manner, up: UP, down: DOWN, piece: 1000 }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hash = Hash::default();
    hash.absorb(bytes);
    hash.value()
}

fn script(accepted: u64, received: u64, ending: Ending) -> ScriptReport {
    ScriptReport {
        accepted,
        received,
        sent_hash: hash(&Lane::up(STREAM).bytes(0, accepted as usize)),
        received_hash: hash(&Lane::down(STREAM).bytes(0, received as usize)),
        runs: vec![Run { from: 0, to: received }],
        foreign: 0,
        ending,
    }
}

fn peer_that_got(bytes: &[u8], end: PeerEnd) -> PeerReport {
    let mut arrival = Arrival::new(Lane::up(STREAM));
    arrival.take(bytes);
    let (received, received_hash) = (arrival.length(), arrival.hash());
    let (runs, foreign) = arrival.end();
    let sent_hash = hash(&Lane::down(STREAM).bytes(0, DOWN as usize));
    PeerReport { runs, foreign, received, received_hash, sent: DOWN, sent_hash, end }
}

fn sent() -> Vec<u8> {
    Lane::up(STREAM).bytes(0, UP as usize)
}

/// A stream on which nothing was done from outside, of which the script says that it was whole.
fn undisturbed(bytes: &[u8]) -> Verdict {
    let peer = peer_that_got(bytes, PeerEnd::Orderly);
    judge(&plan(Manner::Plain), Circumstances::default(), &script(UP, DOWN, Ending::Whole), Some(&peer))
}

fn counts(verdict: &Verdict) -> (u64, u64, u64) {
    (verdict.lost, verdict.doubled, verdict.reordered)
}

const KILLED: Circumstances = Circumstances { is_script_killed: true, is_daemon_cut: false };
const CUT: Circumstances = Circumstances { is_script_killed: false, is_daemon_cut: true };

#[test]
fn what_is_whole_is_good() {
    let verdict = undisturbed(&sent());
    assert!(verdict.is_good() && verdict.is_whole, "{verdict:?}");
    assert_eq!(verdict.checked, UP + DOWN);
}

#[test]
fn a_lost_byte_is_found_wherever_it_was() {
    for at in [0, 1, 30, 1024, 5000, UP as usize - 1] {
        let mut bytes = sent();
        bytes.remove(at);
        let verdict = undisturbed(&bytes);
        assert!(verdict.lost >= 1 && !verdict.is_good(), "{at}: {verdict:?}");
    }
}

#[test]
fn a_doubled_byte_is_found() {
    for at in [0, 30, 1024, 5000, UP as usize - 1] {
        let mut bytes = sent();
        bytes.insert(at, bytes[at]);
        let verdict = undisturbed(&bytes);
        assert!(verdict.doubled >= 1 && !verdict.is_good(), "{at}: {verdict:?}");
    }
    let twice = [sent(), sent()].concat();
    assert_eq!(undisturbed(&twice).doubled, UP);
}

#[test]
fn a_swapped_block_is_found() {
    let whole = sent();
    let bytes = [&whole[..2048], &whole[4096..6144], &whole[2048..4096], &whole[6144..]].concat();
    let verdict = undisturbed(&bytes);
    assert_eq!(counts(&verdict), (0, 0, 2048), "{verdict:?}");
}

#[test]
fn a_changed_byte_is_found() {
    let mut bytes = sent();
    bytes[5000] ^= 1;
    assert!(!undisturbed(&bytes).is_good());
}

#[test]
fn an_orderly_end_that_passes_for_the_whole_is_found() {
    let verdict = undisturbed(&sent()[..6000]);
    assert_eq!(counts(&verdict), (4000, 0, 0), "{verdict:?}");
    // And in the other direction.
    let short = script(UP, DOWN - 1, Ending::Whole);
    let peer = peer_that_got(&sent(), PeerEnd::Orderly);
    let verdict = judge(&plan(Manner::Plain), Circumstances::default(), &short, Some(&peer));
    assert!(!verdict.is_good(), "{verdict:?}");
}

#[test]
fn a_daemon_that_was_killed_excuses_what_the_script_was_told_of() {
    let peer = peer_that_got(&sent()[..3000], PeerEnd::Orderly);
    let told = script(6000, 100, Ending::Failed("send: closed".into()));
    let judged = |circumstances, script: &ScriptReport| {
        judge(&plan(Manner::Plain), circumstances, script, Some(&peer))
    };
    assert!(judged(CUT, &told).is_good());
    assert_eq!(judged(CUT, &script(UP, DOWN, Ending::Whole)).lost, 7000, "nobody was told");
    assert!(!judged(Circumstances::default(), &told).is_good(), "nobody was killed");
    let doubled = peer_that_got(&[sent(), sent()].concat(), PeerEnd::Reset);
    assert!(!judge(&plan(Manner::Plain), CUT, &told, Some(&doubled)).is_good());
}

#[test]
fn what_a_script_has_left_with_a_daemon_goes_with_that_if_nobody_could_be_told() {
    let peer = peer_that_got(&sent()[..3000], PeerEnd::Orderly);
    let left = script(6000, 100, Ending::GaveUp);
    let judged = |circumstances| judge(&plan(Manner::Late), circumstances, &left, Some(&peer));
    assert!(judged(CUT).is_good());
    assert_eq!(judged(Circumstances::default()).lost, 3000, "nobody was killed");
}

#[test]
fn what_a_killed_script_has_said_is_accepted_is_delivered() {
    let said = script(6000, 100, Ending::None);
    let judged =
        |bytes: &[u8], end| judge(&plan(Manner::Plain), KILLED, &said, Some(&peer_that_got(bytes, end)));
    assert!(judged(&sent()[..7000], PeerEnd::Orderly).is_good(), "it had sent more than it had said");
    assert_eq!(judged(&sent()[..5999], PeerEnd::Orderly).lost, 1);
    assert!(judged(&sent()[..5999], PeerEnd::Reset).is_good(), "the peer was told");
    assert_eq!(judge(&plan(Manner::Plain), KILLED, &said, None).lost, 6000, "it never came");
    let nothing = ScriptReport::nothing();
    assert!(judge(&plan(Manner::Plain), KILLED, &nothing, None).is_good());
    let unsaid = judge(&plan(Manner::Plain), Circumstances::default(), &nothing, None);
    assert!(!unsaid.is_good(), "nobody has killed it");
}

#[test]
fn a_peer_that_resets_excuses_what_the_script_was_told_of() {
    let peer = PeerReport { end: PeerEnd::Own, ..peer_that_got(&sent()[..3000], PeerEnd::Orderly) };
    let judged =
        |ending| judge(&plan(Manner::Reset), Circumstances::default(), &script(UP, 0, ending), Some(&peer));
    assert!(judged(Ending::Failed("receive: closed".into())).is_good());
    assert!(!judged(Ending::Whole).is_good());
}

#[test]
fn a_peer_that_reads_late_gets_what_was_accepted() {
    let gave_up = script(8000, 0, Ending::GaveUp);
    let judged = |count: usize, end| {
        let peer = peer_that_got(&sent()[..count], end);
        judge(&plan(Manner::Late), Circumstances::default(), &gave_up, Some(&peer))
    };
    assert!(judged(8000, PeerEnd::Orderly).is_good());
    assert_eq!(judged(7999, PeerEnd::Orderly).lost, 1);
    assert_eq!(judged(8001, PeerEnd::Orderly).doubled, 1);
    assert!(!judged(8000, PeerEnd::Reset).is_good());
    let patient = script(UP, DOWN, Ending::Whole);
    let peer = peer_that_got(&sent(), PeerEnd::Orderly);
    assert!(judge(&plan(Manner::Late), Circumstances::default(), &patient, Some(&peer)).is_good());
}

#[test]
fn a_peer_that_never_reads_is_given_up_and_nobody_takes_that_for_the_whole() {
    let peer = PeerReport { end: PeerEnd::Own, ..PeerReport::nothing() };
    let judged = |ending| {
        let script = script(8000, 0, ending);
        judge(&plan(Manner::Never), Circumstances::default(), &script, Some(&peer))
    };
    assert!(judged(Ending::GaveUp).is_good());
    assert!(!judged(Ending::Whole).is_good());
}
