//! Python's pickles, as far as parameters need them: a machine that builds values and runs nothing.
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py>
//!
//! A pickle names functions to be called. Four of torch's and `OrderedDict` are known here by name; whatever else is
//! called yields [`Value::Opaque`].
//! Invariant: values refer to each other by index, and an opcode adds a bounded number of them, so a pickle can
//! neither make a long chain to drop nor grow beyond a multiple of its own length.

use std::collections::HashMap;

use super::WeightsError;
use super::bytes::{Bytes, little_endian};
use super::callable::Callable;

/// A network's pickle has some 200 bytes a tensor.
const MOST_BYTES: u64 = 4 << 20;

/// A value that a pickle builds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// None, a float, an instance of some class: nothing that parameters are made of.
    Opaque,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Callable(Callable),
    Tuple(Span),
    List(usize),
    Dict(usize),
    /// A storage, by what identifies it: "storage", its type, its key, its device, its number of values.
    Storage(Span),
    /// A tensor, by what it is rebuilt from: its storage, its offset, its shape, its strides.
    Tensor(Span),
}

/// A tuple's values, among all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    start: usize,
    len: usize,
}

/// A pickle that was read.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    tuples: Vec<Value<'a>>,
    lists: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    /// Every storage in it.
    pub(super) storages: Vec<Span>,
}

impl<'a> Values<'a> {
    pub(super) fn tuple(&self, span: Span) -> &[Value<'a>] {
        &self.tuples[span.start..span.start + span.len]
    }

    pub(super) fn list(&self, list: usize) -> &[Value<'a>] {
        &self.lists[list]
    }

    pub(super) fn dict(&self, dict: usize) -> &[(Value<'a>, Value<'a>)] {
        &self.dicts[dict]
    }
}

/// Reads the pickle at byte `start`: all values, the one that it stands for, and where it ends.
pub(super) fn read(file: Bytes<'_>, start: u64) -> Result<(Values<'_>, Value<'_>, u64), WeightsError> {
    let mut machine = Machine {
        file,
        start,
        at: start,
        values: Values::default(),
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
    };
    loop {
        let opcode = machine.take(1)?[0];
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok((machine.values, root, machine.at));
        }
        if !machine.constant(opcode)? && !machine.collect(opcode)? && !machine.call(opcode)? {
            let at = machine.at - 1;
            return Err(
                file.damaged(format!("the pickle's opcode {opcode:#04x} at byte {at} is not one that torch writes"))
            );
        }
    }
}

struct Machine<'a> {
    file: Bytes<'a>,
    start: u64,
    at: u64,
    values: Values<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
}

