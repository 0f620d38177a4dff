//! The guide shows the very test that is compiled here.

#[test]
fn the_guide_shows_the_compiled_test() {
    let guide = include_str!("../../../docs/snapshot-testing.md");
    let block = guide
        .split_once("```rust\n")
        .and_then(|(_, rest)| rest.split_once("\n```"));
    let (shown, _) = block.expect("the guide has a block of Rust");
    assert_eq!(shown.trim_end(), include_str!("guide.rs").trim_end());
}
