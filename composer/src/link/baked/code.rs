//! What the functions of a generated provider do, as instructions.
//!
//! Addresses and lengths are those of a 32-bit memory. Every loop ends after as many turns as there are items.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

/// Items in memory, one behind the other.
#[derive(Clone, Copy)]
pub(super) struct List {
    pub(super) at: u32,
    pub(super) length: u32,
}

/// Bytes of a text's address and length.
pub(super) const TEXT: u32 = 8;
/// Bytes of a pair of texts.
pub(super) const PAIR: u32 = 2 * TEXT;

/// The global that says where what is allocated ends.
pub(super) const HEAP: u32 = 0;

/// Bytes of a page of memory.
pub(super) const PAGE: u32 = 65536;

/// What an exported function does.
pub(super) enum Body {
    /// Returns an address.
    Constant(u32),
    /// Looks a key up.
    Lookup(Lookup),
    /// Lets the imported function write to an address, and returns that.
    Forward { imported: u32, result: u32 },
    /// Appends some of the host's variables to those that are baked.
    Append(Append),
}

/// Where everything is that [`Body::Lookup`] needs.
pub(super) struct Lookup {
    /// The keys that are baked, with their values.
    pub(super) pairs: List,
    /// What is found is at the same place of these, each as long as a pair.
    pub(super) results: u32,
    /// What is returned if nothing is.
    pub(super) none: u32,
    /// Those that are the host's to give.
    pub(super) open: Option<OpenKeys>,
}

/// Keys of which the host has the values, as variables.
pub(super) struct OpenKeys {
    /// The function that gives all variables of the host.
    pub(super) imported: u32,
    /// Where it writes the list's address and length.
    pub(super) scratch: u32,
    /// The keys.
    pub(super) names: List,
    /// Where the result is made: its text stands behind eight bytes that say there is one.
    pub(super) found: u32,
}

/// Where everything is that [`Body::Append`] needs.
pub(super) struct Append {
    /// The function that gives all variables of the host.
    pub(super) imported: u32,
    /// Where it writes the list's address and length.
    pub(super) scratch: u32,
    /// The names of those that are let through.
    pub(super) open: List,
    /// The variables that are baked, with room behind them for one of each that is open.
    pub(super) baked: List,
    /// Where the address of all of them stands, and their number is written.
    pub(super) list: u32,
    /// What is returned: the same address, or that of a result that ends with it.
    pub(super) result: u32,
}

impl Body {
    /// Whether something is passed in that has to be given back.
    pub(super) fn allocates(&self) -> bool {
        !matches!(self, Self::Constant(_))
    }

    pub(super) fn function(&self, equal: u32) -> Function {
        match self {
            Self::Constant(at) => function([], |body| {
                body.i32_const(*at as i32);
            }),
            Self::Forward { imported, result } => function([], |body| {
                body.i32_const(*result as i32).call(*imported).i32_const(*result as i32);
            }),
            Self::Lookup(lookup) => lookup.function(equal),
            Self::Append(append) => append.function(equal),
        }
    }
}

impl Append {
    fn function(&self, equal: u32) -> Function {
        const KEY: u32 = 0;
        const VARIABLE: u32 = 1;
        const COUNT: u32 = 2;
        let Self { imported, scratch, open, baked, list, result } = self;
        function([(3, ValType::I32)], |body| {
            let (of_host, length) = (word(*scratch, WORD), word(*scratch, SECOND_WORD));
            body.i32_const(*scratch as i32).call(*imported);
            body.i32_const(baked.length as i32).local_set(COUNT);
            each(
                body,
                KEY,
                |body| constant(body, open.length),
                |body| {
                    each(body, VARIABLE, &length, |body| {
                        text(body, KEY, TEXT, |body| constant(body, open.at));
                        text(body, VARIABLE, PAIR, &of_host);
                        body.call(equal).if_(BlockType::Empty);
                        item(body, COUNT, PAIR, |body| constant(body, baked.at));
                        item(body, VARIABLE, PAIR, &of_host);
                        constant(body, PAIR);
                        body.memory_copy(0, 0);
                        body.local_get(COUNT).i32_const(1).i32_add().local_set(COUNT);
                        // One of each name, so that there is room for all.
                        length(body);
                        body.local_set(VARIABLE).end();
                    });
                },
            );
            body.i32_const(*list as i32).local_get(COUNT).i32_store(SECOND_WORD);
            body.i32_const(*result as i32);
        })
    }
}

/// Of a key, the parameters are address and length.
const KEY: (u32, u32) = (0, 1);

impl Lookup {
    fn function(&self, equal: u32) -> Function {
        const INDEX: u32 = 2;
        let Self { pairs, results, none, open } = self;
        let locals = if open.is_some() { 2 } else { 1 };
        function([(locals, ValType::I32)], |body| {
            each(
                body,
                INDEX,
                |body| constant(body, pairs.length),
                |body| {
                    body.local_get(KEY.0).local_get(KEY.1);
                    text(body, INDEX, PAIR, |body| constant(body, pairs.at));
                    body.call(equal).if_(BlockType::Empty);
                    item(body, INDEX, PAIR, |body| constant(body, *results));
                    body.return_().end();
                },
            );
            if let Some(open) = open {
                open.look_up(body, INDEX, equal);
            }
            body.i32_const(*none as i32);
        })
    }
}

