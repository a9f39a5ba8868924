//! The import `emit`: takes what the guest sends while it runs, checked, and makes nothing visible.
//!
//! On the batch path: called back by the guest within `process`. Bytes are read in the guest's memory and copied once, into
//! pooled Arrow buffers; row numbers and bitmaps are copied as they are.
//! Invariant: whatever a guest passes, it is checked before it is recorded, and its size is charged before it is copied.
//! Not here: making the batches (`emitted.rs`), publishing them (`call.rs`).

use arrow::array::{UInt32Array, new_empty_array};
use arrow::buffer::{BooleanBuffer, Buffer};
use rde_core::Budget;
use rde_ipc::{Decoded, Decoder, IpcError, Refused};
use wasmtime::component::{Linker, WasmList};
use wasmtime::{AsContext, Result, StoreContextMut};

use crate::bind::{BoundOutput, Origin};
use crate::emitted::{Emitted, Selected, Selection};
use crate::limits::size;
use crate::state::{HostState, Phase};
use crate::text::shown;
use crate::trap::Class;

type Cx<'a> = StoreContextMut<'a, HostState>;
type Bytes = WasmList<u8>;

/// Buffers of one `parts` that are looked at; no schema that passes has more.
const PARTS_MAX: usize = 100_000;

/// Gives a linker the functions of `emit`.
pub(crate) fn add(linker: &mut Linker<HostState>) -> Result<()> {
    let mut emit = linker.instance("rde:plugin/emit@0.1.0")?;
    emit.func_wrap("message", |cx: Cx<'_>, (output, id, data): (u32, u32, Bytes)| message(cx, output, id, &data))?;
    emit.func_wrap("parts", |cx: Cx<'_>, (output, id, metadata, buffers): (u32, u32, Bytes, WasmList<Bytes>)| {
        parts(cx, output, id, &metadata, &buffers)
    })?;
    emit.func_wrap("forward", |cx: Cx<'_>, (output,): (u32,)| forward(cx, output))?;
    emit.func_wrap("keep", |cx: Cx<'_>, (output, bitmap): (u32, Bytes)| keep(cx, output, &bitmap))?;
    emit.func_wrap("pick", |cx: Cx<'_>, (output, rows): (u32, WasmList<u32>)| pick(cx, output, &rows))?;
    emit.func_wrap(
        "extend",
        |cx: Cx<'_>, (output, id, kept, reuse, data): (u32, u32, Option<Bytes>, WasmList<u32>, Bytes)| {
            extend(cx, output, id, kept.as_ref(), &reuse, &data)
        },
    )?;
    emit.func_wrap(
        "expand",
        |cx: Cx<'_>, (output, id, rows, reuse, data): (u32, u32, WasmList<u32>, WasmList<u32>, Bytes)| {
            expand(cx, output, id, &rows, &reuse, &data)
        },
    )
}

fn message(mut cx: Cx<'_>, output: u32, id: u32, data: &Bytes) -> Result<()> {
    let output = full(cx.data_mut(), "message", output, id)?;
    let decoded =
        decode(&mut cx, output, |decoder, cx, charge| decoder.decode(data.as_le_slice(cx.as_context()), None, charge))?;
    whole(cx.data_mut(), output, decoded)
}

fn parts(mut cx: Cx<'_>, output: u32, id: u32, metadata: &Bytes, buffers: &WasmList<Bytes>) -> Result<()> {
    let output = full(cx.data_mut(), "parts", output, id)?;
    if buffers.len() > PARTS_MAX {
        return Err(cx
            .data_mut()
            .stop(Class::Contract, "called `emit.parts` with more buffers than a schema can have"));
    }
    let buffers: Vec<Bytes> = buffers.iter(&mut cx)?.collect::<Result<_>>()?;
    let decoded = decode(&mut cx, output, |decoder, cx, charge| {
        let slices: Vec<&[u8]> = buffers.iter().map(|buffer| buffer.as_le_slice(cx.as_context())).collect();
        decoder.decode_parts(metadata.as_le_slice(cx.as_context()), &slices, None, charge)
    })?;
    whole(cx.data_mut(), output, decoded)
}

fn forward(mut cx: Cx<'_>, output: u32) -> Result<()> {
    let state = cx.data_mut();
    let (output, _) = same(state, "forward", output)?;
    select(state, output, Selection::All, None)
}

fn keep(mut cx: Cx<'_>, output: u32, bitmap: &Bytes) -> Result<()> {
    let (output, rows) = same(cx.data_mut(), "keep", output)?;
    let mask = read_bitmap(&mut cx, "keep", bitmap, rows)?;
    select(cx.data_mut(), output, Selection::Mask(mask), None)
}

fn pick(mut cx: Cx<'_>, output: u32, rows: &WasmList<u32>) -> Result<()> {
    let (output, count) = same(cx.data_mut(), "pick", output)?;
    let rows = read_rows(&mut cx, "pick", rows, count)?;
    select(cx.data_mut(), output, Selection::Rows(rows), None)
}

fn extend(
    mut cx: Cx<'_>,
    output: u32,
    id: u32,
    kept: Option<&Bytes>,
    reuse: &WasmList<u32>,
    data: &Bytes,
) -> Result<()> {
    let (output, rows) = derived(&mut cx, "extend", output, id, reuse)?;
    let (selection, count) = match kept {
        None => (Selection::All, rows),
        Some(bitmap) => {
            let mask = read_bitmap(&mut cx, "extend", bitmap, rows)?;
            let count = mask.count_set_bits();
            (Selection::Mask(mask), count)
        }
    };
    let added = read_added(&mut cx, output, data, count)?;
    select(cx.data_mut(), output, selection, added)
}

fn expand(
    mut cx: Cx<'_>,
    output: u32,
    id: u32,
    rows: &WasmList<u32>,
    reuse: &WasmList<u32>,
    data: &Bytes,
) -> Result<()> {
    let (output, count) = derived(&mut cx, "expand", output, id, reuse)?;
    let rows = read_rows(&mut cx, "expand", rows, count)?;
    let added = read_added(&mut cx, output, data, rows.len())?;
    select(cx.data_mut(), output, Selection::Rows(rows), added)
}

/// Counts the call and finds the output; every function begins here.
fn begin(state: &mut HostState, function: &str, output: u32) -> Result<usize> {
    state.host_call()?;
    if !matches!(state.call.phase, Phase::Process | Phase::EndOfInput) {
        let phase = state.call.phase.name();
        return Err(state.stop(Class::Contract, format!("called `emit.{function}`, which `{phase}` may not")));
    }
    state.call.emits += 1;
    let max = state.limits.emits_max;
    if state.call.emits > max {
        return Err(state.stop(Class::Quota, format!("called `emit` more than {max} times (`emits_max`)")));
    }
    let count = state.plan.as_ref().map_or(0, |plan| plan.outputs.len());
    usize::try_from(output).ok().filter(|output| *output < count).ok_or_else(|| {
        state.stop(Class::Contract, format!("called `emit.{function}` for output {output}, and there are {count}"))
    })
}

fn bound(state: &HostState, output: usize) -> &BoundOutput {
    let plan = state.plan.as_ref().expect("an output number was checked against the plan");
    &plan.outputs[output]
}

/// Begins a function that takes an output whose columns the guest makes.
fn full(state: &mut HostState, function: &str, output: u32, id: u32) -> Result<usize> {
    let output = begin(state, function, output)?;
    let bound = bound(state, output);
    if bound.origin == Origin::Full && bound.id == id {
        return Ok(output);
    }
    Err(wrong_schema(state, function, output, Some(id)))
}

/// Begins a function that takes an output with the columns of the current input; answers the rows of the batch too.
fn same(state: &mut HostState, function: &str, output: u32) -> Result<(usize, usize)> {
    let output = begin(state, function, output)?;
    let (input, rows) = current(state, function)?;
    if bound(state, output).origin == Origin::SameAs(input) {
        return Ok((output, rows));
    }
    Err(wrong_schema(state, function, output, None))
}

/// Begins a function that takes an output derived from the current input.
fn derived(cx: &mut Cx<'_>, function: &str, output: u32, id: u32, reuse: &WasmList<u32>) -> Result<(usize, usize)> {
    let state = cx.data_mut();
    let output = begin(state, function, output)?;
    let (current_input, rows) = current(state, function)?;
    let fits = matches!(&bound(state, output).origin, Origin::Derived { input, .. } if *input == current_input);
    if !fits || bound(state, output).id != id {
        return Err(wrong_schema(state, function, output, Some(id)));
    }
    let named = reuse.as_le_slice(cx.as_context());
    let settled = match &bound(cx.data(), output).origin {
        Origin::Derived { reuse, .. } => reuse.as_slice(),
        _ => &[],
    };
    let same = named.len() == settled.len()
        && named.iter().zip(settled).all(|(named, settled)| u32::from_le(*named) as usize == *settled);
    if !same {
        let text = format!("called `emit.{function}` with other columns in `reuse` than it bound");
        return Err(cx.data_mut().stop(Class::Contract, text));
    }
    Ok((output, rows))
}

fn current(state: &mut HostState, function: &str) -> Result<(usize, usize)> {
    match state.call.batch {
        Some(current) => Ok(current),
        None => Err(state.stop(Class::Contract, format!("called `emit.{function}`, and there is no current batch"))),
    }
}

fn wrong_schema(state: &mut HostState, function: &str, output: usize, id: Option<u32>) -> wasmtime::Error {
    let name = bound(state, output).name.clone();
    let id = id.map(|id| format!(" and schema {id}")).unwrap_or_default();
    let text = format!("called `emit.{function}` for output `{name}`{id}, whose schema is not of its kind");
    state.stop(Class::Contract, text)
}

/// Runs a decoder on the guest's memory. The decoder leaves the store for the time, so that both can be used.
fn decode(
    cx: &mut Cx<'_>,
    output: usize,
    run: impl FnOnce(&mut Decoder, &Cx<'_>, rde_ipc::Charge<'_>) -> Result<Decoded, IpcError>,
) -> Result<Decoded> {
    let state = cx.data_mut();
    let left = state.call.output_max.saturating_sub(state.call.bytes);
    let budget: Budget = state.budget.clone();
    let mut decoder = state.decoders[output].take().expect("an output with columns from the guest has a decoder");
    let mut charged = None;
    let answer = run(&mut decoder, cx, &mut |bytes| {
        if bytes > left {
            return Err(Refused);
        }
        charged = Some(budget.charge(bytes));
        Ok(())
    });
    let state = cx.data_mut();
    state.decoders[output] = Some(decoder);
    match answer {
        Ok(decoded) => {
            state.call.bytes = state.call.bytes.saturating_add(decoded.bytes);
            state.call.charges.extend(charged);
            Ok(decoded)
        }
        Err(IpcError::Refused) => Err(over_output(state)),
        Err(error) => {
            let name = bound(state, output).name.clone();
            let why = shown(&error.to_string(), state.limits.text_max);
            Err(state.stop(Class::Contract, format!("sent bad data to output `{name}`: {why}")))
        }
    }
}

/// Ends the call because it would hold too much.
fn over_output(state: &mut HostState) -> wasmtime::Error {
    let max = size(state.call.output_max);
    state.stop(Class::Output, format!("emitted more than {max} (`output_max`)"))
}

/// Charges bytes that are copied as they are.
fn charge(state: &mut HostState, bytes: usize) -> Result<()> {
    let held = state.call.bytes.saturating_add(bytes);
    if held > state.call.output_max {
        return Err(over_output(state));
    }
    state.call.bytes = held;
    let charge = state.budget.charge(bytes);
    state.call.charges.push(charge);
    Ok(())
}

fn read_bitmap(cx: &mut Cx<'_>, function: &str, bitmap: &Bytes, rows: usize) -> Result<BooleanBuffer> {
    let bytes = rows.div_ceil(8);
    if bitmap.len() != bytes {
        let len = bitmap.len();
        let text = format!("called `emit.{function}` with a bitmap of {len} bytes for {rows} rows, which take {bytes}");
        return Err(cx.data_mut().stop(Class::Contract, text));
    }
    charge(cx.data_mut(), bytes)?;
    let buffer = Buffer::from(bitmap.as_le_slice(cx.as_context()));
    let surplus = bytes * 8 - rows;
    let last = buffer.last().copied().unwrap_or(0);
    if surplus > 0 && last >> (8 - surplus) != 0 {
        let text = format!("called `emit.{function}` with a bitmap that has bits past the last row");
        return Err(cx.data_mut().stop(Class::Contract, text));
    }
    Ok(BooleanBuffer::new(buffer, 0, rows))
}

fn read_rows(cx: &mut Cx<'_>, function: &str, rows: &WasmList<u32>, count: usize) -> Result<UInt32Array> {
    charge(cx.data_mut(), rows.len().saturating_mul(size_of::<u32>()))?;
    let numbers: Vec<u32> = rows.as_le_slice(cx.as_context()).iter().map(|row| u32::from_le(*row)).collect();
    if let Some(row) = numbers.iter().find(|row| **row as usize >= count) {
        let text = format!("called `emit.{function}` with row {row}, and the batch has {count}");
        return Err(cx.data_mut().stop(Class::Contract, text));
    }
    Ok(UInt32Array::from(numbers))
}

/// Reads new columns; `None` when the output has none.
fn read_added(cx: &mut Cx<'_>, output: usize, data: &Bytes, rows: usize) -> Result<Option<Decoded>> {
    let state = cx.data_mut();
    if let (Some(decoder), 0, 0) = (&state.decoders[output], rows, data.len()) {
        let columns = decoder.schema().fields().iter().map(|field| new_empty_array(field.data_type())).collect();
        return Ok(Some(Decoded { rows: 0, columns, bytes: 0 }));
    }
    if state.decoders[output].is_some() {
        return decode(cx, output, |decoder, cx, charge| {
            decoder.decode(data.as_le_slice(cx.as_context()), Some(rows), charge)
        })
        .map(Some);
    }
    if data.len() > 0 {
        let name = bound(state, output).name.clone();
        return Err(state.stop(Class::Contract, format!("sent columns to output `{name}`, which bound none")));
    }
    Ok(None)
}

fn whole(state: &mut HostState, output: usize, decoded: Decoded) -> Result<()> {
    let schema = bound(state, output).schema.clone();
    match decoded.into_batch(&schema) {
        Ok(batch) => {
            state.call.emitted.push(Emitted::Whole { output, batch });
            Ok(())
        }
        Err(error) => {
            let why = shown(&error.to_string(), state.limits.text_max);
            Err(state.stop(Class::Contract, format!("sent bad data: {why}")))
        }
    }
}

fn select(state: &mut HostState, output: usize, selection: Selection, added: Option<Decoded>) -> Result<()> {
    let added = added.map(|decoded| decoded.columns).unwrap_or_default();
    state.call.emitted.push(Emitted::Rows(Selected { output, selection, added }));
    Ok(())
}
