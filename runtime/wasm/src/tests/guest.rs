//! Guests for tests, written in WebAssembly text: a small module with the exports of world `transform`, made a component.
//!
//! A guest allocates by moving a pointer, which is put back after each call. What it answers lies in its data.

use std::path::Path;

use arrow::datatypes::Schema;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// Where data begins; below it is the area of answers.
const DATA: u32 = 1024;

/// Address of an answer `ok`.
pub(crate) const OK: u32 = 0;

/// The columns of an output.
pub(crate) enum Columns {
    SameAs(u32),
    Derived {
        input: u32,
        reuse: Option<Vec<u32>>,
        added: Option<Schema>,
    },
    Full(Schema),
    /// Whatever bytes, as `full`.
    FullBytes(Vec<u8>),
}

/// What a guest is made of. Bodies are WebAssembly text; `describe` and `bind` answer from the data by default.
pub(crate) struct Guest {
    pub(crate) describe: String,
    pub(crate) outputs: Vec<(String, u32, Columns)>,
    pub(crate) columns: Vec<Option<Vec<u32>>>,
    pub(crate) pages: u32,
    /// The memory's own maximum.
    pub(crate) pages_max: Option<u32>,
    /// Extra fields of the module: functions, globals, a start function.
    pub(crate) fields: String,
    pub(crate) on_describe: Option<String>,
    pub(crate) on_bind: Option<String>,
    pub(crate) on_open: String,
    pub(crate) on_close: String,
    pub(crate) on_process: String,
    pub(crate) on_end: String,
    pub(crate) on_realloc: String,
    pub(crate) world: &'static str,
    image: Vec<u8>,
}

impl Guest {
    /// One input, one output of the same columns, everything sent, nothing emitted.
    pub(crate) fn new() -> Guest {
        Guest {
            describe: describe(""),
            outputs: vec![("out".to_owned(), 7, Columns::SameAs(0))],
            columns: vec![None],
            pages: 4,
            pages_max: None,
            fields: String::new(),
            on_describe: None,
            on_bind: None,
            on_open: ok(),
            on_close: ok(),
            on_process: ok(),
            on_end: ok(),
            on_realloc: String::new(),
            world: "transform",
            image: Vec::new(),
        }
    }

    /// A guest whose `process` has this body, and which gets no columns.
    pub(crate) fn process(body: &str) -> Guest {
        Guest { on_process: body.to_owned(), columns: vec![Some(Vec::new())], ..Guest::new() }
    }

    pub(crate) fn describing(mut self, members: &str) -> Guest {
        self.describe = describe(members);
        self
    }

    pub(crate) fn output(mut self, columns: Columns) -> Guest {
        self.outputs = vec![("out".to_owned(), 7, columns)];
        self
    }