impl OpenKeys {
    /// Returns what the host has, if the key is one of these. Uses the local `index` and the one behind it.
    fn look_up(&self, body: &mut InstructionSink, index: u32, equal: u32) {
        let Self { imported, scratch, names, found } = self;
        let variable = index + 1;
        let (of_host, length) = (word(*scratch, WORD), word(*scratch, SECOND_WORD));
        each(
            body,
            index,
            |body| constant(body, names.length),
            |body| {
                body.local_get(KEY.0).local_get(KEY.1);
                text(body, index, TEXT, |body| constant(body, names.at));
                body.call(equal).if_(BlockType::Empty);
                body.i32_const(*scratch as i32).call(*imported);
                each(body, variable, &length, |body| {
                    body.local_get(KEY.0).local_get(KEY.1);
                    text(body, variable, PAIR, &of_host);
                    body.call(equal).if_(BlockType::Empty);
                    body.i32_const((found + TEXT) as i32);
                    item(body, variable, PAIR, &of_host);
                    constant(body, TEXT);
                    body.i32_add();
                    constant(body, TEXT);
                    body.memory_copy(0, 0);
                    body.i32_const(*found as i32).return_().end();
                });
                body.end();
            },
        );
    }
}

/// `cabi_realloc`: what is passed in stands behind everything else. It is moved and never freed; see [`releasing`].
/// Computed in 64 bits, so that no length leads past the end.
pub(super) fn allocating() -> Function {
    const OLD: u32 = 0;
    const OLD_LENGTH: u32 = 1;
    const ALIGNMENT: u32 = 2;
    const LENGTH: u32 = 3;
    const AT: u32 = 4;
    const END: u32 = 5;
    function([(2, ValType::I64)], |body| {
        body.global_get(HEAP).i64_extend_i32_u().local_get(ALIGNMENT).i64_extend_i32_u().i64_add();
        body.i64_const(1).i64_sub();
        body.i64_const(0).local_get(ALIGNMENT).i64_extend_i32_u().i64_sub().i64_and().local_tee(AT);
        body.local_get(LENGTH).i64_extend_i32_u().i64_add().local_set(END);
        body.local_get(END).i64_const(32).i64_shr_u().i64_eqz().i32_eqz();
        body.if_(BlockType::Empty).unreachable().end();
        let pages = |body: &mut InstructionSink| {
            body.local_get(END)
                .i64_const(i64::from(PAGE) - 1)
                .i64_add()
                .i64_const(16)
                .i64_shr_u()
                .i32_wrap_i64();
        };
        pages(body);
        body.memory_size(0).i32_gt_u().if_(BlockType::Empty);
        pages(body);
        body.memory_size(0).i32_sub().memory_grow(0).i32_const(-1).i32_eq();
        body.if_(BlockType::Empty).unreachable().end().end();
        body.local_get(END).i32_wrap_i64().global_set(HEAP);
        body.local_get(AT).i32_wrap_i64().local_get(OLD);
        body.local_get(OLD_LENGTH).local_get(LENGTH);
        body.local_get(OLD_LENGTH).local_get(LENGTH).i32_lt_u().select().memory_copy(0, 0);
        body.local_get(AT).i32_wrap_i64();
    })
}

/// Whether two texts, each address and length, are the same.
pub(super) fn comparing() -> Function {
    const INDEX: u32 = 4;
    function([(1, ValType::I32)], |body| {
        body.local_get(1).local_get(3).i32_ne().if_(BlockType::Empty).i32_const(0).return_().end();
        let length = |body: &mut InstructionSink| {
            body.local_get(1);
        };
        each(body, INDEX, length, |body| {
            body.local_get(0).local_get(INDEX).i32_add().i32_load8_u(BYTE);
            body.local_get(2).local_get(INDEX).i32_add().i32_load8_u(BYTE);
            body.i32_ne().if_(BlockType::Empty).i32_const(0).return_().end();
        });
        body.i32_const(1);
    })
}

/// What is called when a caller has its answer: nothing that was passed in is needed any more.
pub(super) fn releasing(heap: u32) -> Function {
    function([], |body| {
        body.i32_const(heap as i32).global_set(HEAP);
    })
}

fn function<const N: usize>(
    locals: [(u32, ValType); N],
    write: impl FnOnce(&mut InstructionSink),
) -> Function {
    let mut function = Function::new(locals);
    write(&mut function.instructions());
    function.instructions().end();
    function
}

/// Does something for each number, in `index`, below a limit.
fn each(
    body: &mut InstructionSink,
    index: u32,
    limit: impl Fn(&mut InstructionSink),
    write: impl FnOnce(&mut InstructionSink),
) {
    body.i32_const(0).local_set(index).block(BlockType::Empty).loop_(BlockType::Empty).local_get(index);
    limit(body);
    body.i32_ge_u().br_if(1);
    write(body);
    body.local_get(index).i32_const(1).i32_add().local_set(index).br(0).end().end();
}

fn constant(body: &mut InstructionSink, value: u32) {
    body.i32_const(value as i32);
}

/// What stands at `at`, or in the word behind it.
fn word(at: u32, place: MemArg) -> impl Fn(&mut InstructionSink) {
    move |body| {
        body.i32_const(at as i32).i32_load(place);
    }
}

/// The address of the item with the number in `index`, of those at `start`.
fn item(body: &mut InstructionSink, index: u32, length: u32, start: impl Fn(&mut InstructionSink)) {
    body.local_get(index).i32_const(length as i32).i32_mul();
    start(body);
    body.i32_add();
}

/// Address and length of the text that an item begins with.
fn text(body: &mut InstructionSink, index: u32, length: u32, start: impl Fn(&mut InstructionSink)) {
    item(body, index, length, &start);
    body.i32_load(WORD);
    item(body, index, length, &start);
    body.i32_load(SECOND_WORD);
}

const BYTE: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };
const WORD: MemArg = MemArg { offset: 0, align: 2, memory_index: 0 };
const SECOND_WORD: MemArg = MemArg { offset: 4, align: 2, memory_index: 0 };
