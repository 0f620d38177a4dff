//! The guide against the table of routes.

#[test]
fn the_guide_lists_every_route() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let routes: Vec<_> = ck_http::routes().collect();
    for route in &routes {
        let served_bare = !route.path.starts_with("/v1");
        let path = format!("/v1{}", route.path.trim_start_matches("/v1"));
        let listed = format!("{} {path} ", route.method);
        assert!(guide.contains(&listed), "{listed}is not in docs/http.md");
        let marked = guide.contains(&format!("{listed}†"));
        assert!(
            marked || !served_bare,
            "{listed}is served without the prefix"
        );
    }
}
