//! Hostile components as files: the table of bad input (tests/bad_input) hands them to the product as a stranger would.
//!
//! `UPDATE=1` writes them anew.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::guest::{Columns, Guest};
use super::hostile::with;
use super::refusals::{exporting, text};

const SPIN: &str = "(loop (br 0)) (unreachable)";

fn guests() -> Vec<(&'static str, Vec<u8>)> {
    let wasi = r#"(component (import "wasi:cli/environment@0.2.0" (instance)) (import "wasi:filesystem/types@0.2.0" (instance))
        (component $c) (instance $i (instantiate $c))
        (export "rde:plugin/lifecycle@0.1.0" (instance $i)) (export "rde:plugin/processor@0.1.0" (instance $i)))"#;
    vec![
        ("other_world", exporting(&["lifecycle@0.1.0", "writer@0.1.0", "checkpointed@0.1.0"])),
        ("other_version", exporting(&["lifecycle@0.2.0", "processor@0.2.0"])),
        ("wasi", text(wasi)),
        ("loop_start", with(|guest| guest.fields = format!("(func $spin {SPIN}) (start $spin)")).component()),
        ("loop_describe", with(|guest| guest.on_describe = Some(SPIN.to_owned())).component()),
        ("loop_bind", with(|guest| guest.on_bind = Some(SPIN.to_owned())).component()),
        ("lying_schema", lying()),
    ]
}

/// Promises an int64 and sends text.
fn lying() -> Vec<u8> {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["no number"]));
    let sent = RecordBatch::try_from_iter([("a", texts)]).expect("one column");
    let mut encoder = rde_ipc::Encoder::new(&sent.schema(), None).expect("text can be encoded");
    let mut message = Vec::new();
    encoder.encode_into(&sent, &mut message).expect("the batch can be encoded");
    let promised = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let mut guest = Guest::new().output(Columns::Full(promised));
    let at = guest.data(&message);
    let length = message.len();
    guest.on_process =
        format!("(call $message (i32.const 0) (i32.const 7) (i32.const {at}) (i32.const {length})) (i32.const 0)");
    guest.component()
}

#[test]
fn the_stored_guests_are_what_is_made_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests");
    for (name, bytes) in guests() {
        let path = folder.join(format!("{name}.wasm"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            std::fs::write(&path, &bytes).expect("the guest can be written");
        }
        let stored = std::fs::read(&path).unwrap_or_default();
        assert!(stored == bytes, "{} is not current: run this test with UPDATE=1", path.display());
    }
}
