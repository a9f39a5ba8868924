//! More folders than files can be open: how many files they get, in which order, and in how much memory.

use super::*;

const FOLDERS: usize = 2 * OPEN_FILES_MAX;

/// Writes batches of one row for each folder, divided by `k`; returns the texts of the files by folder, in order, and the
/// most bytes that were held.
fn divided(rounds: usize, memory_max: usize) -> (BTreeMap<String, Vec<String>>, usize) {
    let folder = folder();
    let target = json_target(folder.path(), Disk::default()).expect("an empty folder");
    let budget = Budget::new(memory_max);
    let options = LaneOptions {
        lane: 0,
        lanes: 1,
        format: FileFormat::Json,
        partition_by: vec!["k".to_owned()],
        file_bytes_max: u64::MAX,
        memory_max,
        budget: budget.clone(),
    };
    let (mut lane, mut out, mut held) = (LaneWriter::new(target, options), Output::new(), 0);
    block_on(lane.schema(&SchemaVersion { version: 1, schema: schema(), cause: None })).expect("schema");
    let keys: Vec<String> = (0..FOLDERS).map(|n| format!("k{n}")).collect();
    for round in 0..rounds {
        let rows: Vec<(&str, i64)> = keys.iter().map(|key| (key.as_str(), round as i64)).collect();
        block_on(lane.write(batch(&rows), &mut out)).expect("write");
        held = held.max(budget.used());
    }
    block_on(lane.prepare(Epoch(1), &mut out)).expect("prepare");
    assert_eq!(budget.used(), 0);
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in tree(folder.path()).into_iter().filter(|name| name.contains("k=")) {
        let text = fs::read_to_string(folder.path().join(&name)).expect("it is there");
        let (folder, name) = name.split_once('/').expect("it is in a folder");
        let number = name.split(['-', '.']).filter_map(|part| part.parse::<u64>().ok()).next_back();
        let number = number.expect("names end in a number");
        files.entry(folder.to_owned()).or_default().push(format!("{number:09} {text}"));
    }
    files.values_mut().for_each(|files| files.sort());
    (files, held)
}

#[test]
fn each_of_many_folders_gets_one_file_while_there_is_memory() {
    let (files, _) = divided(20, 1 << 30);
    assert_eq!(files.len(), FOLDERS);
    assert!(files.values().all(|files| files.len() == 1), "{:?}", files.values().map(Vec::len).max());
}

#[test]
fn with_little_memory_the_rows_of_many_folders_are_kept_in_order() {
    let memory_max = 4 << 20;
    let (files, held) = divided(20, memory_max);
    assert!(held > 0 && held <= memory_max / 8, "{held} bytes are held");
    assert!(files.values().map(Vec::len).sum::<usize>() < FOLDERS * 10, "fewer files than batches");
    let expected: String = (0..20).map(|round| format!("{{\"n\":{round}}}\n")).collect();
    for (folder, files) in files {
        let text: String = files.iter().map(|file| &file[10..]).collect();
        assert_eq!(text, expected, "{folder}");
    }
}
