//! Feeds `ck place` anything. Whatever is not refused is planned, and the plan has to be as good as
//! it says: certified, checked by `Plan::verify`, and its own best successor.
#![no_main]

use ck_core::placement::Plan;
use ck_spec::{Answer, Request, Strategy, answer_lines};
use libfuzzer_sys::fuzz_target;

/// Larger ones are read and not planned: time goes into many plans, not into large ones.
const PARTITIONS_MAX: u32 = 512;

const NODES_MAX: usize = 64;

/// Longest line of a batch.
const LINE_BYTES_MAX: u64 = 1 << 12;

fn is_small(request: &Request) -> bool {
    request.spec.partitions() <= PARTITIONS_MAX && request.topology.nodes().len() <= NODES_MAX
}

fn planned(request: &Request) -> Option<Plan> {
    let plan = match request.plan() {
        Ok(plan) => plan,
        Err(refusal) => {
            assert!(!refusal.message.is_empty(), "refused without a word");
            return None;
        }
    };
    let checked = plan.verify(&request.topology, &request.spec, request.previous.as_ref());
    if let Err(error) = checked {
        panic!("{error}");
    }
    Some(plan)
}

/// What was answered is read back, planned again, and stays.
fn stays(request: &Request, plan: &Plan) {
    let answer = serde_json::to_value(Answer::new(request, plan)).expect("an answer is JSON");
    let rows = answer["partitions"].as_array().map_or(0, Vec::len);
    assert_eq!(rows, request.spec.partitions() as usize);
    if request.strategy != Strategy::Balanced {
        return;
    }
    assert!(plan.optimal, "not certified, at this size");
    let again = Request {
        previous: Some(plan.table.clone()),
        ..request.clone()
    };
    if let Some(again) = planned(&again) {
        assert_eq!(again.copies_moved, 0, "a plan is its own best successor");
    }
}

/// Every line that is not blank has one answer.
fn batch(text: &str) {
    let small = |line: &str| Request::from_json(line).map_or(true, |request| is_small(&request));
    if !text.lines().all(small) {
        return;
    }
    let mut output = Vec::new();
    answer_lines(text.as_bytes(), &mut output, LINE_BYTES_MAX).expect("memory takes what comes");
    let blank = |line: &&[u8]| {
        let short = line.len() as u64 <= LINE_BYTES_MAX;
        short && line.iter().all(u8::is_ascii_whitespace)
    };
    let lines = text.as_bytes().split(|byte| *byte == b'\n');
    let asked = lines.filter(|line| !blank(line)).count();
    let answers = output
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    assert_eq!(answers.count(), asked);
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(request) = Request::from_text(text)
        && is_small(&request)
        && let Some(plan) = planned(&request)
    {
        stays(&request, &plan);
    }
    batch(text);
});
