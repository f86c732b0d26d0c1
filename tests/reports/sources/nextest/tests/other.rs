#[test]
fn passes() {}

#[test]
fn is_flaky() {
    let attempt = std::env::var("NEXTEST_ATTEMPT").unwrap();
    assert_eq!(attempt, "2");
}