    /// Puts bytes into the guest's data and returns their address.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> u32 {
        while !self.image.len().is_multiple_of(64) {
            self.image.push(0);
        }
        let at = DATA + u32::try_from(self.image.len()).expect("test data is small");
        self.image.extend_from_slice(bytes);
        at
    }

    /// Puts a failure into the data and returns the address of the answer.
    pub(crate) fn failure(&mut self, failure: &Failing<'_>) -> u32 {
        let mut answer = vec![0u8; 40];
        answer[0] = 1;
        match failure {
            Failing::Rows(faults) => {
                let mut list = Vec::new();
                for (rows, code, message) in *faults {
                    let rows: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
                    let count = u32::try_from(rows.len() / 4).expect("few rows");
                    words(&mut list, &[self.data(&rows), count]);
                    self.text(&mut list, code);
                    self.text(&mut list, message);
                }
                let count = u32::try_from(faults.len()).expect("few faults");
                let at = self.data(&list);
                put(&mut answer, 16, &[at, count]);
            }
            Failing::Reject(text) => self.put_text(&mut answer, 1, text),
            Failing::Retry(text, millis) => {
                self.put_text(&mut answer, 2, text);
                answer[24..32].copy_from_slice(&millis.to_le_bytes());
            }
            Failing::Fatal(text) => self.put_text(&mut answer, 3, text),
        }
        self.data(&answer)
    }

    fn put_text(&mut self, answer: &mut [u8], case: u8, text: &str) {
        answer[8] = case;
        let at = self.data(text.as_bytes());
        put(answer, 16, &[at, u32::try_from(text.len()).expect("short text")]);
    }

    fn text(&mut self, list: &mut Vec<u8>, text: &str) {
        let at = self.data(text.as_bytes());
        words(list, &[at, u32::try_from(text.len()).expect("short text")]);
    }

    fn bound(&mut self) -> u32 {
        let mut ports = Vec::new();
        for (name, id, columns) in std::mem::take(&mut self.outputs) {
            self.text(&mut ports, &name);
            words(&mut ports, &[id]);
            let mut variant = vec![0u8; 28];
            match columns {
                Columns::SameAs(input) => put(&mut variant, 4, &[input]),
                Columns::Derived { input, reuse, added } => {
                    variant[0] = 1;
                    put(&mut variant, 4, &[input]);
                    if let Some(reuse) = reuse {
                        variant[8] = 1;
                        put(&mut variant, 12, &self.numbers(&reuse));
                    }
                    let added = added.map(|schema| rde_ipc::encode_schema(&schema).expect("a test schema encodes"));
                    put(&mut variant, 20, &self.list(&added.unwrap_or_default()));
                }
                Columns::Full(schema) => {
                    variant[0] = 2;
                    let ipc = rde_ipc::encode_schema(&schema).expect("a test schema encodes");
                    put(&mut variant, 4, &self.list(&ipc));
                }
                Columns::FullBytes(ipc) => {
                    variant[0] = 2;
                    put(&mut variant, 4, &self.list(&ipc));
                }
            }
            ports.extend(variant);
        }
        let mut columns = Vec::new();
        for chosen in std::mem::take(&mut self.columns) {
            let numbers = chosen.as_ref().map(|numbers| self.numbers(numbers)).unwrap_or([0, 0]);
            words(&mut columns, &[u32::from(chosen.is_some()), numbers[0], numbers[1]]);
        }
        let mut answer = vec![0u8; 40];
        let outputs = [self.data(&ports), u32::try_from(ports.len() / 40).expect("few outputs")];
        put(&mut answer, 8, &outputs);
        let inputs = [self.data(&columns), u32::try_from(columns.len() / 12).expect("few inputs")];
        put(&mut answer, 16, &inputs);
        self.data(&answer)
    }

    fn list(&mut self, bytes: &[u8]) -> [u32; 2] {
        [self.data(bytes), u32::try_from(bytes.len()).expect("test data is small")]
    }

    fn numbers(&mut self, numbers: &[u32]) -> [u32; 2] {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        [self.data(&bytes), u32::try_from(numbers.len()).expect("few numbers")]
    }

    /// Makes the component.
    pub(crate) fn component(self) -> Vec<u8> {
        let world = self.world;
        component(&self.module(), world)
    }

    fn module(mut self) -> String {
        let describe = self.describe.clone();
        let described = self.list(describe.as_bytes());
        let mut area = Vec::new();
        words(&mut area, &described);
        let described = self.data(&area);
        let bound = self.bound();
        let on_describe = self.on_describe.take().unwrap_or_else(|| format!("(i32.const {described})"));
        let on_bind = self.on_bind.take().unwrap_or_else(|| format!("(i32.const {bound})"));
        let image: String = self.image.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let heap = DATA + u32::try_from(self.image.len()).expect("test data is small");
        let pages = self.pages_max.map_or_else(|| self.pages.to_string(), |max| format!("{} {max}", self.pages));
        let Guest { fields, on_open, on_close, on_process, on_end, on_realloc, .. } = self;
        format!(
            r#"(module
{IMPORTS}
(memory (export "memory") {pages})
(data (i32.const {DATA}) "{image}")
(global $heap (mut i32) (i32.const {heap}))
(global $kept (mut i32) (i32.const 0))
{fields}
(func (export "cabi_realloc") (param $old i32) (param i32) (param i32) (param $size i32) (result i32)
  (local $at i32)
  {on_realloc}
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 63)) (i32.const -64)))
  (global.set $heap (i32.add (local.get $at) (local.get $size)))
  (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
    (then (if (i32.eq (i32.const -1) (memory.grow (i32.shr_u (i32.add (i32.sub (global.get $heap)
        (i32.mul (memory.size) (i32.const 65536))) (i32.const 65535)) (i32.const 16)))) (then (unreachable)))))
  (local.get $at))
