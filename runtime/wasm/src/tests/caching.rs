//! The compile cache: used when it is ours, never trusted otherwise.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;
use wasmtime::component::Component;

use super::guest::Guest;
use crate::artifact::Bytes;
use crate::cache::{Cache, CacheDirs};
use crate::engines::Engines;
use crate::limits::Limits;

struct Shelf {
    folder: TempDir,
    engines: Engines,
    wasm: Vec<u8>,
}

impl Shelf {
    fn new() -> Shelf {
        let folder = TempDir::new().expect("a temporary folder can be made");
        Shelf { folder, engines: Engines::new().expect("the engines can be made"), wasm: Guest::new().component() }
    }

    fn dirs(&self) -> CacheDirs {
        CacheDirs { cache: self.folder.path().join("cache/plugins"), state: self.folder.path().join("state") }
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.dirs()).expect("the folders are ours")
    }

    fn component(&self) -> Component {
        Component::new(&self.engines.on_demand, &self.wasm).expect("the guest compiles")
    }

    fn entry(&self) -> PathBuf {
        self.dirs().cache.join("guest.cwasm")
    }

    /// Stores the guest and returns whether it can be loaded after `change`.
    fn loads_after(&self, change: impl FnOnce(&Shelf)) -> bool {
        self.cache().store("guest.cwasm", &self.component());
        change(self);
        self.cache().load("guest.cwasm", &[&self.engines.on_demand]).is_some()
    }
}

#[test]
fn what_was_stored_is_loaded_by_another_process_and_engine() {
    let shelf = Shelf::new();
    assert!(shelf.loads_after(|_| {}));
    let pooled = shelf.engines.pooled.as_ref().unwrap_or(&shelf.engines.on_demand);
    assert!(shelf.cache().load("guest.cwasm", &[pooled]).is_some());
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(shelf.dirs().cache), mode(shelf.entry())), (0o700, 0o600));
    assert_eq!(mode(shelf.dirs().state.join("plugin-cache.key")), 0o600);
}

#[test]
fn any_changed_byte_is_found() {
    let shelf = Shelf::new();
    shelf.cache().store("guest.cwasm", &shelf.component());
    let whole = fs::read(shelf.entry()).expect("it is there");
    for at in [0, 8, 39, 40, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(shelf.entry(), changed).expect("it can be written");
        assert!(shelf.cache().load("guest.cwasm", &[&shelf.engines.on_demand]).is_none(), "byte {at}");
    }
    for len in [0, 7, 39, 40, whole.len() - 1] {
        fs::write(shelf.entry(), &whole[..len]).expect("it can be written");
        assert!(shelf.cache().load("guest.cwasm", &[&shelf.engines.on_demand]).is_none(), "length {len}");
    }
}

#[test]
fn an_entry_under_another_name_a_link_and_a_writable_file_are_refused() {
    let shelf = Shelf::new();
    assert!(!shelf.loads_after(|shelf| {
        let other = shelf.dirs().cache.join("other.cwasm");
        shelf.cache().store("other.cwasm", &shelf.component());
        fs::rename(other, shelf.entry()).expect("it can be renamed");
    }));
    assert!(!shelf.loads_after(|shelf| {
        let aside = shelf.folder.path().join("aside");
        fs::rename(shelf.entry(), &aside).expect("it can be renamed");
        symlink(aside, shelf.entry()).expect("a link can be made");
    }));
    fs::remove_file(shelf.entry()).expect("the link can be removed");
    assert!(!shelf.loads_after(|shelf| {
        fs::set_permissions(shelf.entry(), fs::Permissions::from_mode(0o622)).expect("it is ours");
    }));
}

#[test]
fn another_key_makes_old_entries_worthless() {
    let shelf = Shelf::new();
    assert!(!shelf.loads_after(|shelf| {
        fs::remove_file(shelf.dirs().state.join("plugin-cache.key")).expect("the key is there");
    }));
    // A new key was made, so what is stored now is good again.
    assert!(shelf.loads_after(|_| {}));
}

#[test]
fn folders_that_others_can_write_are_not_used() {
    let shelf = Shelf::new();
    drop(shelf.cache());
    fs::set_permissions(shelf.dirs().cache, fs::Permissions::from_mode(0o777)).expect("it is ours");
    assert!(Cache::open(&shelf.dirs()).is_none());
    let shelf = Shelf::new();
    drop(shelf.cache());
    let key = shelf.dirs().state.join("plugin-cache.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert!(Cache::open(&shelf.dirs()).is_none());
}

#[test]
fn a_host_with_a_cache_compiles_once_and_again_when_the_entry_was_tampered_with() {
    let shelf = Shelf::new();
    let load = || {
        let bytes = Bytes::new(shelf.wasm.clone()).checked(&Limits::default(), "guest").expect("it is small");
        crate::artifact::Artifact::load(&bytes, "guest", &shelf.engines, Some(&shelf.cache())).expect("it loads");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it can be listed").path();
        let entries: Vec<PathBuf> = fs::read_dir(shelf.dirs().cache).expect("it is there").map(name).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        let bytes = fs::read(&entries[0]).expect("it can be read");
        (entries[0].clone(), bytes)
    };
    let (path, first) = load();
    fs::write(&path, b"tampered").expect("it can be written");
    let (_, again) = load();
    assert_eq!(first.len(), again.len());
    assert_ne!(again, b"tampered");
}

#[test]
fn the_oldest_entry_goes_when_the_cache_is_full() {
    let shelf = Shelf::new();
    let cache = shelf.cache();
    for number in 0..300 {
        fs::write(shelf.dirs().cache.join(format!("{number}.cwasm")), b"").expect("it can be written");
    }
    cache.store("new.cwasm", &shelf.component());
    let left = fs::read_dir(shelf.dirs().cache).expect("it is there").count();
    assert_eq!(left, 256);
    assert!(cache.load("new.cwasm", &[&shelf.engines.on_demand]).is_some());
}
