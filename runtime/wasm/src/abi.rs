//! The types of wit/types.wit as the host reads and writes them, and the functions of world `transform`.
//!
//! On the batch path: [`Sent`] carries a batch into the guest; it is encoded straight into the guest's memory.
//! Invariant: what a guest answers is read by value within the call, and text from it is cut before it is copied.
//! Not here: what the values mean (`bind.rs`, `call.rs`).

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentType, Lift, Lower, TypedFunc, WasmStr};
use wasmtime::{Result, ValRaw};

/// Text from a guest is cut here before it is copied; the limit `text_max` is below.
const TEXT_LIFTED_MAX: usize = 16 << 10;

/// Marks the length of a string in the compact encoding as one of UTF-16.
const UTF16_TAG: u32 = 1 << 31;

/// `batch-info`.
#[derive(ComponentType, Lower, Clone, Copy, Debug)]
#[component(record)]
pub(crate) struct BatchInfo {
    pub(crate) input: u32,
    #[component(name = "schema-id")]
    pub(crate) schema_id: u32,
    pub(crate) rows: u32,
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
    pub(crate) time: i64,
}

/// `stream-schema`.
#[derive(ComponentType, Lower, Clone, Debug)]
#[component(record)]
pub(crate) struct StreamSchema {
    pub(crate) id: u32,
    pub(crate) ipc: Vec<u8>,
}

/// `port`.
#[derive(ComponentType, Lower, Clone, Debug)]
#[component(record)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) schema: StreamSchema,
}

/// `open-args`.
#[derive(ComponentType, Lower, Clone, Debug)]
#[component(record)]
pub(crate) struct OpenArgs {
    pub(crate) extras: Vec<(String, String)>,
}

/// `derivation`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct Derivation {
    pub(crate) input: u32,
    pub(crate) reuse: Option<Vec<u32>>,
    pub(crate) added: Vec<u8>,
}

/// `output-schema`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(variant)]
pub(crate) enum OutputSchema {
    #[component(name = "same-as")]
    SameAs(u32),
    #[component(name = "derived")]
    Derived(Derivation),
    #[component(name = "full")]
    Full(Vec<u8>),
}

/// `output-port`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct OutputPort {
    pub(crate) name: Text,
    #[component(name = "schema-id")]
    pub(crate) schema_id: u32,
    pub(crate) schema: OutputSchema,
}

/// `bound`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct Bound {
    pub(crate) outputs: Vec<OutputPort>,
    pub(crate) columns: Vec<Option<Vec<u32>>>,
    #[expect(dead_code, reason = "unknown names are ignored, and none is known yet")]
    pub(crate) extras: Vec<(Text, Text)>,
}

/// `row-fault`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct RowFault {
    pub(crate) rows: Vec<u32>,
    pub(crate) code: Text,
    pub(crate) message: Text,
}

/// `retry-hint`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct RetryHint {
    pub(crate) message: Text,
    #[component(name = "after-ms")]
    pub(crate) after_ms: u64,
}

/// `failure`.
#[derive(ComponentType, Lift, Clone, Debug)]
#[component(variant)]
pub(crate) enum Failure {
    #[component(name = "rows")]
    Rows(Vec<RowFault>),
    #[component(name = "reject")]
    Reject(Text),
    #[component(name = "retry")]
    Retry(RetryHint),
    #[component(name = "fatal")]
    Fatal(Text),
}

/// The parameters of `process`, which take a batch of any lifetime.
pub(crate) type ProcessArgs<'a> = (BatchInfo, Sent<'a>);
/// What every working export answers.
pub(crate) type Answer = (std::result::Result<(), Failure>,);
/// The parameters of `bind`.
pub(crate) type BindArgs = (Vec<u8>, Vec<Port>);
/// What `bind` answers.
pub(crate) type BindAnswer = (std::result::Result<Bound, Failure>,);

/// The exports of world `transform`.
pub(crate) struct Functions {
    pub(crate) describe: TypedFunc<(), (Vec<u8>,)>,
    pub(crate) bind: TypedFunc<BindArgs, BindAnswer>,
    pub(crate) open: TypedFunc<(OpenArgs,), Answer>,
    pub(crate) close: TypedFunc<(), Answer>,
    pub(crate) process: TypedFunc<ProcessArgs<'static>, Answer>,
    pub(crate) end_of_input: TypedFunc<(u32,), Answer>,
}