(func $done (param $answer i32) (result i32) (global.set $heap (i32.const {heap})) (local.get $answer))
(func (export "rde:plugin/lifecycle@0.1.0#describe") (result i32) {on_describe})
(func (export "rde:plugin/lifecycle@0.1.0#bind") (param $config i32) (param $config_len i32) (param $ports i32)
  (param $ports_len i32) (result i32) (call $done {on_bind}))
(func (export "rde:plugin/lifecycle@0.1.0#open") (param $extras i32) (param $extras_len i32) (result i32)
  (call $done {on_open}))
(func (export "rde:plugin/lifecycle@0.1.0#close") (result i32) {on_close})
(func $process (param $input i32) (param $schema i32) (param $rows i32) (param $seq i64) (param $attempt i32)
  (param $time i64) (param $ptr i32) (param $len i32) (result i32) (local $i i32)
  {on_process})
(func (export "rde:plugin/processor@0.1.0#process") (param $input i32) (param $schema i32) (param $rows i32)
  (param $seq i64) (param $attempt i32) (param $time i64) (param $ptr i32) (param $len i32) (result i32)
  (call $done (call $process (local.get $input) (local.get $schema) (local.get $rows) (local.get $seq)
    (local.get $attempt) (local.get $time) (local.get $ptr) (local.get $len))))
(func (export "rde:plugin/processor@0.1.0#end-of-input") (param $input i32) (result i32) {on_end})
)"#
        )
    }
}

/// A failure to answer.
pub(crate) enum Failing<'a> {
    Rows(&'a [(&'a [u32], &'a str, &'a str)]),
    Reject(&'a str),
    Retry(&'a str, u64),
    Fatal(&'a str),
}

const IMPORTS: &str = r#"
(import "rde:plugin/emit@0.1.0" "message" (func $message (param i32 i32 i32 i32)))
(import "rde:plugin/emit@0.1.0" "parts" (func $parts (param i32 i32 i32 i32 i32 i32)))
(import "rde:plugin/emit@0.1.0" "forward" (func $forward (param i32)))
(import "rde:plugin/emit@0.1.0" "keep" (func $keep (param i32 i32 i32)))
(import "rde:plugin/emit@0.1.0" "pick" (func $pick (param i32 i32 i32)))
(import "rde:plugin/emit@0.1.0" "extend" (func $extend (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
(import "rde:plugin/emit@0.1.0" "expand" (func $expand (param i32 i32 i32 i32 i32 i32 i32 i32)))
(import "rde:plugin/log@0.1.0" "enabled" (func $enabled (param i32) (result i32)))
(import "rde:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
(import "rde:plugin/clock@0.1.0" "now" (func $now (result i64)))"#;

/// Makes a component of a module in text.
pub(crate) fn component(module: &str, world: &str) -> Vec<u8> {
    let mut wasm = wat::parse_str(module).expect("the text is a module");
    let mut resolve = wit_parser::Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(&folder).expect("the package in the repository is valid");
    let world = resolve.select_world(&[package], Some(world)).expect("the world is in the package");
    embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).expect("the world can be embedded");
    let encoded = ComponentEncoder::default().module(&wasm).expect("the module fits the world").encode();
    encoded.expect("the module becomes a component")
}

/// Returns a description with further members, each preceded by a comma.
pub(crate) fn describe(members: &str) -> String {
    format!(r#"{{"name":"guest","version":"1.0.0","api":"0.1.0","config_schema":{{}}{members}}}"#)
}

pub(crate) fn ok() -> String {
    format!("(i32.const {OK})")
}

fn words(bytes: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
}

fn put(bytes: &mut [u8], at: usize, words: &[u32]) {
    for (index, word) in words.iter().enumerate() {
        bytes[at + index * 4..][..4].copy_from_slice(&word.to_le_bytes());
    }
}
