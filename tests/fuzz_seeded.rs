//! The fuzz bodies with a seed, 20 s in all, so that every change meets some of what a fuzzer would try.
//!
//! `tests/fuzz` wraps the same bodies for cargo-fuzz. A failure prints the seed and the case; `RDE_SEED` repeats it.

use std::time::{Duration, Instant};

type Body = fn(&[u8]);

const TIME_EACH: Duration = Duration::from_secs(5);

fn campaign(name: &str, body: Body, seeds: &[&[u8]]) {
    let seed = std::env::var("RDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_130_101);
    let mut random = fastrand::Rng::with_seed(seed);
    let started = Instant::now();
    let mut cases = 0u64;
    while started.elapsed() < TIME_EACH {
        let case = mutated(&mut random, seeds);
        let outcome = std::panic::catch_unwind(|| body(&case));
        assert!(outcome.is_ok(), "{name}: seed {seed}, case {cases}: {}", case.escape_ascii());
        cases += 1;
    }
    eprintln!("{name}: {cases} cases");
    assert!(cases > 20, "{name} ran only {cases} cases");
}

/// A seed with some bytes changed, cut, doubled or put in; or noise.
fn mutated(random: &mut fastrand::Rng, seeds: &[&[u8]]) -> Vec<u8> {
    let mut bytes = match random.u8(..10) {
        0 => (0..random.usize(..400)).map(|_| random.u8(..)).collect(),
        _ => seeds[random.usize(..seeds.len())].to_vec(),
    };
    for _ in 0..random.usize(..8) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(..bytes.len());
        match random.u8(..5) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] ^= 1 << random.u8(..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *random.choice(b"\",\n\r;:{}[]-&*#'\0\xff 0".as_slice()).expect("there are bytes")),
            _ => {
                let end = (at + random.usize(1..64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.extend(part);
            }
        }
    }
    bytes
}

#[test]
fn no_bytes_break_the_csv_decoder() {
    campaign(
        "csv",
        rde_files::csv::decode::fuzz_csv,
        &[b"a,b\n1,\"x\"\"y\"\n2,z\n", b"a;b\r\n;\r\n\"\r\n\";1\r\n", b"\xef\xbb\xbfa,b,c\n1,2,3\n,,\n"],
    );
}

#[test]
fn no_bytes_break_the_yaml_reader() {
    let quickstart =
        std::fs::read(crate::support::root().join("configs/quickstart.yaml")).expect("the quickstart is there");
    campaign(
        "yaml",
        rde_config::fuzz_yaml,
        &[&quickstart, b"name: a\nsources: [{ id: b, csv: { path: c } }]\nedges: [[b, b]]\n", b"a: &x [1]\nb: *x\n"],
    );
}

#[test]
fn no_bytes_of_a_guest_break_the_host() {
    let message = rde_ipc::encode_schema(&arrow::datatypes::Schema::new(vec![
        arrow::datatypes::Field::new("a", arrow::datatypes::DataType::Int64, true),
        arrow::datatypes::Field::new("b", arrow::datatypes::DataType::Utf8, false),
    ]));
    let message = message.expect("a plain schema can be encoded");
    campaign("guest ipc", rde_ipc::fuzz_guest_ipc, &[&message, b"\xff\xff\xff\xff\x10\0\0\0"]);
}

#[test]
fn no_bytes_break_the_plugin_loader() {
    let plugin = std::fs::read(crate::support::root().join("out/plugins/bench-hop.wasm"))
        .expect("`cargo xtask plugins` was run");
    campaign("plugin artifact", rde_wasm::fuzz_artifact, &[&plugin, b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0"]);
}
