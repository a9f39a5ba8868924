//! Which files a path means, and what footprints say of them.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::symlink;

use flate2::Compression;
use flate2::write::GzEncoder;
use rde_core::PathPattern;

use super::gzip::GzipReader;
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

/// Scenario: folders behind links, one link twice, and links that lead back up.
/// Guarantees: what is behind a link is read as what it is named, and no search runs in circles.
#[test]
fn links_are_followed_and_circles_are_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().join("data");
    for made in ["data/a", "elsewhere/deep"] {
        fs::create_dir_all(folder.path().join(made)).expect("writable");
    }
    for file in ["data/a/f.csv", "elsewhere/f.csv", "elsewhere/deep/f.csv"] {
        fs::write(folder.path().join(file), "").expect("writable");
    }
    for (target, link) in
        [("../elsewhere", "b"), ("../elsewhere", "c"), ("..", "a/up"), (".", "self"), ("a/f.csv", "g.csv")]
    {
        symlink(target, base.join(link)).expect("writable");
    }
    let found = |path: &str| {
        let found = resolve(&base, path, &["csv"], false).expect("there are files");
        found.into_iter().map(|file| file.shown).collect::<Vec<String>>()
    };
    assert_eq!(found("*/f.csv"), ["a/f.csv", "b/f.csv", "c/f.csv"]);
    let all = ["a/f.csv", "b/deep/f.csv", "b/f.csv", "c/deep/f.csv", "c/f.csv", "g.csv"];
    for path in [".", "**/*.csv", "**", "**/**/f.csv"] {
        let all: Vec<&str> = all.into_iter().filter(|file| !path.ends_with("f.csv") || *file != "g.csv").collect();
        assert_eq!(found(path), all, "{path}");
    }
}

#[test]
fn folders_without_end_are_refused_and_not_left_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let deep: std::path::PathBuf = std::iter::repeat_n("d", 64).collect();
    fs::create_dir_all(folder.path().join(&deep)).expect("writable");
    fs::write(folder.path().join(&deep).join("f.csv"), "").expect("writable");
    for path in [".", "**/*.csv"] {
        assert_eq!(resolve(folder.path(), path, &["csv"], false).expect("64 are searched").len(), 1, "{path}");
    }
    fs::create_dir(folder.path().join(&deep).join("d")).expect("writable");
    for path in [".", "**/*.csv"] {
        let error = resolve(folder.path(), path, &["csv"], false).expect_err("65 are too many");
        assert_eq!(error.code(), "RDE0506", "{path}");
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

#[test]
fn gzip_members_follow_each_other_and_zeros_behind_the_last_are_padding() {
    let member = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    };
    let read = |bytes: &[u8]| {
        let mut text = String::new();
        // Buffers of a few bytes, so that members and zeros begin in the middle of one.
        GzipReader::new(BufReader::with_capacity(7, bytes)).read_to_string(&mut text).map(|_| text)
    };
    let (first, second, zeros) = (member("one,"), member("two"), [0; 600]);
    assert_eq!(read(&[&first[..], &second].concat()).expect("two members"), "one,two");
    assert_eq!(read(&[&first[..], &second, &zeros].concat()).expect("padded"), "one,two");
    assert_eq!(read(&[&first[..], &zeros[..1]].concat()).expect("padded by one"), "one,");
    for bad in [&zeros[..20], &[&first[..], b"junk behind it"].concat(), &first[..first.len() - 1], b""] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}
