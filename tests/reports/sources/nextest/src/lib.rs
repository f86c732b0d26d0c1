#[cfg(test)]
mod kinds {
    #[test]
    fn passes() { println!("said \u{1} something"); }
    #[test]
    fn fails() { assert_eq!(1, 2, "one is not two"); }
    #[test]
    #[ignore = "not now"]
    fn is_ignored() { panic!(); }
    #[test]
    #[should_panic]
    fn fails_as_expected() { panic!("known"); }
    #[test]
    #[should_panic]
    fn passes_unexpectedly() {}
    #[test]
    fn ends_the_process() { std::process::abort(); }
    mod inner {
        #[test]
        fn passes() {}
    }
}