/// A `list<u8>` that is made while it is sent: `write` gets the guest's memory and fills all of it. So a batch is encoded
/// once, where the guest reads it, and the host needs no buffer for it.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) len: usize,
    pub(crate) write: &'a (dyn Fn(&mut [u8]) + Send + Sync),
}

impl Sent<'_> {
    fn store<T: 'static>(&self, cx: &mut LowerContext<'_, T>) -> Result<usize> {
        // `realloc` is called for an empty list too, as the canonical ABI has it, and checks the answer against the memory.
        let start = cx.realloc(0, 0, 1, self.len)?;
        if self.len > 0 {
            (self.write)(&mut cx.as_slice_mut()[start..][..self.len]);
        }
        Ok(start)
    }
}

#[expect(unsafe_code, reason = "a component type of our own saves the copy of each batch")]
// SAFETY: all four facts are those of `[u8]`, to which the type check is handed on: two `ValRaw`, pointer and length.
unsafe impl ComponentType for Sent<'_> {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;
    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

#[expect(unsafe_code, reason = "a component type of our own saves the copy of each batch")]
// SAFETY: as for `[u8]`, both values are written, as 64-bit integers, and `realloc` has checked that the block of `len`
// bytes lies within the guest's memory.
unsafe impl Lower for Sent<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let start = self.store(cx)?;
        dst.write([ValRaw::u64(start as u64), ValRaw::u64(self.len as u64)]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, offset: usize) -> Result<()> {
        let start = self.store(cx)?;
        *cx.get(offset) = u32::try_from(start)?.to_le_bytes();
        *cx.get(offset + 4) = u32::try_from(self.len)?.to_le_bytes();
        Ok(())
    }
}

/// A string from a guest, of which a long one is only copied as far as it could be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// Bytes it had in the guest.
    pub(crate) len: usize,
}

#[expect(unsafe_code, reason = "a component type of our own keeps a guest from making the host copy long text")]
// SAFETY: all four facts are those of `WasmStr`, to which everything is handed on.
unsafe impl ComponentType for Text {
    type Lower = <WasmStr as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;
    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <WasmStr as ComponentType>::typecheck(ty, types)
    }
}

#[expect(unsafe_code, reason = "a component type of our own keeps a guest from making the host copy long text")]
// SAFETY: the parts are read by `(u32, u32)`-like reads whose bounds `String::linear_lift_*` or the slice access check.
unsafe impl Lift for Text {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        let (start, len) = (src[0].get_u32(), src[1].get_u32());
        lift_text(cx, start, len).unwrap_or_else(|| String::linear_lift_from_flat(cx, ty, src).map(Text::whole))
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let word = |at: usize| bytes[at..].first_chunk().map(|word| u32::from_le_bytes(*word)).unwrap_or(0);
        let (start, len) = (word(0), word(4));
        lift_text(cx, start, len).unwrap_or_else(|| String::linear_lift_from_memory(cx, ty, bytes).map(Text::whole))
    }
}

impl Text {
    fn whole(text: String) -> Text {
        Text { len: text.len(), text }
    }
}

/// Reads long text as far as it is shown; `None`: short, or out of bounds, which the general way reads or refuses.
fn lift_text(cx: &mut LiftContext<'_>, start: u32, len: u32) -> Option<Result<Text>> {
    use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
    // The length counts code units; a compact one says by its highest bit which they are.
    let (units, wide, latin) = match cx.options().string_encoding {
        StringEncoding::Utf8 => (len, false, false),
        StringEncoding::Utf16 => (len, true, false),
        StringEncoding::CompactUtf16 => (len & !UTF16_TAG, len & UTF16_TAG != 0, len & UTF16_TAG == 0),
    };
    let len = (units as usize).checked_mul(if wide { 2 } else { 1 })?;
    if len <= TEXT_LIFTED_MAX {
        return None;
    }
    let bytes = cx.memory().get(start as usize..)?.get(..len)?;
    let shown = &bytes[..TEXT_LIFTED_MAX];
    let text = if wide {
        let units = shown.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        char::decode_utf16(units).map_while(Result::ok).collect()
    } else if latin {
        shown.iter().map(|byte| char::from(*byte)).collect()
    } else {
        let valid = std::str::from_utf8(shown).map_or_else(|error| error.valid_up_to(), str::len);
        String::from_utf8_lossy(&shown[..valid]).into_owned()
    };
    Some(cx.consume_fuel(TEXT_LIFTED_MAX).map(|()| Text { text, len }))
}