impl<'a> Machine<'a> {
    /// Opcodes that push what follows them.
    fn constant(&mut self, opcode: u8) -> Result<bool, WeightsError> {
        let value = match opcode {
            b'N' => Value::Opaque,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as i32)),
            0x8a => {
                let len = self.number(1)?;
                let bytes = self.take(len)?;
                let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
                if bytes.len() > 7 || negative { Value::Opaque } else { Value::Int(little_endian(bytes) as i64) }
            }
            b'G' => self.take(8).map(|_float| Value::Opaque)?,
            b'U' | 0x8c => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.text(1).map(|_bytes| Value::Opaque)?,
            b'B' => self.text(4).map(|_bytes| Value::Opaque)?,
            b')' => self.tuple(vec![]),
            b']' => {
                self.values.lists.push(vec![]);
                Value::List(self.values.lists.len() - 1)
            }
            b'}' => self.dict(vec![]),
            0x8f => Value::Opaque,
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                Value::Callable(Callable::named(module, name))
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Opcodes that put values of the stack together, or aside.
    fn collect(&mut self, opcode: u8) -> Result<bool, WeightsError> {
        match opcode {
            0x80 => self.take(1).map(drop)?,
            0x95 => self.take(8).map(drop)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop().map(drop)?,
            b'1' => self.since_mark().map(drop)?,
            b't' => {
                let items = self.since_mark()?;
                let tuple = self.tuple(items);
                self.stack.push(tuple);
            }
            0x85..=0x87 => {
                let items = self.last(usize::from(opcode - 0x84))?;
                let tuple = self.tuple(items);
                self.stack.push(tuple);
            }
            b'a' => {
                let items = self.last(1)?;
                self.extend(items)?;
            }
            b's' => {
                let items = self.last(2)?;
                self.extend(items)?;
            }
            b'e' | b'u' | 0x90 => {
                let items = self.since_mark()?;
                self.extend(items)?;
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let value = self.top()?;
                self.memo.insert(self.memo.len() as u64, value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that have Python call something.
    fn call(&mut self, opcode: u8) -> Result<bool, WeightsError> {
        let value = match opcode {
            b'Q' => match self.pop()? {
                Value::Tuple(span) if self.values.tuple(span).first() == Some(&Value::Text("storage")) => {
                    self.values.storages.push(span);
                    Value::Storage(span)
                }
                _ => Value::Opaque,
            },
            0x93 => match self.last(2)?[..] {
                [Value::Text(module), Value::Text(name)] => Value::Callable(Callable::named(module, name)),
                _ => Value::Opaque,
            },
            b'R' => {
                let called = self.last(2)?;
                self.reduce(called[0], called[1])
            }
            // Takes an object and its state, leaves the object.
            b'b' => {
                self.pop()?;
                return Ok(true);
            }
            0x81 => self.last(2).map(|_class_and_arguments| Value::Opaque)?,
            0x92 => self.last(3).map(|_class_and_arguments| Value::Opaque)?,
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    fn reduce(&mut self, callable: Value<'a>, arguments: Value<'a>) -> Value<'a> {
        let (Value::Callable(callable), Value::Tuple(span)) = (callable, arguments) else {
            return Value::Opaque;
        };
        match (callable, self.values.tuple(span)) {
            (Callable::RebuildTensor, _) => Value::Tensor(span),
            (Callable::RebuildParameter, [data @ Value::Tensor(_), ..]) => *data,
            (Callable::RebuildSubclass, [Value::Callable(Callable::RebuildTensor), _, Value::Tuple(span), ..]) => {
                Value::Tensor(*span)
            }
            (Callable::OrderedDict, []) => self.dict(vec![]),
            // Python 2 gives the pairs at once. They are taken out of their list, so that none is ever copied twice.
            (Callable::OrderedDict, &[Value::List(list)]) => {
                let pairs = std::mem::take(&mut self.values.lists[list]);
                let pair = |pair| match pair {
                    Value::List(pair) => self.values.list(pair).first_chunk(),
                    Value::Tuple(pair) => self.values.tuple(pair).first_chunk(),
                    _ => None,
                };
                let items = pairs.into_iter().filter_map(|item| pair(item).map(|&[key, value]| (key, value))).collect();
                self.dict(items)
            }
            _ => Value::Opaque,
        }
    }

    fn tuple(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        let span = Span { start: self.values.tuples.len(), len: items.len() };
        self.values.tuples.extend(items);
        Value::Tuple(span)
    }

    fn dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.values.dicts.push(items);
        Value::Dict(self.values.dicts.len() - 1)
    }

    /// Adds `items` to the list or dict on the stack; to a set or an instance, nothing.
    fn extend(&mut self, items: Vec<Value<'a>>) -> Result<(), WeightsError> {
        match self.top()? {
            Value::List(list) => self.values.lists[list].extend(items),
            Value::Dict(dict) => {
                let (pairs, _) = items.as_chunks();
                self.values.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => {}
        }
        Ok(())
    }

    fn remember(&mut self, len: u64) -> Result<(), WeightsError> {
        let index = self.number(len)?;
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, len: u64) -> Result<Value<'a>, WeightsError> {
        let index = self.number(len)?;
        self.memo.get(&index).copied().ok_or_else(|| self.underflow())
    }

    fn pop(&mut self) -> Result<Value<'a>, WeightsError> {
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    fn top(&self) -> Result<Value<'a>, WeightsError> {
        self.stack.last().copied().ok_or_else(|| self.underflow())
    }

    fn last(&mut self, count: usize) -> Result<Vec<Value<'a>>, WeightsError> {
        let height = self.stack.len().checked_sub(count).ok_or_else(|| self.underflow())?;
        Ok(self.stack.split_off(height))
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>, WeightsError> {
        let height = self.marks.pop().filter(|&height| height <= self.stack.len()).ok_or_else(|| self.underflow())?;
        Ok(self.stack.split_off(height))
    }

    fn underflow(&self) -> WeightsError {
        self.file.damaged(format!("the pickle's opcode before byte {} needs values that are not there", self.at))
    }

    /// A text after its length; opaque when it is not UTF-8.
    fn text(&mut self, len: u64) -> Result<Value<'a>, WeightsError> {
        let len = self.number(len)?;
        Ok(str::from_utf8(self.take(len)?).map_or(Value::Opaque, Value::Text))
    }

    fn line(&mut self) -> Result<&'a str, WeightsError> {
        let rest = self.file.all.get(self.at as usize..).unwrap_or_default();
        let Some(len) = rest.iter().take(MOST_BYTES as usize).position(|&byte| byte == b'\n') else {
            return Err(self.file.damaged(format!("the pickle's name at byte {} does not end", self.at)));
        };
        let line = self.take(len as u64 + 1)?;
        Ok(str::from_utf8(&line[..len]).unwrap_or_default())
    }

    fn number(&mut self, len: u64) -> Result<u64, WeightsError> {
        Ok(little_endian(self.take(len)?))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], WeightsError> {
        let bytes = self.file.slice("the pickle", self.at, len)?;
        self.at += len;
        let len = self.at - self.start;
        if len > MOST_BYTES {
            return Err(WeightsError::Header { file: self.file.name.into(), len, most: MOST_BYTES });
        }
        Ok(bytes)
    }
}
