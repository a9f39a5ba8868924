//! Which files a path means, and what footprints say of them.

use std::fs;

use rde_core::PathPattern;

use super::{footprint, resolve, url_scheme};

#[test]
fn a_name_with_glob_characters_that_exists_is_that_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a[1].csv"), "").expect("writable");
    fs::write(folder.path().join("a1.csv"), "").expect("writable");
    let found = resolve(folder.path(), "a[1].csv", &["csv"], false).expect("it is there");
    assert_eq!(found.iter().map(|file| file.shown.as_str()).collect::<Vec<_>>(), ["a[1].csv"]);
}

#[test]
fn staged_and_hidden_files_are_never_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in [".a.csv.staged", ".b.csv", "c.csv"] {
        fs::write(folder.path().join(name), "").expect("writable");
    }
    for path in [".", "*", "*.csv", "**"] {
        let found = resolve(folder.path(), path, &["csv"], false).expect("one file");
        assert_eq!(found.len(), 1, "{path}");
    }
}

#[test]
fn footprints_follow_what_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path();
    assert_eq!(footprint(base, ".", &["csv"]), [PathPattern::Folder(base.join("."), vec!["csv".to_owned()])]);
    assert_eq!(footprint(base, "x.csv", &["csv"]), [PathPattern::File(base.join("x.csv"))]);
    assert_eq!(footprint(base, "*.csv", &["csv"]), [PathPattern::Glob("*.csv".to_owned())]);
    assert_eq!(footprint(base, "-", &["csv"]), [PathPattern::Stdin]);
    assert!(footprint(base, "s3://bucket/x.csv", &["csv"]).is_empty());
}

#[test]
fn only_urls_have_schemes() {
    assert_eq!(url_scheme("s3://bucket/key"), Some("s3"));
    assert_eq!(url_scheme("data/a.csv"), None);
    assert_eq!(url_scheme("://x"), None);
    assert_eq!(url_scheme("a b://x"), None);
}
