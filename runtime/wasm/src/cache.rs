//! Keeps compiled plugins on disk, so that the second start of a pipeline does not compile.
//!
//! Loading compiled code is as trusting as loading a library, so the wasm is trusted and the file here is not: it lies in a
//! folder of the user's own (0700, files 0600), never beside the pipeline, and carries an HMAC under a key from another
//! folder. Its name is a hash over the wasm, the engine's settings and the version of wasmtime.
//! Invariant: only bytes that were read once and verified are ever deserialised, and those very bytes.
//! Not here: compiling (`artifact.rs`).

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Folders of the user that runs the process, told by `app`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheDirs {
    /// Where compiled code lies.
    pub cache: PathBuf,
    /// Where the key lies; another folder than the cache.
    pub state: PathBuf,
}

/// Compiled plugins kept; the oldest goes when one more comes.
const ENTRIES_MAX: usize = 256;

/// The largest file that is read: code is at most some 20 times the wasm.
const ENTRY_BYTES_MAX: u64 = 2 << 30;

const MAGIC: &[u8; 8] = b"RDECWA01";
const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "plugin-cache.key";
const EXTENSION: &str = "cwasm";

pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

/// Why an entry is not used.
enum Miss {
    Absent,
    Refused(&'static str),
    Io(io::Error),
}

impl Cache {
    /// Opens the cache, making its folders; `None`, with a warning, when they are not ours alone.
    pub(crate) fn open(dirs: &CacheDirs) -> Option<Cache> {
        let opened = private_folder(&dirs.cache)
            .and_then(|()| private_folder(&dirs.state))
            .and_then(|()| read_or_make_key(&dirs.state));
        match opened {
            Ok(key) => Some(Cache { folder: dirs.cache.clone(), key }),
            Err(error) => {
                let folder = dirs.cache.display();
                tracing::warn!(%folder, %error, "compiled plugins are not kept, since the cache folder cannot be used");
                None
            }
        }
    }

    /// Returns the name of the entry for a wasm file and an engine.
    pub(crate) fn name(digest: &[u8; 32], engine: &Engine) -> String {
        let mut hasher = Hashing(Sha256::new());
        hasher.0.update(digest);
        // Covers the version of wasmtime, the target, the features and every setting that code depends on.
        engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{:x}.{EXTENSION}", hasher.0.finalize())
    }

    /// Returns the compiled component of this name, if there is one and it is ours, for the first engine that takes it.
    pub(crate) fn load(&self, name: &str, engines: &[&Engine]) -> Option<Component> {
        match self.read(name) {
            Ok(code) => {
                let loaded = engines.iter().find_map(|engine| deserialise(engine, &code).ok());
                if loaded.is_none() {
                    tracing::warn!(entry = name, "compiled plugin in the cache is out of date, compiling again");
                }
                loaded
            }
            Err(Miss::Absent) => None,
            Err(Miss::Refused(reason)) => {
                tracing::warn!(entry = name, reason, "compiled plugin in the cache is not trusted, compiling again");
                None
            }
            Err(Miss::Io(error)) => {
                tracing::warn!(entry = name, %error, "compiled plugin in the cache cannot be read, compiling again");
                None
            }
        }
    }

    /// Keeps a compiled component; a failure costs the next start a compilation and nothing else.
    pub(crate) fn store(&self, name: &str, component: &Component) {
        let stored = component
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|code| self.write(name, &code).map_err(|error| error.to_string()));
        if let Err(error) = stored {
            tracing::warn!(entry = name, %error, "compiled plugin was not kept");
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Miss> {
        let path = self.folder.join(name);
        let mut file =
            OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path).map_err(|error| {
                if error.kind() == io::ErrorKind::NotFound { Miss::Absent } else { Miss::Io(error) }
            })?;
        let metadata = file.metadata().map_err(Miss::Io)?;
        if !metadata.is_file() || !ours_alone(&metadata) {
            return Err(Miss::Refused("it is not ours or others can write it"));
        }
        if metadata.len() > ENTRY_BYTES_MAX {
            return Err(Miss::Refused("it is too large"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        (&mut file).take(ENTRY_BYTES_MAX).read_to_end(&mut bytes).map_err(Miss::Io)?;
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(Miss::Refused("it has another format")) };
        let Some((mac, code)) = rest.split_at_checked(MAC_BYTES) else { return Err(Miss::Refused("it is cut short")) };
        if self.mac(name, code).verify_slice(mac).is_err() {
            return Err(Miss::Refused("its signature is wrong"));
        }
        Ok(code.to_vec())
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        self.make_room()?;
        let staged = self.folder.join(format!(".{name}.{}", std::process::id()));
        remove_if_there(&staged)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(MAGIC)?;
        file.write_all(&self.mac(name, code).finalize().into_bytes())?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&staged, self.folder.join(name))
    }

    fn make_room(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
                entries.push((entry.metadata()?.mtime(), entry.path()));
            }
        }
        entries.sort();
        let surplus = (entries.len() + 1).saturating_sub(ENTRIES_MAX);
        entries.iter().take(surplus).try_for_each(|(_, path)| remove_if_there(path))
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key).expect("an HMAC takes a key of any length");
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }
}

/// `O_NOFOLLOW`: an entry that is a link was not made by us.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

#[expect(unsafe_code, reason = "loading compiled code is unsafe by nature; the bytes were verified")]
fn deserialise(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was made by `Component::serialize` of this program: the caller verified its HMAC under a key that only
    // this user can read, over these very bytes.
    unsafe { Component::deserialize(engine, code) }
}

/// Makes the component usable by another engine of this process with the same code settings.
#[expect(unsafe_code, reason = "loading compiled code is unsafe by nature; the bytes never left the process")]
pub(crate) fn moved(component: &Component, engine: &Engine) -> wasmtime::Result<Component> {
    let code = component.serialize()?;
    // SAFETY: `code` was made by `Component::serialize` one line above.
    unsafe { Component::deserialize(engine, &code) }
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() && ours_alone(&metadata) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder is not ours, or others can write into it"))
}

fn ours_alone(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Returns the key, making it at first. Two processes that start together agree on the one that was linked first.
fn read_or_make_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = folder.join(KEY_FILE);
    match read_key(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        answer => return answer,
    }
    let mut key = [0; KEY_BYTES];
    // The seeded stream of the run would make the key guessable, so it comes from the system.
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let staged = folder.join(format!(".{KEY_FILE}.{}", std::process::id()));
    remove_if_there(&staged)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?.write_all(&key)?;
    let linked = fs::hard_link(&staged, &path);
    remove_if_there(&staged)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(&path),
    }
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut file = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || !ours_alone(&metadata) || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the key file is not ours alone"));
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(key)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Feeds what is hashed into SHA-256, so that names do not collide by chance.
struct Hashing(Sha256);

impl Hasher for Hashing {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
